"""CB302: a handler that fills a queue, a thread that runs the call and a loop that drains, to a loop over the wrapped call.

```
queue = Queue()
def task():                                                def task():
    chain.run(x, callbacks=[QueueHandler(queue)])              chain.run(x)
    queue.put(DONE)
Thread(target=task).start()                          →     with stream_call(task) as stream:
while True:                                                    for token in stream.text():
    token = queue.get()                                            yield token
    if token is DONE:
        break
    yield token
```

Always needs a review: the thread printed an error of the call; now the loop raises it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.edits.assignments import Assignment, is_assignment, value_of, variable_of
from callbridge.migrate.edits.attachments import Attachment
from callbridge.migrate.edits.endpoints import async_queue
from callbridge.migrate.edits.heard_calls import kept
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.models import hearing, is_model
from callbridge.migrate.edits.operations import (
    Change,
    Operation,
    Refusal,
    RemoveStatement,
    ReplaceStatement,
)
from callbridge.migrate.edits.queues import Drain, find_drain, queue_handlers, without_ends
from callbridge.migrate.edits.source import Function, Source, Span
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import passed, runs_of

__all__ = ["plan"]

_REVIEW = "the loop raises an error of the call, which the thread only printed before"


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the queues of a file. Both levels wrap the call."""
    handlers = queue_handlers(source)
    if not handlers:
        return
    for call in source.calls():
        if isinstance(call.func, ast.Name) and call.func.id in handlers and async_queue(source, call) is None:
            try:
                yield _Conversion(source, call, handlers[call.func.id]).change()
            except UnfitError as unfit:
                handler = source.handler_class(call)
                rule = "CB303" if handler is not None and "async-queue" in handler.sinks else "CB302"
                yield Refusal(rule, source.span(call), str(unfit))


class _Conversion:
    """One handler with its queue, its thread and its loop. If one part has an unknown form, it refuses all."""

    def __init__(self, source: Source, made: ast.Call, ends: frozenset[str]) -> None:
        self._source = source
        self._made = made
        self._ends = ends
        self._removed: list[ast.stmt] = []
        self._places: tuple[Span, ...] = ()

    def change(self) -> Change:
        source = self._source
        created, name, function = self._queue()
        attached, run = self._attached()
        task = self._task(function, run)
        drain = find_drain(source, function, name)
        if isinstance(drain, str):
            raise UnfitError(drain)
        ends = self._ends_of(task, name, drain)
        threads = self._threads(task)
        self._check_uses(name, function, created, [*ends, *threads, drain.loop])
        self._removed += [created, *threads]
        operations: list[Operation] = [*attached]
        if _makes_only(task, run, ends):
            operations += self._loop(task, drain, *passed(source, run, "stream_call", attached), run=run)
            self._removed.append(task)
        else:
            added = import_of(source, "callbridge", "stream_call", drain.loop)
            if added is None:
                raise UnfitError("this file uses the name stream_call for something else")
            operations += [*without_ends(source, ends), *self._loop(task, drain, f"stream_call({task.name})", added)]
        operations += self._without_sentinel(function, drain, ends)
        operations += [RemoveStatement(source.span(statement)) for statement in self._removed]
        used = {each.id for node in [*self._removed, *ends] for each in ast.walk(node) if isinstance(each, ast.Name)}
        used |= {each.id for each in ast.walk(self._made) if isinstance(each, ast.Name)} | drain.names
        message = "read the text of the wrapped call instead of the queue"
        orphans = tuple(sorted(used))
        return Change("CB302", source.span(self._made), message, tuple(operations), _REVIEW, orphans, self._places)

    def _queue(self) -> tuple[Assignment, str, Function]:
        arguments = [*self._made.args, *(keyword.value for keyword in self._made.keywords)]
        if len(arguments) != 1 or not isinstance(arguments[0], ast.Name):
            raise UnfitError("the handler is not made with just a queue in a variable")
        name = arguments[0].id
        for function in self._source.ancestors(self._made):
            if isinstance(function, ast.FunctionDef):
                statement = self._source.assignment(name, function)
                if statement is not None and _is_queue(self._source, value_of(statement)):
                    return statement, name, function
        raise UnfitError(f"{name} is not a queue that an enclosing function makes")

    def _task(self, function: Function, run: ast.Call) -> ast.FunctionDef:
        task = next((each for each in self._source.ancestors(run) if isinstance(each, Function)), None)
        home = self._source.scope(task) if task is not None else None
        if not isinstance(task, ast.FunctionDef) or (home is not function and function not in self._source.ancestors(task)):
            raise UnfitError("the call is not in a function of its own, next to the loop")
        arguments = task.args
        if arguments.args or arguments.kwonlyargs or arguments.posonlyargs or arguments.vararg or arguments.kwarg:
            raise UnfitError(f"{task.name} has parameters")
        return task

    def _attachment(self) -> Attachment:
        """Return where the handler is attached. The variable that holds it goes."""
        attachment, statement, reads = kept(self._source, self._made)
        if reads:
            raise UnfitError("the file uses the handler for more than `callbacks`")
        if statement is not None:
            self._removed.append(statement)
        return attachment

    def _attached(self) -> tuple[tuple[Operation, ...], ast.Call]:
        """Return the operations that detach the handler, and the one call that runs with it."""
        attachment = self._attachment()
        self._places = attachment.places
        if attachment.condition is not None:
            raise UnfitError("a condition decides whether the handler is attached")
        runs = runs_of(self._source, attachment.call) if is_model(self._source, attachment.call) else [attachment.call]
        if len(runs) != 1 or len(attachment.calls) != 1:
            several = (
                f"there are {len(runs)} calls that run the model"
                if len(runs) != 1
                else "several objects or calls get the handler"
            )
            raise UnfitError(f"{several}: `fix` follows one")
        possible, reason = hearing(self._source, attachment.call, runs[0])
        if not possible:
            raise UnfitError(reason)
        return attachment.operations, runs[0]

    def _ends_of(self, task: ast.FunctionDef, name: str, drain: Drain) -> list[ast.stmt]:
        """Return the statements that put the end mark into the queue."""
        puts = [node for node in ast.walk(task) if isinstance(node, ast.Expr) and _puts(node, name) == drain.sentinel]
        if not puts and drain.sentinel not in self._ends:
            raise UnfitError("this file does not show what puts the end mark into the queue")
        return list(puts)

    def _threads(self, task: ast.FunctionDef) -> list[ast.stmt]:
        """Return the statements that make, start and join the thread and do nothing else."""
        home = self._source.scope(task)
        uses = [use for use in self._source.uses(task.name, home) if isinstance(use.ctx, ast.Load)]
        keyword = self._source.parents[uses[0]] if len(uses) == 1 else None
        made = self._source.parents[keyword] if isinstance(keyword, ast.keyword) and keyword.arg == "target" else None
        if not isinstance(made, ast.Call) or not (self._source.origin(made.func) or "").endswith("threading.Thread"):
            raise UnfitError(f"the file uses {task.name} for more than the target of a thread")
        if any(each.arg not in ("target", "daemon", "name") for each in made.keywords):
            raise UnfitError("the thread gets arguments")
        statement = self._source.statement(made)
        if isinstance(statement, ast.Expr) and ast.unparse(statement.value) == f"{ast.unparse(made)}.start()":
            return [statement]
        thread = variable_of(statement)
        if not is_assignment(statement) or not thread or value_of(statement) is not made:
            raise UnfitError("no variable of its own holds the thread")
        methods = [self._source.statement(use) for use in self._source.uses(thread, home)[1:]]
        allowed = (f"{thread}.start()", f"{thread}.join()", f"{thread}.daemon = True")
        if any(ast.unparse(method) not in allowed for method in methods):
            raise UnfitError(f"the code does more with {thread} than start and join it")
        return [statement, *methods]

    def _check_uses(self, name: str, function: Function, created: Assignment, known: list[ast.stmt]) -> None:
        inside = {use for statement in known for use in self._source.uses(name, statement)}
        inside |= set(self._source.uses(name, created)) | set(self._source.uses(name, self._made))
        if set(self._source.uses(name, function)) - inside:
            raise UnfitError(f"{name} is also used elsewhere")

    def _loop(
        self, task: ast.FunctionDef, drain: Drain, opened: str, added: Sequence[Operation], *, run: ast.Call | None = None
    ) -> list[Operation]:
        source = self._source
        if source.scope(drain.loop) is task or drain.loop.lineno < task.lineno:
            raise UnfitError("the loop does not follow the function that runs the call")
        stream = source.fresh(drain.loop, "stream", "text_stream", "event_stream")
        names = [f"STATEMENT_{number}" for number in range(len(drain.body))]
        lines = "".join(f"        {name}\n" for name in names)
        template = f"with {opened} as {stream}:\n    for {drain.variable} in {stream}.text():\n{lines}"
        holes = {name: source.span(statement) for name, statement in zip(names, drain.body, strict=True)}
        if run is not None:
            holes["RUN"] = source.span(run)
        return [*added, ReplaceStatement(source.span(drain.loop), template, holes)]

    def _without_sentinel(self, function: Function, drain: Drain, ends: list[ast.stmt]) -> list[Operation]:
        """Remove the variable that holds the end mark, if nothing else uses it."""
        statement = self._source.assignment(drain.sentinel, function) if drain.sentinel.isidentifier() else None
        if statement is None:
            return []
        inside = {use for each in [*ends, drain.loop, statement] for use in self._source.uses(drain.sentinel, each)}
        if set(self._source.uses(drain.sentinel, function)) - inside:
            return []
        return [RemoveStatement(self._source.span(statement))]


def _makes_only(task: ast.FunctionDef, run: ast.Call, ends: Sequence[ast.stmt]) -> bool:
    """Return whether a function makes one call, and besides only marks the end."""
    body = list(task.body)
    if len(body) == 1 and isinstance(attempt := body[0], ast.Try) and not attempt.handlers and not attempt.orelse:
        body = [*attempt.body, *attempt.finalbody]
    rest = [each for each in body if each not in ends]
    return len(rest) == 1 and isinstance(rest[0], ast.Expr) and rest[0].value is run


def _is_queue(source: Source, value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and source.origin(value.func) in ("queue.Queue", "queue.SimpleQueue")


def _puts(node: ast.Expr, name: str) -> str | None:
    """Return the source of the value that a statement puts into a queue."""
    call = node.value
    if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
        return None
    return ast.unparse(call.args[0]) if ast.unparse(call.func) in (f"{name}.put", f"{name}.put_nowait") else None
