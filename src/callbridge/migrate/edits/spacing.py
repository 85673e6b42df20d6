"""Formats added and moved imports: usual blank lines, and no module twice in a row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeVar, cast

import libcst as cst

__all__ = ["merged", "spaced"]

B = TypeVar("B", bound=cst.IndentedBlock | cst.Module)
Line = cst.SimpleStatementLine

_LONGEST = 99
"""Statements are not merged into longer lines."""


def spaced(block: B, added: Sequence[Line]) -> B:
    """Return a block with blank lines between added imports and other code."""
    body = list[cst.BaseStatement](block.body)
    for index, node in enumerate(body):
        if not any(node is each for each in added):
            continue
        before = body[index - 1] if index else None
        after = body[index + 1] if index + 1 < len(body) else None
        if not (after is not None and _is_import(after)) and before is not None and not _blank(before, node):
            body[index] = _parted(node, 1)
        if after is None or (before is not None and _is_import(before) and not _is_future(before)):
            continue  # the next statement keeps its place behind the import before
        if not _is_import(after):
            wanted = 2 if isinstance(after, cst.FunctionDef | cst.ClassDef) and isinstance(block, cst.Module) else 1
            body[index + 1] = _parted(after, wanted)
        elif _is_stdlib(node) and not _is_stdlib(after):
            body[index + 1] = _parted(after, 1)
    return cast("B", block.with_changes(body=body))


def _blank(before: cst.BaseStatement, node: cst.BaseStatement) -> bool:
    """Return whether a blank line separates a statement from the one before, or imports need none."""
    lines: Sequence[cst.EmptyLine] = getattr(node, "leading_lines", ())
    return _is_import(before) or (bool(lines) and lines[0].comment is None)


def _parted(node: cst.BaseStatement, wanted: int) -> cst.BaseStatement:
    """Return a statement with as many blank lines before it, at least."""
    lines = list(getattr(node, "leading_lines", ()))
    blank = next((index for index, line in enumerate(lines) if line.comment is not None), len(lines))
    return node.with_changes(leading_lines=[*[cst.EmptyLine(indent=False)] * (wanted - blank), *lines])


def merged(block: B, moved: Sequence[Line]) -> B:
    """Return a block in which a moved import is merged with its neighbour, if that imports from the same module."""
    body: list[cst.BaseStatement] = []
    for node in block.body:
        last = body[-1] if body else None
        if any(node is each or last is each for each in moved):
            one = _merge(last, node)
            if one is not None:
                body[-1] = one
                continue
        body.append(node)
    return cast("B", block.with_changes(body=body)) if len(body) < len(block.body) else block


def _merge(first: cst.BaseStatement | None, second: cst.BaseStatement) -> Line | None:
    one, two = _names(first), _names(second)
    if one is None or two is None or one[0] != two[0] or not isinstance(first, Line) or not isinstance(second, Line):
        return None
    if second.leading_lines or first.trailing_whitespace.comment or second.trailing_whitespace.comment:
        return None
    known = {_code(alias) for alias in one[1]}
    names = [*one[1], *(each for each in two[1] if _code(each) not in known)]
    if [each.evaluated_name for each in one[1]] == sorted(each.evaluated_name for each in one[1]):
        names.sort(key=lambda each: each.evaluated_name)
    bare = [each.with_changes(comma=cst.MaybeSentinel.DEFAULT) for each in names]
    line = first.with_changes(body=[first.body[0].with_changes(names=bare)])
    return line if len(cst.Module([line.with_changes(leading_lines=())]).code) <= _LONGEST else None


def _code(alias: cst.ImportAlias) -> str:
    return cst.Module([]).code_for_node(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT))


def _names(node: cst.BaseStatement | None) -> tuple[str, Sequence[cst.ImportAlias]] | None:
    """Return module and names of a plain `from … import …` on a line of its own."""
    if not isinstance(node, Line) or len(node.body) != 1 or not isinstance(statement := node.body[0], cst.ImportFrom):
        return None
    if isinstance(statement.names, cst.ImportStar) or statement.lpar or statement.module is None or statement.relative:
        return None
    return cst.Module([]).code_for_node(statement.module), statement.names


def _is_import(node: cst.BaseStatement) -> bool:
    return isinstance(node, Line) and isinstance(node.body[0], cst.Import | cst.ImportFrom)


def _is_future(node: cst.BaseStatement) -> bool:
    names = _names(node)
    return names is not None and names[0] == "__future__"


def _is_stdlib(node: cst.BaseStatement) -> bool:
    first = cast("Line", node).body[0]
    if isinstance(first, cst.ImportFrom):
        names = [cst.Module([]).code_for_node(first.module)] if first.module is not None and not first.relative else []
    else:
        names = [each.evaluated_name for each in cast("cst.Import", first).names]
    return any(name.partition(".")[0] in sys.stdlib_module_names for name in names)
