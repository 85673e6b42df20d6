"""Loops over event streams, the calls that make the streams, and the objects that these calls are made on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.langchain_names import is_other_callbacks
from callbridge.migrate.analysis.module import Module, called_name, dotted_text

__all__ = ["EventLoop", "event_loops", "is_own_stream", "made_from", "stream_calls"]

EventLoop = tuple[ast.AsyncFor, ast.Call, str]
"""The loop, the call that makes its stream, and the loop's variable; the variable is empty if it is not a plain name."""


def is_own_stream(call: ast.Call, module: Module) -> bool:
    """Return whether a call goes to callbridge's own function of that name, to `super()`, or to another library."""
    text = module.resolve(call.func) or dotted_text(call.func)
    return text.startswith(("callbridge.", "super()", "cb.", "self.astream")) or is_other_callbacks(text)


def stream_calls(module: Module, names: frozenset[str]) -> Iterator[ast.Call]:
    """Yield the calls of methods with one of the names, except callbridge's and other libraries'."""
    for call in module.of(ast.Call):
        if isinstance(call.func, ast.Attribute) and called_name(call) in names and not is_own_stream(call, module):
            yield call


def event_loops(module: Module) -> Iterator[EventLoop]:
    """Yield the `async for` loops over `astream_events`, whether the loop's header calls it or a variable holds the stream."""
    for loop in module.of(ast.AsyncFor):
        value: ast.expr | None = loop.iter
        if isinstance(value, ast.Name):
            found = module.binding(value.id, module.scope_of(value))
            value = found[1][-1] if found else None
        if isinstance(value, ast.Call) and called_name(value) == "astream_events":
            yield loop, value, loop.target.id if isinstance(loop.target, ast.Name) else ""


def made_from(value: ast.expr, module: Module) -> ast.expr:
    """Return the expression behind a variable, if the file shows exactly one."""
    for _ in range(8):
        if not isinstance(value, ast.Name):
            return value
        found = module.binding(value.id, module.scope_of(value))
        if found is None or len(found[1]) != 1 or found[1][0] is None:
            return value
        value = found[1][0]
    return value
