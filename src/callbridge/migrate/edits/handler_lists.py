"""Lists of handlers that the code adds to: `callbacks.append(handler)`."""

from __future__ import annotations

import ast
from typing import NamedTuple

from callbridge.migrate.edits.assignments import value_of
from callbridge.migrate.edits.source import Function, Source

__all__ = ["Growth", "grown_by", "growth_by", "growth_of"]


class Growth(NamedTuple):
    """A statement that adds handlers to a list in a variable.

    Attributes:
        name: The variable, in this statement.
        display: Its first value.
        statement: The statement that goes with the handlers, or the `if` around it that does nothing else.
        added: The added handlers.
        test: The condition on which they are added; None if they always are.
    """

    name: ast.Name
    display: ast.List
    statement: ast.stmt
    added: tuple[ast.expr, ...]
    test: ast.expr | None

    def is_before(self, source: Source, use: ast.expr) -> bool:
        """Return whether a read of the list always comes after the handlers are added."""
        if source.scope(use) is not source.scope(self.name):
            return False
        return (self.statement.end_lineno or self.statement.lineno) < use.lineno


def growth_of(source: Source, handler: ast.expr) -> Growth | None:
    """Return the growth of a list by exactly one handler; None if it is something else, or partly unknown."""
    name = grown_by(source, handler)
    found = growth_by(source, name) if name is not None else None
    return found if found is not None and found.added == (handler,) else None


def grown_by(source: Source, handler: ast.expr) -> ast.expr | None:
    """Return the list that a handler is added to, in a list or alone; None if it has another use."""
    parent = source.parents[handler]
    inner = source.parents[parent] if isinstance(parent, ast.List) else parent
    return inner.target if isinstance(inner, ast.AugAssign) else _owner(inner)


def growth_by(source: Source, name: ast.expr) -> Growth | None:
    """Return the growth in which a use of a list's variable stands."""
    statement = source.statement(name)
    added = _added(statement, name)
    if added is None or not isinstance(name, ast.Name):
        return None
    scope = source.scope(name)
    made = source.assignment(name.id, scope) if isinstance(scope, Function | ast.Module) else None
    value = value_of(made) if made is not None else None
    if made is None or not isinstance(value, ast.List):
        return None
    block, owner = source.block(made), source.parents[statement]
    if statement in block:
        return Growth(name, value, statement, added, None)
    if not isinstance(owner, ast.If) or owner not in block or statement not in owner.body:
        return None
    whole = owner if owner.body == [statement] and not owner.orelse else statement
    return Growth(name, value, whole, added, owner.test)


def _owner(node: ast.AST) -> ast.expr | None:
    """Return `x` of `x.append(…)` and `x.extend(…)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("append", "extend"):
        return node.func.value
    return None


def _added(statement: ast.stmt, name: ast.expr) -> tuple[ast.expr, ...] | None:
    """Return the elements that a statement adds to a list; None if it does something else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or _owner(call) is not name or len(call.args) != 1 or call.keywords:
        return None
    given, alone = call.args[0], isinstance(call.func, ast.Attribute) and call.func.attr == "append"
    if alone:
        return (given,)
    return tuple(given.elts) if isinstance(given, ast.List) else (given,)
