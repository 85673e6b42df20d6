"""CB701: `astream_events` without `version="v2"`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.edits.operations import AddArgument, Change, Refusal, ReplaceExpression
from callbridge.migrate.edits.source import Source, keyword_of

__all__ = ["plan"]


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for event streams without a version, or with an old one."""
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute) or (source.origin(call.func) or "").startswith("callbridge."):
            continue
        if call.func.attr == "astream_log":
            reason = "astream_log yields JSON patches: rewrite the loop by hand to read events"
            yield Refusal("CB701", source.span(call.func), reason)
        elif call.func.attr == "astream_events":
            yield from _plan_call(source, call, call.func)


def _plan_call(source: Source, call: ast.Call, func: ast.Attribute) -> Iterator[Change | Refusal]:
    keyword = keyword_of(call, "version")
    if keyword is None:
        if any(each.arg is None for each in call.keywords):
            yield Refusal("CB701", source.span(func), "the call has `**` arguments, which may contain a version")
        elif call.args or call.keywords:
            yield Change("CB701", source.span(func), 'pass version="v2"', (AddArgument(source.span(call), 'version="v2"'),))
    elif isinstance(keyword.value, ast.Constant) and keyword.value.value == "v1":
        operation = ReplaceExpression(source.span(keyword.value), '"v2"')
        reason = "v1 events have other data in some places: check what the loop reads"
        yield Change("CB701", source.span(keyword), 'read version="v2"', (operation,), reason)
