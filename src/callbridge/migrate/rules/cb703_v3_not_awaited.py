"""CB703: a `version="v3"` stream read like v2: not awaited, or searched for v2's names."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import walk
from callbridge.migrate.analysis.version3 import v3_streams
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for stream in v3_streams(module):
        loops = stream.loops(module)
        if stream.is_unawaited(module):
            message = 'astream_events(version="v3") returns a coroutine: `async for` over it raises TypeError'
            reason = "await the call; the events of the stream that it returns have another shape than v2's"
            yield context.finding("CB703", stream.call, message, "manual", "error", reason, {"found": "no await"})
        elif any(_is_v2_name(node) for loop in loops for statement in loop.body for node in walk(statement)):
            message = "the loop looks for v2 events, but version 3 has none of these names, so it does nothing"
            reason = "read `.text` of a message, or turn v3 events into v2 events with callbridge.ProtocolToEvents"
            yield context.finding("CB703", stream.call, message, "manual", "error", reason, {"found": "v2 names"})


def _is_v2_name(node: ast.AST) -> bool:
    """Return whether a node compares with the name of a v2 event."""
    return isinstance(node, ast.Compare) and any(
        isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.startswith("on_")
        for each in (node.left, *node.comparators)
    )


RULE = Rule(
    code="CB703",
    name="v3-not-awaited",
    severity="error",
    fix="auto-safe, auto-review, manual",
    summary='`async for` over `astream_events(version="v3")` that is not awaited, or a v3 loop that looks for v2 names',
    why="Version 3 is not just another set of names: you await the call, and read what it returns as messages or envelopes.",
    before='async for event in model.astream_events(x, version="v3"): ...',
    after=('async with await model.astream_events(x, version="v3") as message:\n    async for text in message.text: ...'),
    when_not="If `astream_events` is your own method.",
    check=_check,
)
