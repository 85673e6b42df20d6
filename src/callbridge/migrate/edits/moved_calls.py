"""Assumptions for moving a call from a task into the loop over its text, which now makes the call and raises its errors."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.source import Function, Source
from callbridge.migrate.edits.tasks import REPORTING, Task

__all__ = ["moving", "skipping"]

_LATER = "the call's arguments are computed later: where the loop begins, after the code between task and loop"
_SKIPPED = "the code after the loop ran even if the call failed, and no longer will"


def moving(source: Source, loop: ast.stmt, task: Task) -> str:
    """Return the reason against evaluating a call's arguments later than before; empty if that changes nothing.

    Args:
        source: The file.
        loop: The loop after the statement that makes the task, in its function or in one inside it.
        task: The task that makes the call.
    """
    given = [each for each in ast.walk(task.run) if each not in (task.run, task.run.func)]
    computed = any(isinstance(each, ast.Await) or _calls(source, each) for each in given)
    loaded = any(isinstance(each, ast.Attribute | ast.Subscript) for each in given)
    if computed and source.scope(loop) is not source.scope(task.statement):
        return _LATER
    between = list(_between(source, loop, task))
    if computed and any(_acts(each) for each in between):
        return _LATER
    return _LATER if (computed or loaded) and any(_stores(each) for each in between) else ""


def skipping(source: Source, loop: ast.stmt, task: Task, ending: str) -> str:
    """Return the reason against raising a call's errors in the loop: code after it ran all the same; empty if there is none.

    Args:
        source: The file.
        loop: The loop that reads the tokens.
        task: The task. It raised the errors where the code awaited it, unless it kept them to itself.
        ending: A statement that goes with the handler.
    """
    lost = task.swallows or not task.awaits
    if lost and any(isinstance(each, ast.For | ast.AsyncFor | ast.While) for each in _above(source, loop)):
        return _SKIPPED
    for statement in _following(source, loop):
        if not lost and any(each in task.awaits for each in ast.walk(statement)):
            return ""
        if not _has_no_effect(statement, task) and ast.unparse(statement) != ending:
            return _SKIPPED
    return ""


def _above(source: Source, loop: ast.stmt) -> Iterator[ast.AST]:
    """Return the statements around the loop, up to its function."""
    for each in source.ancestors(loop):
        if each is source.scope(loop):
            return
        yield each


def _following(source: Source, loop: ast.stmt) -> Iterator[ast.stmt]:
    """Return the statements that run after the loop, but not if it fails: all except those in a `finally` around it."""
    for inner in (loop, *_above(source, loop)):
        if isinstance(inner, ast.stmt):
            block, outer = source.block(inner), source.parents[inner]
            yield from block[block.index(inner) + 1 :]
            yield from outer.orelse if isinstance(outer, ast.Try) and inner in outer.body else ()


def _has_no_effect(node: ast.stmt, task: Task) -> bool:
    """Return whether skipping a statement changes nothing: it does nothing, or only awaits the task."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or node.value in task.awaits
    return isinstance(node, ast.Pass | Function) or (isinstance(node, ast.Return) and node.value is None)


def _between(source: Source, loop: ast.stmt, task: Task) -> Iterator[ast.AST]:
    """Return the code that runs after the task is made and before the loop begins."""
    block = source.block(task.statement)
    above = {loop, *source.ancestors(loop)}
    stack: list[ast.AST] = [each for each in block[block.index(task.statement) + 1 :] if each not in task.also]
    while stack:
        node = stack.pop()
        if isinstance(node, Function | ast.Lambda) and node not in above:
            continue
        if node is not loop and getattr(node, "lineno", 0) <= loop.lineno:
            yield node
            stack.extend(ast.iter_child_nodes(node))


def _calls(source: Source, node: ast.AST) -> bool:
    """Return whether a node is a call whose result may depend on its time. LangChain's messages and models do not."""
    return isinstance(node, ast.Call) and not is_langchain(source.origin(node.func))


def _acts(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Yield | ast.YieldFrom)
    function = node.func
    reports = isinstance(function, ast.Attribute) and function.attr in REPORTING
    return not reports and not (isinstance(function, ast.Name) and function.id == "print")


def _stores(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
