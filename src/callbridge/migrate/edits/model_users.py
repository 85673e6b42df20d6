"""Who else may run a model that an object keeps: code that the file does not show, and that gets the object or its class."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from callbridge.migrate.edits.assignments import is_assignment, targets_of
from callbridge.migrate.edits.source import Function, Source
from callbridge.migrate.edits.stored_objects import family_of, is_closed

__all__ = ["strangers"]

_KEPT = "an object holds the model"
_OTHERS = f"{_KEPT}: if other files run it, the handler no longer hears that"

_BY_NAME = ("attrgetter", "getattr", "setattr", "vars")
"""Functions that find an attribute by a computed name."""

_THROUGH = (ast.Await, ast.BoolOp, ast.Dict, ast.IfExp, ast.List, ast.NamedExpr, ast.Set, ast.Starred, ast.Tuple, ast.keyword)
"""Nodes around an object that still stand for it, or hold it."""

_ENDS = (
    ast.Assert,
    ast.Attribute,
    ast.Compare,
    ast.Delete,
    ast.Expr,
    ast.FormattedValue,
    ast.If,
    ast.Subscript,
    ast.UnaryOp,
    ast.While,
)
"""Nodes that use an object and pass it to nobody."""


def strangers(source: Source, holder: ast.ClassDef) -> str:
    """Return the assumption about code that may run a model in an object of a class; empty if the file shows all of it."""
    if not is_closed(source, holder):
        return f"{_KEPT}, and the file does not show what the bases or decorators of {holder.name} do with it"
    family = family_of(source, holder)
    made = [call for each in family for use in source.uses(each.name) if _calls(call := source.parents[use], use)]
    if not made or source.foreign_uses or any(source.is_exported(each.name) for each in family):
        return _OTHERS
    if any(_is_by_name(node) for node in source.nodes):
        return f"{_KEPT}, and code finds attributes by their names (`getattr` and the like)"
    selves = [use for each in family for name in ("self", "cls") for use in source.uses(name) if each in source.ancestors(use)]
    starts = [node for node in (*made, *selves) if isinstance(node, ast.expr)]
    given = next((found for each in starts for found in _takers(source, each, set())), "")
    return f"{_KEPT}, and {given} gets the object and may run it, too" if given else ""


def _calls(node: ast.AST, use: ast.expr) -> bool:
    return isinstance(node, ast.Call) and node.func is use


def _is_by_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "__dict__"
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _BY_NAME


def _takers(source: Source, node: ast.AST, seen: set[ast.AST]) -> Iterator[str]:
    """Yield the code that gets an object and that the file does not show."""
    if node in seen:
        return
    seen.add(node)
    parent = source.parents[node]
    if isinstance(parent, _THROUGH):
        if isinstance(parent, ast.NamedExpr):
            yield from _of_names(source, parent.target.id, seen)
        yield from _takers(source, parent, seen)
    elif isinstance(parent, ast.Call):
        if parent.func is not node and not _is_shown(source, parent.func):
            yield f"{ast.unparse(parent.func)}()"
    elif is_assignment(parent):
        for target in targets_of(parent):
            yield from _of_target(source, target, seen)
    elif isinstance(parent, ast.withitem):
        if parent.optional_vars is not None:
            yield from _of_target(source, parent.optional_vars, seen)
    elif isinstance(parent, ast.Return):
        name = getattr(source.scope(parent), "name", "")
        methods = [each for each in source.nodes if isinstance(each, ast.Attribute) and each.attr == name]
        for use in (*source.uses(name), *methods):
            if _calls(source.parents[use], use):
                yield from _takers(source, source.parents[use], seen)
    elif not isinstance(parent, _ENDS):
        yield "other code"


def _of_target(source: Source, target: ast.expr, seen: set[ast.AST]) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield from _of_names(source, target.id, seen)
    elif isinstance(target, ast.Attribute) and source.origin(target) is None:
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and node.attr == target.attr and isinstance(node.ctx, ast.Load):
                yield from _takers(source, node, seen)
    else:
        yield f"{ast.unparse(target)}"


def _of_names(source: Source, name: str, seen: set[ast.AST]) -> Iterator[str]:
    for use in source.uses(name):
        if isinstance(use.ctx, ast.Load):
            yield from _takers(source, use, seen)


def _is_shown(source: Source, function: ast.expr) -> bool:
    """Return whether the file shows what a function or class does with its arguments, or Python does nothing with them."""
    if not isinstance(function, ast.Name):
        return False
    if any(isinstance(each, Function | ast.ClassDef) and each.name == function.id for each in source.tree.body):
        return True
    return hasattr(builtins, function.id) and source.is_builtin(function.id, function)
