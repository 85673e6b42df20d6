"""Finds the statement before which a call can move, if that changes nothing that the statement computes first.

```
messages.append(chain.invoke(x).content)           with stream_call(chain.invoke, x) as stream:
                                             →         ...
                                                   messages.append(stream.result.content)
```

The code before the call in its statement now runs after the call. Names, constants and attributes that nothing assigns in
between stay the same; the result of another call, or a text made from mutable values, may not.
"""

from __future__ import annotations

import ast

from callbridge.migrate.edits.source import Function, Source
from callbridge.migrate.edits.unfit import UnfitError

__all__ = ["statement_of"]

_LARGER = "the result is part of a larger expression, parts of which come first: assign it to a variable"
_SOMETIMES = "the call is part of a larger expression, which may skip or repeat it: assign its result to a variable"
_PASSING = (
    ast.Attribute,
    ast.Await,
    ast.BinOp,
    ast.Call,
    ast.Compare,
    ast.Dict,
    ast.FormattedValue,
    ast.JoinedStr,
    ast.List,
    ast.Set,
    ast.Starred,
    ast.Subscript,
    ast.Tuple,
    ast.UnaryOp,
    ast.Yield,
    ast.keyword,
)
"""Expressions that compute all their parts, in source order."""


def statement_of(source: Source, value: ast.expr) -> ast.stmt:
    """Return the statement before which an expression can be evaluated.

    Args:
        source: The file.
        value: An expression in the statement, which must evaluate it exactly once.

    Raises:
        UnfitError: The statement does not, or it evaluates something first that the expression may affect.
    """
    node: ast.AST = value
    while not isinstance(parent := source.parents[node], ast.stmt):
        if not _is_computed(parent, node):
            raise UnfitError(_SOMETIMES)
        if not all(_is_steady(source, each, value) for each in _before(parent, node)):
            raise UnfitError(_LARGER)
        node = parent
    _check_statement(source, parent, node)
    if sum(1 for each in source.block(parent) if each.lineno == parent.lineno) > 1:
        raise UnfitError("the statement shares its line with another one: put it on a line of its own")
    owner = source.parents[parent]
    if isinstance(owner, ast.stmt) and not isinstance(owner, ast.Module) and owner.lineno == parent.lineno:
        raise UnfitError("the statement shares its line with the header of its block: put it on a line of its own")
    if isinstance(source.scope(parent), Function | ast.Module):
        return parent
    raise UnfitError("the call is in the body of a class")


def _check_statement(source: Source, statement: ast.stmt, part: ast.AST) -> None:
    """Refuse a statement that does not run in source order, or that evaluates the part more than once."""
    if isinstance(statement, ast.AugAssign) and part is statement.value:
        if not _is_steady(source, statement.target, part):
            raise UnfitError(_LARGER)
        return
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return) and statement.value is part:
        return
    first = isinstance(statement, ast.If) and statement.test is part
    first = first or (isinstance(statement, ast.For) and statement.iter is part)
    line = source.line(statement.lineno)
    if not first or line.lstrip().startswith("elif"):
        raise UnfitError("the call is part of a statement's header: assign its result to a variable first")


def _is_computed(parent: ast.AST, node: ast.AST) -> bool:
    """Return whether evaluating an expression computes a part of it exactly once."""
    if isinstance(parent, ast.IfExp):
        return parent.test is node
    if isinstance(parent, ast.BoolOp):
        return parent.values[0] is node
    if isinstance(parent, ast.Compare):
        return node in (parent.left, parent.comparators[0])
    return isinstance(parent, _PASSING)


def _before(parent: ast.AST, node: ast.AST) -> list[ast.AST]:
    """Return the parts of an expression that Python evaluates before one of them."""
    place = _place(node)
    return [each for each in ast.iter_child_nodes(parent) if hasattr(each, "lineno") and _place(each) < place]


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _is_steady(source: Source, node: ast.AST, call: ast.AST) -> bool:
    """Return whether an expression has the same value before and after a call, and no effect of its own."""
    if isinstance(node, ast.keyword):
        return _is_steady(source, node.value, call)
    if isinstance(node, ast.List | ast.Tuple):
        return all(_is_steady(source, each, call) for each in node.elts)
    if isinstance(node, ast.Dict):
        return all(each is not None and _is_steady(source, each, call) for each in [*node.keys, *node.values])
    if isinstance(node, ast.Attribute):
        return _is_steady(source, node.value, call) and not _is_stored_elsewhere(source, node.attr, call)
    if isinstance(node, ast.Subscript):
        key = node.slice
        return isinstance(key, ast.Constant) and _is_steady(source, node.value, call) and not _is_item(source, key, call)
    if isinstance(node, ast.Name):
        declared = (each for each in source.nodes if isinstance(each, ast.Global | ast.Nonlocal))
        return not any(node.id in each.names for each in declared)
    return isinstance(node, ast.Constant)


def _is_stored_elsewhere(source: Source, name: str, call: ast.AST) -> bool:
    """Return whether a function that a call may run assigns an attribute of this name."""
    stores = [node for node in source.nodes if isinstance(node, ast.Attribute) and node.attr == name]
    return any(_may_run(source, each, call) for each in stores if not isinstance(each.ctx, ast.Load))


def _is_item(source: Source, key: ast.Constant, call: ast.AST) -> bool:
    """Return whether a function that a call may run assigns an item with this key."""
    stores = [node for node in source.nodes if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)]
    named = [each for each in stores if not isinstance(each.slice, ast.Constant) or each.slice.value == key.value]
    return any(_may_run(source, each, call) for each in named)


def _may_run(source: Source, node: ast.AST, call: ast.AST) -> bool:
    """Return whether a call may run the function around a node. A call that only makes an object does not."""
    scope = source.scope(node)
    if isinstance(scope, ast.Module) or scope is source.scope(call):
        return False
    return getattr(scope, "name", "") != "__init__"
