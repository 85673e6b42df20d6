"""CB207: a callback manager that the code changes after making it."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style == "manager":
            message = f"`{each.callee}` changes a manager that other runs share"
            reason = "the code does not show which runs you mean: pass the handler to them, in `config`"
            facts = {"handler": " ".join(use.dotted for use in each.handlers), "callee": each.callee}
            yield context.finding("CB207", each.place, message, "manual", "warning", reason, facts)


RULE = Rule(
    code="CB207",
    name="manager-mutation",
    severity="warning",
    fix="manual",
    summary="a handler added to a callback manager: `manager.add_handler(...)`, `set_handler(...)`",
    why=(
        "A handler that you add to a manager stays attached to every later run of whatever holds that manager. Nothing "
        "removes it."
    ),
    before="agent.callback_manager.add_handler(handler)",
    after='agent.invoke(q, config={"callbacks": [handler]})',
    when_not="In a custom chain or tool that gets its own child manager.",
    check=_check,
)
