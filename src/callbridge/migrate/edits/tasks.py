"""The task that runs a legacy call next to the loop over its tokens: how the code makes, guards and awaits it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from callbridge.migrate.analysis.langchain_names import CALL_METHODS
from callbridge.migrate.edits.assignments import Assignment, is_assignment, variable_of
from callbridge.migrate.edits.source import Function, Source

__all__ = ["REPORTING", "Task", "find_task", "is_statement_of"]

REPORTING = ("critical", "debug", "error", "exception", "info", "log", "print_exc", "warning")
"""Methods of loggers, and functions that print a traceback."""

_WAITED = "the loop waited forever before: only the `await` after it started the call"

_CUT = "the code cancels the task without awaiting it: that cut off the work after the last token, and the loop awaits it now"

_UNLOGGED = "its guard reports the result of the call, and no longer runs"

_DISPLAY = "its guard does more with an error than report it"


@dataclass(frozen=True)
class Task:
    """`task = asyncio.create_task(guard(run, handler.done))`, or the coroutine of the run alone, awaited after the loop.

    Attributes:
        statement: The statement that makes the run's coroutine: that of the task, or an earlier one.
        run: The legacy call.
        guard: The function that sets `done` when the call has ended; None if there is none.
        awaits: The expressions `await task`.
        reason: Why wrapping needs a review; empty if it is proved.
        swallows: Whether the guard may keep errors of the call to itself, so that `await task` does not raise them.
        also: The statement that makes the task, if the coroutine was made before; the function that does nothing but the run.
        cancels: The statements that cancel it, which the end of the loop does.
    """

    statement: ast.stmt
    run: ast.Call
    guard: Function | None
    awaits: tuple[ast.Await, ...]
    reason: str = ""
    swallows: bool = False
    also: tuple[ast.stmt, ...] = ()
    cancels: tuple[ast.stmt, ...] = ()

    @property
    def made(self) -> tuple[ast.stmt, ...]:
        """The statements that make the coroutine and the task."""
        return (self.statement, *self.also)


class _Coroutine(NamedTuple):
    """The run's coroutine, the statement that assigns it to a variable, and the function that only makes it."""

    run: ast.Call
    guard: Function | None
    reason: str
    statement: Assignment | None
    inside: Function | None = None


def find_task(source: Source, function: Function, handler: str) -> Task | str:
    """Return the one task that a function makes, or why its form is unknown.

    Args:
        source: The file.
        function: The function that makes the handler and the task.
        handler: The variable that holds the handler.
    """
    made = [call for call in ast.walk(function) if isinstance(call, ast.Call) and _makes_task(call)]
    if not made:
        return _late(source, function) or "no task runs the call next to the loop: wrap the call with `astream_call`"
    if len(made) != 1:
        return f"the function makes {len(made)} tasks next to the handler, not one"
    statement = source.parents[made[0]]
    if not isinstance(statement, ast.stmt):
        return "no variable of its own holds the task"
    awaits, cancels = list[ast.Await](), list[ast.stmt]()
    if name := variable_of(statement):
        home = source.scope(statement)
        if source.assignment(name, home) is not statement:
            return source.why_unclear(name, home)
        for use in source.uses(name, home):
            if isinstance(use.ctx, ast.Load):
                parent = source.parents[use]
                if isinstance(parent, ast.Await):
                    awaits.append(parent)
                elif (cancel := _cancelling(source, use)) is not None:
                    cancels.append(cancel)
                else:
                    return f"the code does more with {name} than `await {name}` and `{name}.cancel()`"
    elif not isinstance(statement, ast.Expr):
        return "no variable of its own holds the task"
    run = _run(source, made[0], handler)
    if isinstance(run, str):
        return run
    swallows = bool(run.reason) or (run.guard is not None and _swallows(run.guard))
    first, also = statement, tuple[ast.stmt, ...]()
    if run.inside is not None:
        also = (run.inside,)
    elif run.statement is not None:
        if statement not in source.block(run.statement):
            return "the code makes the coroutine and its task in different blocks"
        first, also = run.statement, (statement,)
    reason = "; ".join(each for each in (run.reason, _CUT if cancels and not awaits else "") if each)
    return Task(first, run.run, run.guard, tuple(awaits), reason, swallows, also, tuple(dict.fromkeys(cancels)))


def _cancelling(source: Source, use: ast.Name) -> ast.stmt | None:
    """Return the statement at a use of a task that only cancels it, also under `if not task.done()`."""
    statement = source.statement(use)
    owner = statement if isinstance(statement, ast.If) else source.parents[statement]
    if isinstance(owner, ast.If) and ast.unparse(owner) == f"if not {use.id}.done():\n    {use.id}.cancel()":
        return owner
    return statement if ast.unparse(statement) == f"{use.id}.cancel()" else None


def _late(source: Source, function: Function) -> Task | None:
    """Return the run whose coroutine a variable holds and the code awaits, if there is exactly one."""
    found = list(_coroutines(source, function))
    if len(found) != 1:
        return None
    statement, call, awaits = found[0]
    return Task(statement, call, None, awaits, _WAITED)


def _coroutines(source: Source, function: Function) -> Iterator[tuple[Assignment, ast.Call, tuple[ast.Await, ...]]]:
    for node in ast.walk(function):
        name = variable_of(node)
        if not is_assignment(node) or not name or not isinstance(node.value, ast.Call):
            continue
        home = source.scope(node)
        if not _is_coroutine(node.value) or source.assignment(name, home) is not node:
            continue
        parents = [source.parents[use] for use in source.uses(name, home) if isinstance(use.ctx, ast.Load)]
        awaits = tuple(parent for parent in parents if isinstance(parent, ast.Await))
        if awaits and len(awaits) == len(parents):
            yield node, node.value, awaits


def _is_coroutine(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return name.startswith("a") and name in CALL_METHODS


def is_statement_of(source: Source, node: ast.expr) -> bool:
    """Return whether an expression is a statement by itself."""
    return isinstance(source.parents[node], ast.Expr)


def _makes_task(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name in ("create_task", "ensure_future")


def _run(source: Source, made: ast.Call, handler: str) -> _Coroutine | str:
    inner, kept = _coroutine(source, made.args[0]) if made.args else (None, None)
    if inner is None:
        return "the task does not run a single call: wrap the call that runs the model with `astream_call`"
    given = [*inner.args, *(keyword.value for keyword in inner.keywords)]
    done = [argument for argument in given if _is_done(argument, handler)]
    if not done:
        return _inside(source, inner, handler) or _Coroutine(inner, None, "", kept)
    others = [argument for argument in given if argument not in done]
    run, within = _coroutine(source, others[0]) if len(others) == 1 else (None, None)
    if run is None or (kept and within) or not isinstance(inner.func, ast.Name):
        return "the task calls its guard in a way that `fix` does not know"
    guard = next((node for node in source.nodes if isinstance(node, Function) and node.name == inner.func.id), None)
    if guard is None:
        unseen = f"this file does not show what {inner.func.id}() does besides setting `done`"
        return _Coroutine(run, None, unseen, kept or within)
    attempts = [each for each in guard.body if isinstance(each, ast.Try)]
    lost = _UNLOGGED if any(_reported(each) for each in attempts) else ""
    return _guard_problem(guard) or _Coroutine(run, guard, lost, kept or within)


def _coroutine(source: Source, node: ast.expr) -> tuple[ast.Call | None, Assignment | None]:
    """Return the call that makes a coroutine, and its assignment if a variable holds it that nothing else reads."""
    if isinstance(node, ast.Call):
        return node, None
    statement = source.assignment(node.id, source.scope(node)) if isinstance(node, ast.Name) else None
    if statement is None or not isinstance(node, ast.Name) or not isinstance(statement.value, ast.Call):
        return None, None
    reads = [use for use in source.uses(node.id, source.scope(node)) if isinstance(use.ctx, ast.Load)]
    return (statement.value, statement) if reads == [node] else (None, None)


def _is_done(node: ast.expr, handler: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "done"
        and isinstance(node.value, ast.Name)
        and node.value.id == handler
    )


def _inside(source: Source, call: ast.Call, handler: str) -> _Coroutine | None:
    """Return the run that a function next to the loop awaits, if it only reports errors and sets `done` besides."""
    if not isinstance(call.func, ast.Name) or call.args or call.keywords:
        return None
    name, scope = call.func.id, source.scope(call)
    found = [
        each for each in source.block(source.statement(call)) if isinstance(each, ast.AsyncFunctionDef) and each.name == name
    ]
    if len(found) != 1 or len(source.uses(name, scope)) != 1 or found[0].decorator_list or ast.unparse(found[0].args):
        return None
    function, ending = found[0], f"{handler}.done.set()"
    body = [each for each in function.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    if len(body) == 1 and isinstance(attempt := body[0], ast.Try) and not attempt.orelse:
        if not all(_only_reports(each) for caught in attempt.handlers for each in caught.body):
            return None
        body = [*attempt.body, *attempt.finalbody]
    if len(body) == 2 and ast.unparse(body[1]) == ending:
        body.pop()
    value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr | ast.Return) else None
    if not isinstance(value, ast.Await) or not isinstance(value.value, ast.Call):
        return None
    only = function if isinstance(body[0], ast.Expr) or _swallows(function) else None
    return _Coroutine(value.value, only, "", None, function)


def _guard_problem(guard: Function) -> str:
    """Return what a guard does besides awaiting, reporting an error and setting an event; empty if nothing."""
    body = [node for node in guard.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    names = [argument.arg for argument in guard.args.args]
    if len(body) != 1 or not isinstance(body[0], ast.Try) or len(names) != 2:
        return "its guard does not have the form try, await, finally"
    attempt = body[0]
    if attempt.orelse or (len(attempt.body) != 1 and not _reported(attempt)) or len(attempt.finalbody) != 1:
        return "its guard does not have the form try, await, finally"
    awaited, final = attempt.body[0], attempt.finalbody[0]
    value = awaited.value if isinstance(awaited, ast.Expr | ast.Return | ast.Assign | ast.AnnAssign) else None
    if value is None or ast.unparse(value) not in [f"await {name}" for name in names]:
        return "its guard does more than await the call"
    if ast.unparse(final) not in [f"{name}.set()" for name in names]:
        return "its guard does more at the end than set the event"
    return "" if all(_only_reports(node) for handler in attempt.handlers for node in handler.body) else _DISPLAY


def _reported(attempt: ast.Try) -> bool:
    """Return whether a guard keeps the result of the call in a variable, and only reports it."""
    first, *rest = attempt.body
    return bool(rest) and variable_of(first) != "" and all(_only_reports(each) for each in rest)


def _swallows(guard: Function) -> bool:
    """Return whether a guard of the known form catches an error and does not raise it again."""
    handlers = [each for each in ast.walk(guard) if isinstance(each, ast.ExceptHandler)]
    return any(not any(isinstance(node, ast.Raise) for node in handler.body) for handler in handlers)


def _only_reports(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass | ast.Raise):
        return True
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    func = node.value.func
    return (isinstance(func, ast.Name) and func.id == "print") or (isinstance(func, ast.Attribute) and func.attr in REPORTING)
