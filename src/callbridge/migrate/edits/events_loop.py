"""Level 2: writes a loop over `astream_events(version="v2")`, as you would today, if that gives the same text.

A direct run of a runnable differs from the legacy call: it drops `.with_retry()`, a plain model as the root has other events,
and the result is not that of the call. So there are conditions; code that does not meet them is wrapped as on level 1.
"""

from __future__ import annotations

import ast

from callbridge.migrate.edits.assumptions import unstreamed
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.models import is_chat_model, receiver, run_models
from callbridge.migrate.edits.operations import Operation, ReplaceStatement
from callbridge.migrate.edits.source import Source

__all__ = ["direct", "operations"]

_CALLS = ("acall", "ainvoke", "arun")

_LOOP = """\
async with aclosing(RUNNABLE.astream_events(INPUT, version="v2")) as {events}:
    async for {event} in {events}:
        if {event}["event"] == "on_chat_model_stream" and ({token} := {event}["data"]["chunk"].text):
            BODY
"""


def operations(source: Source, loop: ast.AsyncFor, run: ast.Call) -> tuple[Operation, ...]:
    """Return the operations that turn a loop over tokens into one over events; empty if that would not be the same.

    Args:
        source: The file.
        loop: `async for token in handler.aiter():`.
        run: The legacy call, with the handler still attached.
    """
    added = import_of(source, "contextlib", "aclosing", loop)
    if added is None or not _is_plain(source, run) or not isinstance(loop.target, ast.Name):
        return ()
    if _has_loose_comments(source, loop):
        return ()
    events, event = source.fresh(loop, "events", "event_stream"), source.fresh(loop, "event", "stream_event")
    template = _LOOP.format(events=events, event=event, token=loop.target.id)
    holes = {"RUNNABLE": source.span(receiver(run)), "INPUT": source.span(run.args[0])}
    return *added, ReplaceStatement(source.span(loop), template, holes)


def direct(source: Source, run: ast.Call) -> str | None:
    """Return why a direct stream of a runnable may not be what its call is: None if it is not known to be the same.

    Args:
        source: The file.
        run: The legacy call.

    Returns:
        An assumption, which needs `--unsafe`; an empty text if there is none.
    """
    models = run_models(source, run)
    if not models.complete or len(models.found) != 1 or not all(is_chat_model(source, each) for each in models.found):
        return None
    return unstreamed(source, run)


def _is_plain(source: Source, run: ast.Call) -> bool:
    """Return whether a call is `runnable.acall(x)`, with no other arguments than callbacks."""
    if not isinstance(run.func, ast.Attribute) or run.func.attr not in _CALLS:
        return False
    if len(run.args) != 1 or isinstance(run.args[0], ast.Starred):
        return False
    for keyword in run.keywords:
        handlers = keyword.value
        if isinstance(handlers, ast.Dict) and keyword.arg == "config" and len(handlers.values) == 1:
            handlers = handlers.values[0]
        if keyword.arg not in ("callbacks", "config") or not isinstance(handlers, ast.List) or len(handlers.elts) != 1:
            return False
    return True


def _has_loose_comments(source: Source, loop: ast.AsyncFor) -> bool:
    """Return whether comments would be lost: after the header, or after the last statement of the body."""
    header = range(loop.lineno, loop.body[0].lineno)
    if any("#" in source.line(number) for number in header):
        return True
    following = (loop.end_lineno or 0) + 1
    return following <= source.line_count and source.line(following).strip().startswith("#")
