"""Assignments with or without an annotation: `x = value` and `x: Kind = value`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TypeAlias, TypeGuard

__all__ = ["Assignment", "binds", "is_assignment", "targets_of", "value_of", "variable_of"]

Assignment: TypeAlias = ast.Assign | ast.AnnAssign


def is_assignment(node: ast.AST | None) -> TypeGuard[Assignment]:
    """Return whether a statement assigns a value; an annotation alone assigns none."""
    return isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value is not None)


def targets_of(node: ast.AST | None) -> list[ast.expr]:
    """Return the targets of an assignment; none for other statements."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) and node.value is not None else []


def value_of(statement: Assignment) -> ast.expr:
    """Return the value of an assignment; None for an annotation without a value."""
    return statement.value or ast.Constant(None)


def variable_of(node: ast.AST | None) -> str:
    """Return the name of the one variable that a statement assigns; empty for other statements."""
    targets = targets_of(node)
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def binds(use: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether this use of a name binds it: it is neither a read nor an annotation without a value."""
    statement = parents[use]
    return not isinstance(use.ctx, ast.Load) and not (isinstance(statement, ast.AnnAssign) and statement.value is None)
