"""What it means that a call is made where the loop over its text begins, and no longer where its task was made."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.edits.source import Function, Source, is_langchain
from callbridge.migrate.edits.tasks import REPORTING, Task

__all__ = ["moving"]

_REASON = "what the call is given is computed where the loop begins, after what stands between the task and the loop"


def moving(source: Source, loop: ast.AsyncFor, task: Task) -> str:
    """Return what speaks against evaluating a call's arguments later than they were; empty if nothing can come of it.

    Args:
        source: The file.
        loop: Follows the statement that makes the task, in its function or in one inside of it.
        task: Makes the call.
    """
    given = [each for each in ast.walk(task.run) if each not in (task.run, task.run.func)]
    computed = any(isinstance(each, ast.Await) or _calls(source, each) for each in given)
    loaded = any(isinstance(each, ast.Attribute | ast.Subscript) for each in given)
    if computed and source.scope(loop) is not source.scope(task.statement):
        return _REASON
    between = list(_between(source, loop, task))
    if computed and any(_acts(each) for each in between):
        return _REASON
    return _REASON if (computed or loaded) and any(_stores(each) for each in between) else ""


def _between(source: Source, loop: ast.AsyncFor, task: Task) -> Iterator[ast.AST]:
    """Return what is run after the task has been made and before the loop begins."""
    block = source.block(task.statement)
    above = {loop, *source.ancestors(loop)}
    stack: list[ast.AST] = list(block[block.index(task.statement) + 1 :])
    while stack:
        node = stack.pop()
        if isinstance(node, Function | ast.Lambda) and node not in above:
            continue
        if node is not loop and getattr(node, "lineno", 0) <= loop.lineno:
            yield node
            stack.extend(ast.iter_child_nodes(node))


def _calls(source: Source, node: ast.AST) -> bool:
    """Return whether a node is a call that may depend on when it is made; messages and models of LangChain do not."""
    return isinstance(node, ast.Call) and not is_langchain(source.origin(node.func))


def _acts(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Yield | ast.YieldFrom)
    function = node.func
    reports = isinstance(function, ast.Attribute) and function.attr in REPORTING
    return not reports and not (isinstance(function, ast.Name) and function.id == "print")


def _stores(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
