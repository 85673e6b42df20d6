"""CB902: an entry of the baseline that matches no finding any more. The comparison with the baseline makes these findings."""

from __future__ import annotations

from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(
    code="CB902",
    name="stale-baseline-entry",
    severity="warning",
    fix="manual",
    summary="an entry of the baseline that matches no finding any more",
    why="The finding is gone, which is good. If the entry stays, the finding could come back unseen.",
    before="",
    after="",
    when_not="Never: `callbridge scan --update-baseline` removes it.",
)
