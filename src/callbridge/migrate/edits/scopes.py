"""Which scope a name belongs to: functions and comprehensions see the scopes around them, but not class scopes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Scopes"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)


class Scopes:
    """The scopes of a file.

    Args:
        tree: The file.
        parents: Each node's parent.
    """

    def __init__(self, tree: ast.Module, parents: Mapping[ast.AST, ast.AST]) -> None:
        self._tree = tree
        self._parents = parents
        self._bound: dict[ast.AST, frozenset[str]] = {}

    def home(self, name: ast.Name) -> ast.AST:
        """Return the function, lambda, comprehension or class that binds a name; else the module."""
        return self.home_of(name.id, name)

    def home_of(self, name: str, node: ast.AST) -> ast.AST:
        """Return the scope that would bind a name at a node."""
        path: list[ast.AST] = [node]
        inside = False
        while (above := self._parents.get(path[-1])) is not None:
            if isinstance(above, _SCOPES) and _is_inside(above, path):
                if name in self.bound(above) and not (inside and isinstance(above, ast.ClassDef)):
                    return above
                inside = True
            path.append(above)
        return self._tree

    def bound(self, scope: ast.AST) -> frozenset[str]:
        """Return the names that a scope binds."""
        if scope not in self._bound:
            self._bound[scope] = frozenset(_bound(scope))
        return self._bound[scope]


def _is_inside(scope: ast.AST, path: list[ast.AST]) -> bool:
    """Return whether a node below a scope is evaluated in it: decorators, defaults, bases and the first iterable are not."""
    below = path[-1]
    if isinstance(scope, _COMPREHENSIONS):
        return below is not scope.generators[0] or len(path) < 2 or path[-2] is not scope.generators[0].iter
    body = getattr(scope, "body", ())
    return below in body if isinstance(body, list) else below is body


def _bound(scope: ast.AST) -> set[str]:
    if isinstance(scope, _COMPREHENSIONS):
        targets = [node for each in scope.generators for node in ast.walk(each.target)]
        return {node.id for node in targets if isinstance(node, ast.Name)}
    names: set[str] = set()
    if isinstance(scope, _FUNCTIONS):
        names = {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    body = getattr(scope, "body", ())
    others: set[str] = set()
    for node in _own(body if isinstance(body, list) else ()):
        if isinstance(node, ast.Global | ast.Nonlocal):
            others.update(node.names)
        else:
            names.update(_names(node))
    return names - others


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Return the nodes of a body that bind names in it. In a comprehension, only `name := value` does."""
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, _COMPREHENSIONS):
            stack.extend(each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
            continue
        yield node
        if not isinstance(node, _SCOPES):
            stack.extend(ast.iter_child_nodes(node))


def _names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Load) else (node.id,)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(
        node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
    ):
        return (node.name,) if node.name else ()
    return (node.rest,) if isinstance(node, ast.MatchMapping) and node.rest else ()
