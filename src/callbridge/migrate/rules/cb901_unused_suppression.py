"""CB901: a suppression that suppresses nothing, or gives no reason. The scan itself makes these findings."""

from __future__ import annotations

from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(
    code="CB901",
    name="unused-suppression",
    severity="warning",
    fix="manual",
    summary="a suppression that matches no finding, names no rule, or gives no reason",
    why=(
        "A suppression that outlives its finding hides the next one. A suppression without a reason cannot be judged, and "
        "does not count."
    ),
    before="answer = run(q)  # callbridge: ignore[CB204]",
    after="answer = run(q)",
    when_not="Never: remove the comment, or write down why it is there.",
)
