"""CB503: approval of tool calls by a handler."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.handlers import HandlerClass
from callbridge.migrate.module import called_name, walk
from callbridge.migrate.rule import Rule

__all__ = ["RULE"]

_REASON = "a callback cannot stop a tool reliably: approval belongs before the call"
_MESSAGE = "a handler asks a person for approval"


def _check(context: Context) -> Iterator[Finding]:
    for call, use in context.made:
        if use.role == "approval":
            yield context.finding("CB503", call, _MESSAGE, "manual", "warning", _REASON, {"handler": use.dotted})
    for handler in context.handlers:
        if _asks(handler):
            yield context.finding("CB503", handler.node, _MESSAGE, "manual", "warning", _REASON, {"handler": handler.dotted})


def _asks(handler: HandlerClass) -> bool:
    """Return whether the hook of a tool's start reads from the terminal, and something in it raises."""
    hook = handler.own.get("on_tool_start")
    if hook is None:
        return False
    asks = any(isinstance(node, ast.Call) and called_name(node) in ("input", "confirm") for node in walk(hook))
    return asks and any(isinstance(node, ast.Raise) for node in walk(hook))


RULE = Rule(
    code="CB503",
    name="human-approval",
    severity="warning",
    fix="manual",
    summary="`HumanApprovalCallbackHandler`, or a handler that asks and raises when a tool starts",
    why=(
        "The handler stops a tool by raising from `on_tool_start`, which works with `raise_error` alone and ends the "
        "whole run. An interrupt waits for the answer and goes on."
    ),
    before="tool = ShellTool(callbacks=[HumanApprovalCallbackHandler()])",
    after=('agent = create_agent(model, [shell], middleware=[HumanInTheLoopMiddleware(interrupt_on={"shell": True})])'),
    when_not="In a script that nobody else runs.",
    check=_check,
)
