"""Places new imports: next to those of LangChain, in their order, and where they fail only if those fail.

Imports from the standard library go next to others from it. A comment above a statement stays with it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence

from callbridge.migrate.edits.operations import AddImport
from callbridge.migrate.edits.source import Function, Source

__all__ = ["has_import", "place_import"]

Import = ast.Import | ast.ImportFrom


def has_import(source: Source, module: str, name: str, near: ast.AST) -> bool:
    """Return whether an import of a name is visible to a node: at module level, or in a function around it."""
    above = list(source.ancestors(near))
    for node in source.nodes:
        if isinstance(node, Import) and _binds(node, module, name):
            block = source.parents[node]
            if block is source.tree or (isinstance(block, Function) and block in above and node.lineno < _line(near)):
                return True
    return False


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _binds(node: Import, module: str, name: str) -> bool:
    if isinstance(node, ast.Import):
        return not name and any(alias.name == module and alias.asname is None for alias in node.names)
    return not node.level and node.module == module and any(alias.name == name and alias.asname is None for alias in node.names)


def place_import(source: Source, module: str, name: str, near: ast.AST) -> AddImport:
    """Return the operation that imports a name where a reader would look for it.

    Args:
        source: The file.
        module: The module.
        name: The name to import; empty for the module itself.
        near: The node that uses it.
    """
    if _root(module) in sys.stdlib_module_names:
        found = _in_group([node for node in _imports(source.tree.body) if _is_stdlib(node)], source, module, name)
        return found or _first(source, module, name)
    return _in_group(_neighbours(source, near), source, module, name) or _at_top(source, module, name)


def _neighbours(source: Source, near: ast.AST) -> list[Import]:
    """Return the LangChain imports next to which to put one: at module level, else guarded there, else in the function."""
    wanted = [node for node in source.nodes if isinstance(node, Import) and _is_langchain(node)]
    above = [source.tree, *(each for each in source.ancestors(near) if isinstance(each, Function))]
    plain = [node for node in wanted if source.parents[node] is source.tree]
    guarded = [node for node in wanted if source.scope(node) is source.tree and not _is_fallback(source, node)]
    inside = [node for node in wanted if source.parents[node] in above and node.lineno < _line(near)]
    found = plain or guarded or inside
    return [node for node in found if node in source.block(found[0])]


def _is_fallback(source: Source, node: Import) -> bool:
    return any(isinstance(each, ast.ExceptHandler) for each in source.ancestors(node))


def _in_group(group: Sequence[Import], source: Source, module: str, name: str) -> AddImport | None:
    """Return the place in the first block of imports with members of a group: in sorted order, else behind them."""
    if not group:
        return None
    run = _run(source, group[0])
    mine = [node for node in group if node in run]
    plain_ones = [node for node in mine if isinstance(node, ast.Import)]
    if not name and plain_ones:
        return AddImport(plain_ones[-1].lineno, False, module, name)
    later = [node for node in mine if name and isinstance(node, ast.ImportFrom) and (node.module or "") > module]
    plain = isinstance(mine[0], ast.Import) and later[:1] == mine[:1]
    if later and not plain and not _has_comment_above(source, later[0]) and not _shares_line(source, later[0]):
        return AddImport(later[0].lineno, True, module, name)
    return AddImport(mine[-1].lineno, False, module, name)


def _run(source: Source, first: Import) -> list[ast.stmt]:
    """Return the block of imports around one, without blank lines or comments in between."""
    block = source.block(first)
    index = block.index(first)
    run: list[ast.stmt] = [first]
    for node in block[index + 1 :]:
        if not isinstance(node, Import) or node.lineno > (run[-1].end_lineno or 0) + 1:
            break
        run.append(node)
    return run


def _has_comment_above(source: Source, node: ast.stmt) -> bool:
    return node.lineno > 1 and source.line(node.lineno - 1).lstrip().startswith("#")


def _shares_line(source: Source, node: ast.stmt) -> bool:
    return sum(1 for each in source.block(node) if each.lineno == node.lineno) > 1


def _at_top(source: Source, module: str, name: str) -> AddImport:
    """Return the place behind the first imports of a file, or behind its docstring, or at the top."""
    body = source.tree.body
    begin = [node for node in body[:1] if _is_docstring(node)]
    leading = list(begin)
    for node in body[len(begin) :]:
        if not isinstance(node, Import):
            break
        leading.append(node)
    return AddImport(leading[-1].lineno if leading else None, False, module, name)


def _first(source: Source, module: str, name: str) -> AddImport:
    """Return the place before the third-party imports."""
    others = [node for node in _imports(source.tree.body) if not _is_future(node)]
    if others and not _shares_line(source, others[0]) and not _has_comment_above(source, others[0]):
        return AddImport(others[0].lineno, True, module, name)
    return _at_top(source, module, name)


def _imports(body: Sequence[ast.stmt]) -> list[Import]:
    return [node for node in body if isinstance(node, Import)]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _root(module: str) -> str:
    return module.partition(".")[0]


def _roots(node: Import) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [_root(node.module or "")] if not node.level else []
    return [_root(alias.name) for alias in node.names]


def _is_langchain(node: Import) -> bool:
    return any(root.startswith(("langchain", "langgraph", "callbridge")) for root in _roots(node))


def _is_stdlib(node: Import) -> bool:
    return any(root in sys.stdlib_module_names for root in _roots(node)) and not _is_future(node)
