"""Where a handler is attached to a call, and what takes it off again."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from callbridge.migrate.edits.operations import Operation, RemoveArgument, RemoveElement, RemoveStatement
from callbridge.migrate.edits.source import Source

__all__ = ["Attachment", "find_attachment"]


@dataclass(frozen=True)
class Attachment:
    """A handler among the callbacks of a call.

    Attributes:
        call: The constructor or method that is given the handler.
        operations: What takes it off; without another handler there, the argument goes as well.
        shortened: What takes it off its list, and leaves the argument, whatever is left in it.
    """

    call: ast.Call
    operations: tuple[Operation, ...]
    shortened: Operation


def find_attachment(source: Source, handler: ast.expr) -> Attachment | None:
    """Return the attachment that this expression is, or None if it stands elsewhere.

    Known are `callbacks=[h]`, `config={"callbacks": [h]}`, and both with the list in a variable of its own.
    """
    handlers = source.parents[handler]
    if not isinstance(handlers, ast.List):
        return None
    alone = len(handlers.elts) == 1
    shortened: Operation = RemoveElement(source.span(handlers), handlers.elts.index(handler))
    value: ast.expr = handlers
    removals: tuple[Operation, ...] = ()
    statement = source.parents[handlers]
    if isinstance(statement, ast.Assign):
        use = _only_use(source, statement)
        if use is None:
            return None
        value, removals = use, (RemoveStatement(source.span(statement)),)
    found = _argument(source, value)
    if found is None:
        return None
    call, removal = found
    return Attachment(call, (removal, *removals) if alone else (shortened,), shortened)


def _only_use(source: Source, statement: ast.Assign) -> ast.Name | None:
    """Return where a variable is read, if that is one place in the scope that assigns it."""
    target = statement.targets[0]
    scope = source.scope(statement)
    if len(statement.targets) != 1 or not isinstance(target, ast.Name) or isinstance(scope, ast.ClassDef | ast.Lambda):
        return None
    if source.assignment(target.id, scope) is not statement or (
        isinstance(scope, ast.Module) and source.is_exported(target.id)
    ):
        return None
    reads = [use for use in source.uses(target.id, scope) if isinstance(use.ctx, ast.Load)]
    return reads[0] if len(reads) == 1 else None


def _argument(source: Source, value: ast.expr) -> tuple[ast.Call, Operation] | None:
    """Return the call that a list of callbacks is given to, and what takes the list away."""
    parent = source.parents[value]
    if isinstance(parent, ast.keyword) and parent.arg == "callbacks":
        return _of_call(source, parent)
    if not isinstance(parent, ast.Dict):
        return None
    index = parent.values.index(value)
    key, keyword = parent.keys[index], source.parents[parent]
    if not isinstance(key, ast.Constant) or key.value != "callbacks":
        return None
    if not isinstance(keyword, ast.keyword) or keyword.arg != "config":
        return None
    found = _of_call(source, keyword)
    if found is None or len(parent.values) == 1:
        return found
    return found[0], RemoveElement(source.span(parent), index)


def _of_call(source: Source, keyword: ast.keyword) -> tuple[ast.Call, Operation] | None:
    call = source.parents[keyword]
    if not isinstance(call, ast.Call) or keyword.arg is None:
        return None
    return call, RemoveArgument(source.span(call), keyword.arg)
