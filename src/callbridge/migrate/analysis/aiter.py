"""Iterating handlers: where an `AsyncIteratorCallbackHandler` is made, looped over, and which task runs beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.flow import assigned_names
from callbridge.migrate.analysis.module import Module, called_name, walk

__all__ = ["TASK_MAKERS", "Iteration", "is_guarded", "iterations"]

TASK_MAKERS = frozenset({"create_task", "ensure_future", "start_soon", "add_task", "gather"})


@dataclass(frozen=True, eq=False)
class Iteration:
    """One iterating handler.

    Attributes:
        made: The call that makes it.
        dotted: Its class.
        name: The variable that holds it, empty if none does.
        is_plain: Whether it is LangChain's class, not one built on it.
        loops: The loops over it in the same scope.
        tasks: The calls in the same scope that make tasks.
    """

    made: ast.Call
    dotted: str
    name: str
    is_plain: bool
    loops: tuple[ast.AsyncFor, ...]
    tasks: tuple[ast.Call, ...]


def iterations(context: Context) -> Iterator[Iteration]:
    """Yield the iterating handlers that a file makes."""
    module = context.module
    for call, use in context.made:
        if use.role != "aiter":
            continue
        scope = module.scope_of(call)
        name = next(iter(sorted(assigned_names(call, module))), "")
        loops = [loop for loop in module.of(ast.AsyncFor) if module.scopes[loop] is scope and _is_over(loop, name)]
        tasks = [each for each in module.of(ast.Call) if module.scopes[each] is scope and called_name(each) in TASK_MAKERS]
        yield Iteration(call, use.dotted, name, use.known is None, tuple(loops), tuple(tasks))


def _is_over(loop: ast.AsyncFor, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr == "aiter" and isinstance(node.value, ast.Name) and node.value.id == name
        for node in walk(loop.iter)
    )


def is_guarded(each: Iteration, module: Module) -> bool:
    """Return whether the task ends the iteration if it fails: it is handed `done`, or a `finally` or callback sets it."""
    for task in each.tasks:
        for node in walk(task):
            if isinstance(node, ast.Attribute) and node.attr == "done":
                return True
        for argument in task.args:
            if isinstance(argument, ast.Call) and _sets_done(argument, module):
                return True
    marks = ("add_done_callback", "add_callback")
    scope = module.scope_of(each.made)
    return any(called_name(call) in marks for call in module.of(ast.Call) if module.scopes[call] is scope)


def _sets_done(call: ast.Call, module: Module) -> bool:
    """Return whether the coroutine function that a call runs sets `done`, or closes the iteration, in a `finally`."""
    name = called_name(call)
    for function in module.functions:
        if function.name == name:
            blocks = [statement for node in walk(function) if isinstance(node, ast.Try) for statement in node.finalbody]
            return any(
                isinstance(node, ast.Attribute) and node.attr in ("done", "set") for block in blocks for node in walk(block)
            )
    return False
