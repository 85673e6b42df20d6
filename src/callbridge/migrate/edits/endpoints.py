"""CB303: a handler that fills an `asyncio.Queue`, a task that runs the call and a loop that drains, to a loop over its text.

```
queue = asyncio.Queue()
async def run():                                           async def run():
    try:                                                       await chain.ainvoke(x)
        await chain.ainvoke(x, config={"callbacks": [QueueHandler(queue)]})
    finally:
        await queue.put(None)
task = asyncio.create_task(run())                    →     async with astream_call(run) as stream:
while True:                                                    async for token in stream.text():
    token = await queue.get()                                      yield token
    if token is None:
        break
    yield token
await task
```

Always needs a review: the task kept an error of the call until something awaited the task; now the loop raises it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from callbridge.migrate.edits.assignments import Assignment, value_of, variable_of
from callbridge.migrate.edits.assumptions import silence
from callbridge.migrate.edits.attachments import Attachment
from callbridge.migrate.edits.heard_calls import kept
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.models import hearing, is_model
from callbridge.migrate.edits.moved_calls import moving, skipping
from callbridge.migrate.edits.operations import (
    Change,
    Operation,
    Refusal,
    RemoveStatement,
    ReplaceExpression,
    ReplaceStatement,
)
from callbridge.migrate.edits.queues import Drain, find_async_drain, own_queue, queue_handlers, without_ends
from callbridge.migrate.edits.source import Function, Source, Span
from callbridge.migrate.edits.tasks import Task, find_task, is_statement_of
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import check_streams, passed, runs_of

__all__ = ["async_queue", "plan"]

_REVIEW = "the loop raises an error of the call, which the task kept to itself before"
_UNREAD = "the loop got no tokens before, and gets all of the text now"
_LEFT = "leaving the loop early ends the call now, which went on before"
_CATCHING = (ast.Try, getattr(ast, "TryStar", ast.Try), ast.With, ast.AsyncWith)


class _Queue(NamedTuple):
    """A queue: its expression in the reading code, that function, and the statement that makes it; None if the handler does."""

    text: str
    function: ast.AsyncFunctionDef
    statement: Assignment | None


def async_queue(source: Source, made: ast.Call) -> _Queue | None:
    """Return the `asyncio.Queue` that a handler gets or makes; None if it is another queue, or the file does not show it."""
    arguments = [*made.args, *(keyword.value for keyword in made.keywords)]
    around = [each for each in source.ancestors(made) if isinstance(each, ast.AsyncFunctionDef)]
    if not arguments and isinstance(made.func, ast.Name) and around:
        attribute, statement = own_queue(source, made), source.parents[made]
        if attribute and variable_of(statement):
            return _Queue(f"{variable_of(statement)}.{attribute}", around[0], None)
    if len(arguments) == 1 and isinstance(arguments[0], ast.Name):
        for function in around:
            found = source.assignment(arguments[0].id, function)
            value = value_of(found) if found else None
            if isinstance(value, ast.Call) and source.origin(value.func) == "asyncio.Queue":
                return _Queue(arguments[0].id, function, found)
    return None


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the asyncio queues of a file. Both levels wrap the call."""
    handlers = queue_handlers(source)
    for call in source.calls() if handlers else ():
        queue = async_queue(source, call) if isinstance(call.func, ast.Name) and call.func.id in handlers else None
        if queue is not None and isinstance(call.func, ast.Name):
            try:
                yield _Conversion(source, call, queue, handlers[call.func.id]).change()
            except UnfitError as unfit:
                yield Refusal("CB303", source.span(call), str(unfit))


class _Conversion:
    """One handler with its queue, its task and its loop. If one part has an unknown form, it refuses all."""

    def __init__(self, source: Source, made: ast.Call, queue: _Queue, ends: frozenset[str]) -> None:
        self._source = source
        self._made = made
        self._queue = queue
        self._ends = ends
        self._removed: list[ast.stmt] = [queue.statement] if queue.statement is not None else []
        self._reasons = [_REVIEW]

    def change(self) -> Change:
        source, function = self._source, self._queue.function
        attachment, run = self._attached()
        task, drain = find_task(source, function, ""), find_async_drain(source, function, self._queue.text)
        if isinstance(task, str):
            raise UnfitError(task)
        if isinstance(drain, str):
            raise UnfitError(drain)
        runner = self._runner(task, run)
        ends = self._ends_of(runner, drain)
        self._check_uses([*ends, drain.loop])
        self._check_order(task, drain, run)
        self._reasons.append(silence(source, attachment.call, run, _UNREAD))
        self._removed += task.made
        self._reasons.append(task.reason if task.cancels else "")
        operations = [*attachment.operations, *without_ends(source, [*ends, *task.cancels])]
        operations += self._loop(task, drain, runner, attachment)
        operations += [RemoveStatement(source.span(statement)) for statement in self._removed]
        used = {
            each.id for node in [*self._removed, *ends, self._made] for each in ast.walk(node) if isinstance(each, ast.Name)
        }
        message = "read the text of the wrapped call instead of the queue"
        reason = "; ".join(dict.fromkeys(filter(None, self._reasons)))
        orphans = tuple(sorted(used - {runner.name if runner else ""}))
        return Change("CB303", source.span(self._made), message, tuple(operations), reason, orphans, attachment.places)

    def _attached(self) -> tuple[Attachment, ast.Call]:
        """Return where the handler is attached, and the one call that runs with it."""
        source = self._source
        attachment, statement, reads = kept(source, self._made)
        if any(ast.unparse(each) != self._queue.text for each in reads):
            raise UnfitError("the file uses the handler for more than `callbacks` and its queue")
        if statement is not None:
            self._removed.append(statement)
        runs = runs_of(source, attachment.call) if is_model(source, attachment.call) else [attachment.call]
        if len(runs) != 1 or len(attachment.calls) != 1:
            several = (
                f"there are {len(runs)} calls that run the model"
                if len(runs) != 1
                else "several objects or calls get the handler"
            )
            raise UnfitError(f"{several}: `fix` follows one")
        possible, reason = hearing(source, attachment.call, runs[0])
        if not possible:
            raise UnfitError(reason)
        check_streams(runs[0])
        self._reasons.append(reason)
        return attachment, runs[0]

    def _runner(self, task: Task, run: ast.Call) -> ast.AsyncFunctionDef | None:
        """Return the function next to the loop that makes the call and that the task runs; None if the task runs the call."""
        if task.run is run:
            return None
        name = task.run.func.id if isinstance(task.run.func, ast.Name) else ""
        for each in self._source.ancestors(run):
            if (
                isinstance(each, ast.AsyncFunctionDef)
                and each.name == name
                and self._queue.function in self._source.ancestors(each)
            ):
                if task.run.args or task.run.keywords or len(self._source.uses(name, self._source.scope(each))) != 1:
                    raise UnfitError(f"{name} takes arguments, or the file uses it for more than the task")
                return each
        raise UnfitError("the task runs neither the call nor a function next to the loop that makes it")

    def _ends_of(self, runner: ast.AsyncFunctionDef | None, drain: Drain) -> list[ast.stmt]:
        """Return the statements that put the end mark into the queue."""
        texts = [
            f"{prefix}{self._queue.text}.{put}({drain.sentinel})" for prefix, put in (("await ", "put"), ("", "put_nowait"))
        ]
        found = [node for node in ast.walk(runner or ast.Pass()) if isinstance(node, ast.Expr) and ast.unparse(node) in texts]
        if not found and drain.sentinel not in self._ends:
            raise UnfitError("this file does not show what puts the end mark into the queue")
        return list(found)

    def _check_uses(self, known: Sequence[ast.stmt]) -> None:
        source, text = self._source, self._queue.text
        inside = {node for statement in [*known, *self._removed] for node in ast.walk(statement)} | set(ast.walk(self._made))
        uses = source.uses(text.partition(".")[0], self._queue.function)
        reads = [use for use in uses if "." not in text or isinstance(source.parents[use], ast.Attribute)]
        if any(use not in inside for use in reads):
            raise UnfitError(f"{text} is also used elsewhere")

    def _check_order(self, task: Task, drain: Drain, run: ast.Call) -> None:
        source, block = self._source, self._source.block(task.statement)
        around = [drain.loop, *source.ancestors(drain.loop)]
        later = block[block.index(task.statement) + 1 :]
        at = next((index for index, each in enumerate(later) if each in around), None)
        if at is None or source.scope(drain.loop) is not source.scope(task.statement):
            raise UnfitError("the loop does not follow the task in the same block")
        if any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for each in later[:at] for node in ast.walk(each)):
            raise UnfitError("the code awaits something between task and loop, and the call would not run during that any more")
        if any(isinstance(node, ast.Yield | ast.YieldFrom | ast.NamedExpr) for node in ast.walk(run)):
            raise UnfitError(
                "the call's arguments contain a `yield` or an assignment, which would come later, where the loop begins"
            )
        for each in task.awaits:
            catching = [node for node in source.ancestors(each) if isinstance(node, _CATCHING)]
            if each.lineno < drain.loop.lineno or any(node not in around for node in catching):
                raise UnfitError("a `try` or `with` around the `await` alone would miss the errors: the loop raises them")
        if any(isinstance(node, ast.Break | ast.Return) for each in drain.body for node in ast.walk(each)):
            self._reasons.append(_LEFT)
        self._reasons += [moving(source, drain.loop, task), skipping(source, drain.loop, task, "")]

    def _loop(self, task: Task, drain: Drain, runner: Function | None, attachment: Attachment) -> list[Operation]:
        """Return the operations that make the loop read the text, and remove the task."""
        source = self._source
        stream = source.fresh(drain.loop, "stream", "text_stream", "event_stream")
        holes: dict[str, Span] = {}
        if runner is not None:
            added = import_of(source, "callbridge", "astream_call", drain.loop)
            if added is None:
                raise UnfitError("this file uses the name astream_call for something else")
            template, operations = f"astream_call({runner.name})", list[Operation](added)
        else:
            template, operations = passed(source, task.run, "astream_call", attachment.operations)
            holes["RUN"] = source.span(task.run)
        names = [f"STATEMENT_{number}" for number in range(len(drain.body))]
        holes.update({name: source.span(each) for name, each in zip(names, drain.body, strict=True)})
        lines = "".join(f"        {name}\n" for name in names)
        wrapped = f"async with {template} as {stream}:\n    async for {drain.variable} in {stream}.text():\n{lines}"
        operations.append(ReplaceStatement(source.span(drain.loop), wrapped, holes))
        for each in task.awaits:
            if is_statement_of(source, each):
                self._removed.append(source.statement(each))
            else:
                operations.append(ReplaceExpression(source.span(each), f"{stream}.result"))
        return operations
