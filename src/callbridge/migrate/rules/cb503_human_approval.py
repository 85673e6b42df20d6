"""CB503: approval of tool calls by a handler."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_REASON = "a callback cannot stop a tool reliably: ask before the call, with an interrupt"
_MESSAGE = "a handler asks a person for approval"


def _check(context: Context) -> Iterator[Finding]:
    for call, use in context.made:
        if use.role == "approval":
            yield context.finding("CB503", call, _MESSAGE, "manual", "warning", _REASON, {"handler": use.dotted})
    for handler in context.handlers:
        if handler.asks and handler.base != "approval" and "on_tool_start" in handler.own:
            yield context.finding("CB503", handler.node, _MESSAGE, "manual", "warning", _REASON, {"handler": handler.dotted})


RULE = Rule(
    code="CB503",
    name="human-approval",
    severity="warning",
    fix="manual",
    summary="`HumanApprovalCallbackHandler`, or a handler that asks and raises when a tool starts",
    why=(
        "The handler stops a tool by raising from `on_tool_start`. That works only with `raise_error`, and ends the whole "
        "run. An interrupt waits for the answer, and the run goes on."
    ),
    before="tool = ShellTool(callbacks=[HumanApprovalCallbackHandler()])",
    after=('agent = create_agent(model, [shell], middleware=[HumanInTheLoopMiddleware(interrupt_on={"shell": True})])'),
    when_not="In a script that only you run.",
    check=_check,
)
