"""CB702: a loop over events that exits early without closing the stream."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import event_loops, is_own_stream
from callbridge.migrate.analysis.module import Module, called_name, walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for loop, call, _ in event_loops(module):
        leaving = _leaving(loop)
        if leaving is None or is_own_stream(call, module) or _is_closed(loop, module):
            continue
        message = "the loop exits early without closing the stream: the model runs on until garbage collection"
        reason = "read it inside `async with callbridge.astream_events(...)`, or close it yourself"
        facts = {"line": str(leaving.lineno)}
        yield context.finding("CB702", call, message, "adapter", "warning", reason, facts)


def _leaving(loop: ast.AsyncFor) -> ast.stmt | None:
    """Return the first `break` of this loop, or `return` in it."""
    stack: list[tuple[ast.AST, bool]] = [(statement, False) for statement in reversed(loop.body)]
    while stack:
        node, nested = stack.pop()
        if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not nested):
            return node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.expr):
            continue
        inner = nested or isinstance(node, ast.For | ast.AsyncFor | ast.While)
        stack.extend((child, inner) for child in reversed(list(ast.iter_child_nodes(node))))
    return None


def _is_closed(loop: ast.AsyncFor, module: Module) -> bool:
    """Return whether the stream's variable is closed by hand, or by `aclosing` around the loop."""
    function = module.function_of(loop)
    if not isinstance(loop.iter, ast.Name) or function is None:
        return False
    return any(isinstance(node, ast.Call) and called_name(node) in ("aclose", "aclosing") for node in walk(function))


RULE = Rule(
    code="CB702",
    name="events-not-closed",
    severity="warning",
    fix="adapter",
    summary="`break` or `return` out of a loop over `astream_events`",
    why=(
        "If you drop an async generator, it is closed some time later, or when the event loop ends. Until then the model "
        "runs and costs money."
    ),
    before=('async for event in chain.astream_events(x, version="v2"):\n    if done(event):\n        break'),
    after=(
        "async with callbridge.astream_events(chain, x) as stream:\n"
        "    async for event in stream:\n"
        "        if done(event):\n"
        "            break"
    ),
    when_not="If the process ends there anyway.",
    check=_check,
)
