"""Iterator handlers: where code makes an `AsyncIteratorCallbackHandler`, loops over it, and starts a task next to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.dataflow import assigned_names
from callbridge.migrate.analysis.langchain_names import CALL_METHODS
from callbridge.migrate.analysis.module import Module, Scope, called_name, walk

__all__ = ["TASK_MAKERS", "Iteration", "is_guarded", "iterations"]

TASK_MAKERS = frozenset({"create_task", "ensure_future", "start_soon", "add_task", "gather"})
_COROUTINES = frozenset(name for name in CALL_METHODS if name.startswith("a"))


@dataclass(frozen=True, eq=False)
class Iteration:
    """One iterator handler.

    Attributes:
        place: The call that makes it; for a parameter, the first loop over it.
        dotted: Its class.
        name: The variable that holds it; empty if there is none.
        is_plain: Whether it is LangChain's own class, not a subclass.
        loops: The loops over it in the same scope.
        tasks: The calls in the same scope that make tasks.
        is_given: Whether it is a parameter.
        late: The call whose coroutine is made before the loop but starts only after it; None if there is none.
    """

    place: ast.AST
    dotted: str
    name: str
    is_plain: bool
    loops: tuple[ast.AsyncFor, ...]
    tasks: tuple[ast.Call, ...]
    is_given: bool = False
    late: ast.Call | None = None


def iterations(context: Context) -> Iterator[Iteration]:
    """Yield the iterator handlers that a file makes, and the parameters that it uses as iterator handlers."""
    module = context.module
    for call, use in context.made:
        if use.role != "aiter":
            continue
        scope = module.scope_of(call)
        name = next(iter(sorted(assigned_names(call, module))), "")
        loops = [loop for loop in module.of(ast.AsyncFor) if module.scopes[loop] is scope and _is_over(loop, name)]
        late = _late(module, scope, loops) if loops else None
        yield Iteration(call, use.dotted, name, use.known is None, tuple(loops), _tasks(module, scope), late=late)
    yield from _given(module)


def _given(module: Module) -> Iterator[Iteration]:
    """Yield the parameters that a loop reads with `aiter()`, if their type or their use shows that they are handlers."""
    seen: set[tuple[ast.AST, str]] = set()
    for loop in module.of(ast.AsyncFor):
        name, scope = _iterated(loop), module.scopes[loop]
        if not name or (scope, name) in seen or not module.is_parameter(name, scope):
            continue
        seen.add((scope, name))
        dotted = _annotation(module, scope, name)
        if dotted.endswith("AsyncIteratorCallbackHandler") or _is_attached(module, scope, name):
            loops = [each for each in module.of(ast.AsyncFor) if module.scopes[each] is scope and _iterated(each) == name]
            late = _late(module, scope, loops)
            yield Iteration(loop, dotted, name, True, tuple(loops), _tasks(module, scope), is_given=True, late=late)


def _tasks(module: Module, scope: Scope) -> tuple[ast.Call, ...]:
    return tuple(each for each in module.of(ast.Call) if module.scopes[each] is scope and called_name(each) in TASK_MAKERS)


def _annotation(module: Module, scope: Scope, name: str) -> str:
    """Return the resolved type of a parameter: X for `X | None` and `Optional[X]`."""
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    given = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
    note = next((each.annotation for each in given if each.arg == name), None)
    named = [node for node in walk(note) if isinstance(node, ast.Name | ast.Attribute)] if note is not None else []
    found = [module.resolve(node) or "" for node in named]
    return next((dotted for dotted in found if dotted.endswith("CallbackHandler")), "")


def _is_attached(module: Module, scope: Scope, name: str) -> bool:
    """Return whether a call in this scope has a variable among its `callbacks`, or the scope reads its `done`."""
    for node in module.of(ast.Name):
        parent = module.parents.get(node)
        if node.id != name or module.scope_of(node) is not scope:
            continue
        if isinstance(parent, ast.Attribute) and parent.attr == "done":
            return True
        holder = module.parents.get(parent) if isinstance(parent, ast.List) else None
        if isinstance(holder, ast.keyword) and holder.arg in ("callbacks", "callback_manager"):
            return True
        if isinstance(holder, ast.Dict) and any(
            isinstance(each, ast.Constant) and each.value == "callbacks" for each in holder.keys
        ):
            return True
    return False


def _late(module: Module, scope: Scope, loops: list[ast.AsyncFor]) -> ast.Call | None:
    """Return the call whose coroutine is made before a loop and awaited after it: nothing runs while the loop waits."""
    first, last = loops[0].lineno, loops[-1].end_lineno or 0
    for assign in module.of(ast.Assign):
        target = assign.targets[0]
        if module.scopes[assign] is not scope or assign.lineno > first or not isinstance(target, ast.Name):
            continue
        if not isinstance(assign.value, ast.Call) or called_name(assign.value) not in _COROUTINES:
            continue
        used = [
            node
            for node in module.of(ast.Name)
            if node.id == target.id and isinstance(node.ctx, ast.Load) and module.scope_of(node) is scope
        ]
        if used and all(isinstance(module.parents.get(node), ast.Await) and node.lineno > last for node in used):
            return assign.value
    return None


def _iterated(loop: ast.AsyncFor) -> str:
    """Return `x` for a loop over `x.aiter()`, also if a call wraps that."""
    for node in walk(loop.iter):
        if isinstance(node, ast.Attribute) and node.attr == "aiter" and isinstance(node.value, ast.Name):
            return node.value.id
    return ""


def _is_over(loop: ast.AsyncFor, name: str) -> bool:
    return bool(name) and _iterated(loop) == name


def is_guarded(each: Iteration, module: Module) -> bool:
    """Return whether a failing task ends the iteration: the task gets `done`, or a `finally` or a callback sets it."""
    for task in each.tasks:
        for node in walk(task):
            if isinstance(node, ast.Attribute) and node.attr == "done":
                return True
        for argument in task.args:
            if isinstance(argument, ast.Call) and _sets_done(argument, module):
                return True
    marks = ("add_done_callback", "add_callback")
    scope = module.scope_of(each.place)
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
