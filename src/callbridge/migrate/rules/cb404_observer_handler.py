"""CB404: observers: cost, tracing, logging. They stay callbacks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Use
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import HandlerClass
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_TRACING = re.compile(r"_on_\w+$|_persist_run(_single)?$|_(start|end)_trace$")


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        kept = context.is_kept(handler.dotted)
        if kept or (handler.role == "observer" and (handler.effective or _traces(handler))):
            why = "your configuration keeps it" if kept else "it observes and shows no tokens"
            message = f"{handler.node.name} stays a callback: {why}"
            yield context.finding("CB404", handler.node, message, "keep", "info", facts={"handler": handler.dotted})
    made: dict[ast.expr | None, Use] = {call: use for call, use in context.made if use.role == "observer"}
    for each in context.attachments:  # handlers that only their name shows to be observers
        made.update({use.node: use for use in each.handlers if use.role == "observer" and use.made not in made})
    for node, use in [(use.node, use) for use in made.values()]:
        message = f"{use.dotted.rpartition('.')[2].lstrip('?')} stays a callback: callbacks fire under event streams, too"
        yield context.finding("CB404", node, message, "keep", "info", facts={"handler": use.dotted})


def _traces(handler: HandlerClass) -> bool:
    """Return whether a class implements the methods of LangChain's tracers, which the tracers' own hooks call."""
    return any(
        isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and _TRACING.match(each.name) for each in handler.node.body
    )


RULE = Rule(
    code="CB404",
    name="observer-handler",
    severity="info",
    fix="keep",
    summary="a handler that counts, traces or logs, and shows no tokens",
    why=(
        "You do not have to do anything: callbacks fire under event streams as they do elsewhere. The scan reports these "
        "handlers with verdict keep, and never counts them as findings."
    ),
    before='chain.invoke(q, config={"callbacks": [AuditLog()]})',
    after="",
    when_not=(
        "If you want to hear of one request alone, attach the handler to the run (`config`), not to the constructor of "
        "something shared."
    ),
    check=_check,
)
