"""CB703 to CB705, CB707 and CB708: v3 streams that are not awaited, not closed or not heard, and contents used as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import attachments
from callbridge.migrate.analysis.project import Project
from callbridge.migrate.analysis.version3 import V3Stream, contents_taken_for_text, deaf_uses, string_keys, v3_streams
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.operations import Change, Operation, Refusal, RemoveStatement, ReplaceExpression, ReplaceStatement
from callbridge.migrate.edits.source import Source

__all__ = ["plan"]

_LEFT = "leaving the loop early ends the run now, which went on before"
_HEARD = "if a model does not report its tokens itself, the handler heard none before, and hears them now"
_NOT_SEEN = "this file does not show that this is a LangChain message: it comes out of a graph's state"


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the v3 streams in a file."""
    for stream in v3_streams(source.module):
        if stream.is_unawaited(source.module):
            yield _awaited(source, stream)
        elif stream.is_async and stream.is_left_open(source.module):
            yield _entered(source, stream, "CB704")
        elif stream.is_end_unheard(source.module):
            yield _entered(source, stream, "CB707")
    project = source.project or Project.build([])
    for place, use in deaf_uses(attachments(source.module, project), source.module):
        if place is use.node:
            yield _with_tokens(source, use.node)
        elif isinstance(place, ast.expr | ast.keyword):
            yield Refusal("CB705", source.span(place), "the handler is made in another file: wrap it where it is attached")
    for content in contents_taken_for_text(source.module):
        span = source.span(content)
        reason = _NOT_SEEN if any(way and way[-1] != "messages" for way in string_keys(content, source.module)) else ""
        operation = ReplaceExpression(span, "MESSAGE.text", {"MESSAGE": source.span(content.value)})
        yield Change("CB708", span, "use the text of the message", (operation,), reason)


def _awaited(source: Source, stream: V3Stream) -> Change | Refusal:
    """Await the coroutine of a stream."""
    span = source.span(stream.call)
    scope = source.scope(stream.call)
    if not isinstance(scope, ast.AsyncFunctionDef):
        return Refusal("CB703", span, "the call is not in an `async def`, where the code could await it")
    if any(not _is_looped_over(source, load) for load in stream.loads):
        return Refusal("CB703", span, f"the code does more with {stream.name} than loop over it")
    reason = ""
    if any(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == "astream_events" for each in source.nodes):
        reason = "the file defines an `astream_events` of its own, which this may call"
    operation = ReplaceExpression(span, "await CALL", {"CALL": span})
    return Change("CB703", span, "await the stream", (operation,), reason)


def _is_looped_over(source: Source, load: ast.Name) -> bool:
    """Return whether a loop of the variable's own coroutine reads it."""
    parent = source.parents[load]
    return isinstance(parent, ast.AsyncFor | ast.comprehension) and parent.iter is load


def _entered(source: Source, stream: V3Stream, rule: str) -> Change | Refusal:
    """Enter an awaited stream for the one statement that reads it."""
    span, made = source.span(stream.call), source.parents[stream.call]
    holder = source.parents[made]
    operations: tuple[Operation, ...]
    if isinstance(holder, ast.AsyncFor) and holder.iter is made:
        if holder.orelse:
            return Refusal(rule, span, "the loop has an `else`")
        name = source.fresh(stream.call, "stream", "message_stream")
        template = f"async with await CALL as {name}:\n    STATEMENT\n"
        operations = (
            ReplaceExpression(source.span(holder.iter), name),
            ReplaceStatement(source.span(holder), template, {"CALL": span, "STATEMENT": source.span(holder)}),
        )
    else:
        reader = _only_reader(source, stream, holder)
        if not isinstance(holder, ast.Assign) or reader is None:
            return Refusal(
                rule, span, "the code does not make the stream in one statement and read it in the next alone: enter it by hand"
            )
        template = f"async with await CALL as {stream.name}:\n    STATEMENT\n"
        holes = {"CALL": span, "STATEMENT": source.span(reader)}
        operations = (
            RemoveStatement(source.span(holder)),
            ReplaceStatement(source.span(reader), template, holes),
        )
    return Change(rule, span, "enter the stream, so that it is closed", operations, _LEFT)


def _only_reader(source: Source, stream: V3Stream, made: ast.AST) -> ast.stmt | None:
    """Return the statement after the one that makes a stream, if no other statement reads the stream."""
    block = next(
        (
            body
            for field in ("body", "orelse", "finalbody")
            if isinstance(body := getattr(source.parents[made], field, None), list) and made in body
        ),
        [],
    )
    rest = block[block.index(made) + 1 :] if block else []
    if not rest or not isinstance(rest[0], ast.stmt):
        return None
    inside = set(ast.walk(rest[0]))
    stores = [use for use in source.uses(stream.name, source.scope(stream.call)) if not isinstance(use.ctx, ast.Load)]
    return rest[0] if len(stores) == 1 and inside.issuperset(stream.loads) else None


def _with_tokens(source: Source, handler: ast.expr) -> Change | Refusal:
    """Wrap a handler, so that it gets its tokens."""
    span = source.span(handler)
    imported = import_of(source, "callbridge", "with_tokens", handler)
    if imported is None:
        return Refusal("CB705", span, "this file uses the name with_tokens for something else")
    operation = ReplaceExpression(span, "with_tokens(HANDLER)", {"HANDLER": span})
    return Change("CB705", span, "give the handler its tokens", (*imported, operation), _HEARD)
