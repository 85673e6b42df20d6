"""Data flow within one scope: which calls run an object. Follows assignments to names only."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.langchain_names import CALL_METHODS
from callbridge.migrate.analysis.module import Module, called_name, walk

__all__ = ["assigned_names", "holding_statement", "names_in", "runs_in_scope"]


def names_in(node: ast.AST) -> set[str]:
    """Return all names that an expression mentions."""
    return {each.id for each in walk(node) if isinstance(each, ast.Name)}


def holding_statement(node: ast.AST, module: Module) -> ast.stmt | None:
    """Return the statement that an expression stands in."""
    current: ast.AST | None = node
    while current is not None and not isinstance(current, ast.stmt):
        current = module.parents.get(current)
    return current


def assigned_names(node: ast.AST, module: Module) -> set[str]:
    """Return the variables that the statement around an expression assigns."""
    statement = holding_statement(node, module)
    if isinstance(statement, ast.Assign):
        return {target.id for target in statement.targets if isinstance(target, ast.Name)}
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    return set()


def runs_in_scope(node: ast.expr, module: Module) -> list[ast.Call]:
    """Return the calls in the same scope that run the object of an expression, or an object made from it.

    Args:
        node: Usually the constructor call of a model or chain, or of a handler.
        module: Where it stands.
    """
    scope = module.scope_of(node)
    derived = assigned_names(node, module)
    statements = [each for each in module.of(ast.Assign) if module.scopes[each] is scope and each.lineno >= node.lineno]
    for statement in statements:
        if names_in(statement.value) & derived:
            derived |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return [call for call in _calls(scope, module) if _runs(call, derived)]


def _calls(scope: ast.AST, module: Module) -> Iterator[ast.Call]:
    yield from (call for call in module.of(ast.Call) if module.scopes[call] is scope)


def _runs(call: ast.Call, derived: set[str]) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in derived
    return (
        isinstance(function, ast.Attribute) and called_name(call) in CALL_METHODS and bool(names_in(function.value) & derived)
    )
