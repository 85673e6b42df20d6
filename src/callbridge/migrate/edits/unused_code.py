"""Removes unused imports, functions and classes that only the rewritten code used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from callbridge.migrate.edits.operations import DropImport, Operation, RemoveStatement
from callbridge.migrate.edits.source import Function, Source

__all__ = ["drop_unused"]


def drop_unused(source: Source, names: Iterable[str]) -> tuple[tuple[Operation, ...], frozenset[str]]:
    """Return operations that remove the definitions of these names if nothing uses them any more.

    A name stays if strings mention it, if other files import it, or if its import says `noqa`.

    Args:
        source: The file.
        names: The names that rewritten code used.

    Returns:
        The operations, and the names that the removed definitions used.
    """
    operations: list[DropImport | RemoveStatement] = []
    used: set[str] = set()
    for name in sorted(set(names)):
        if _is_unused(source, name):
            for operation, removed in _drop(source, name):
                if not any(operation.span.overlaps(other.span) for other in operations):
                    operations.append(operation)
                    used.update(each.id for each in ast.walk(removed) if isinstance(each, ast.Name))
    return tuple(operations), frozenset(used)


def _is_unused(source: Source, name: str) -> bool:
    if source.is_exported(name) or not all(_is_own(source, name, use) for use in source.uses(name)):
        return False
    word = re.compile(rf"\b{re.escape(name)}\b")
    return not any(
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and word.search(node.value)
        and not _is_own(source, name, node)
        for node in source.nodes
    )


def _is_own(source: Source, name: str, use: ast.expr) -> bool:
    """Return whether a use of a module-level function or class is inside its own definition, which does not count."""
    top = next((each for each in source.ancestors(use) if source.parents.get(each) is source.tree), None)
    return isinstance(top, Function | ast.ClassDef) and top.name == name and use not in top.decorator_list


def _drop(source: Source, name: str) -> Iterator[tuple[DropImport | RemoveStatement, ast.stmt]]:
    for node in source.nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            alone = sum(1 for each in source.block(node) if each.lineno == node.lineno) == 1
            if not alone or _is_guarded(source, node) or any("noqa" in source.line(line) for line in lines):
                continue
            if isinstance(node, ast.ImportFrom):
                yield DropImport(source.span(node), name), node
            elif len(node.names) == 1:
                yield RemoveStatement(source.span(node)), node
        elif isinstance(node, Function | ast.ClassDef) and node.name == name and not node.decorator_list:
            yield RemoveStatement(source.span(node)), node


def _is_guarded(source: Source, node: ast.Import | ast.ImportFrom) -> bool:
    """Return whether an import is in a `try`, or alone in its block, so that only a `pass` would be left."""
    tried = [each for each in source.ancestors(node) if isinstance(each, ast.Try | ast.ExceptHandler)]
    if tried and not (len(tried) == 1 and isinstance(tried[0], ast.Try) and _tries_more(tried[0], node)):
        return True
    return source.block(node) is not source.tree.body and len(source.block(node)) == 1 and len(node.names) == 1


def _tries_more(guard: ast.Try, node: ast.Import | ast.ImportFrom) -> bool:
    """Return whether a `try` imports other things of the same family as well, and has nothing in place of this import."""
    family = _families(node)
    others = [each for each in guard.body if isinstance(each, ast.Import | ast.ImportFrom) and each is not node]
    names = {alias.asname or alias.name for alias in node.names}
    instead = {name for handler in guard.handlers for each in ast.walk(handler) for name in _bound(each)}
    return node in guard.body and any(family & _families(each) for each in others) and not names & instead


def _families(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the first part of a package's name, up to an underscore: `langchain` for `langchain_classic.callbacks`."""
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {each.partition(".")[0].partition("_")[0] for each in modules}


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node itself binds, without its children."""
    if isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, Function | ast.ClassDef):
        yield node.name
