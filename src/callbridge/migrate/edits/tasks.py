"""The task that runs a legacy call next to the loop that reads its tokens: how it is made, guarded and awaited."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from callbridge.migrate.edits.source import Function, Source

__all__ = ["REPORTING", "Task", "find_task", "is_statement_of"]

REPORTING = ("critical", "debug", "error", "exception", "info", "log", "print_exc", "warning")
"""Methods of loggers, and what prints a traceback."""

_DISPLAY = "its guard does more with an error than to report it"


@dataclass(frozen=True)
class Task:
    """`task = asyncio.create_task(guard(run, handler.done))`.

    Attributes:
        statement: Where it is made.
        run: The legacy call.
        guard: The function that sets `done` when the call has ended; None if there is none.
        awaits: The expressions `await task`.
        reason: Why wrapping needs a look; empty for what is proved.
        swallows: Whether the guard may keep errors of the call to itself, so that `await task` does not raise them.
    """

    statement: ast.stmt
    run: ast.Call
    guard: Function | None
    awaits: tuple[ast.Await, ...]
    reason: str = ""
    swallows: bool = False


def find_task(source: Source, function: Function, handler: str) -> Task | str:
    """Return the one task that a function makes, or why it is not of a known form.

    Args:
        source: The file.
        function: Makes the handler and the task.
        handler: The variable that holds the handler.
    """
    made = [call for call in ast.walk(function) if isinstance(call, ast.Call) and _makes_task(call)]
    if len(made) != 1:
        return f"{len(made)} tasks are made next to the handler, and one is expected"
    statement = source.parents[made[0]]
    awaits: list[ast.Await] = []
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        name = statement.targets[0].id
        home = source.scope(statement)
        if source.assignment(name, home) is not statement:
            return source.why_unclear(name, home)
        for use in source.uses(name, home):
            if isinstance(use.ctx, ast.Load):
                parent = source.parents[use]
                if not isinstance(parent, ast.Await):
                    return f"{name} is used otherwise than in `await {name}`"
                awaits.append(parent)
    elif not isinstance(statement, ast.Expr):
        return "the task is not kept in a variable of its own"
    run = _run(source, made[0], handler)
    if isinstance(run, str):
        return run
    swallows = bool(run[2]) or (run[1] is not None and _swallows(run[1]))
    return Task(statement, run[0], run[1], tuple(awaits), run[2], swallows)


def is_statement_of(source: Source, node: ast.expr) -> bool:
    """Return whether an expression is a statement of its own."""
    return isinstance(source.parents[node], ast.Expr)


def _makes_task(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name in ("create_task", "ensure_future")


def _run(source: Source, made: ast.Call, handler: str) -> tuple[ast.Call, Function | None, str] | str:
    if len(made.args) != 1 or not isinstance(made.args[0], ast.Call):
        return "the task is not made of one call"
    inner = made.args[0]
    given = [*inner.args, *(keyword.value for keyword in inner.keywords)]
    done = [argument for argument in given if _is_done(argument, handler)]
    if not done:
        return inner, None, ""
    others = [argument for argument in given if argument not in done]
    if len(others) != 1 or not isinstance(others[0], ast.Call) or not isinstance(inner.func, ast.Name):
        return "the task's guard is called in a way that is not known"
    guard = next((node for node in source.nodes if isinstance(node, Function) and node.name == inner.func.id), None)
    if guard is None:
        return (
            others[0],
            None,
            f"{inner.func.id}() is defined elsewhere: what it does besides setting `done` cannot be seen here",
        )
    problem = _guard_problem(guard)
    return problem or (others[0], guard, "")


def _is_done(node: ast.expr, handler: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "done"
        and isinstance(node.value, ast.Name)
        and node.value.id == handler
    )


def _guard_problem(guard: Function) -> str:
    """Return what a guard does besides awaiting, reporting an error, and setting an event; empty if nothing."""
    body = [node for node in guard.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    names = [argument.arg for argument in guard.args.args]
    if len(body) != 1 or not isinstance(body[0], ast.Try) or len(names) != 2:
        return "its guard is not of the form try, await, finally"
    attempt = body[0]
    if attempt.orelse or len(attempt.body) != 1 or len(attempt.finalbody) != 1:
        return "its guard is not of the form try, await, finally"
    awaited, final = attempt.body[0], attempt.finalbody[0]
    value = awaited.value if isinstance(awaited, ast.Expr | ast.Return) else None
    if value is None or ast.unparse(value) not in [f"await {name}" for name in names]:
        return "its guard does more than to await the call"
    if ast.unparse(final) not in [f"{name}.set()" for name in names]:
        return "its guard does more at the end than to set the event"
    return "" if all(_only_reports(node) for handler in attempt.handlers for node in handler.body) else _DISPLAY


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
