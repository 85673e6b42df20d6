"""CB603: a handler with `aiter()` that never ends if the run fails."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.iterator_handlers import is_guarded, iterations
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


_GOES = "this goes away with CB301; until then, run the call in a task that sets `done` in a `finally`"


def _check(context: Context) -> Iterator[Finding]:
    for each in iterations(context):
        facts = {"handler": each.name, "class": each.dotted}
        if each.late is not None:
            message = f"the loop over {each.name}.aiter() waits forever: only the `await` after it starts the call"
            yield context.finding("CB603", each.loops[0].iter, message, "adapter", "error", _GOES, facts)
        elif each.loops and each.tasks and not is_guarded(each, context.module):
            message = f"the loop over {each.name}.aiter() waits forever if the task fails before a model starts"
            yield context.finding("CB603", each.loops[0].iter, message, "adapter", "error", _GOES, facts)


RULE = Rule(
    code="CB603",
    name="unguarded-aiter",
    severity="error",
    fix="adapter",
    summary="`create_task` and `aiter()` without code that sets `done` when the task fails",
    why=(
        "`aiter()` ends when a model ends. If the chain raises before that (a missing key, a refused connection), no model "
        "ever ends: the request hangs, and nobody sees the exception."
    ),
    before=('task = asyncio.create_task(chain.acall({"q": q}))\nasync for token in handler.aiter():\n    yield token'),
    after=(
        'async with callbridge.astream_call(chain.acall, {"q": q}) as stream:\n'
        "    async for token in stream.text():\n"
        "        yield token"
    ),
    when_not="Never.",
    check=_check,
)
