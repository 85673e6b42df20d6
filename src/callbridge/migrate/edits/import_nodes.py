"""Import statements as LibCST nodes: moves, drops and adds names, and keeps the commas and comments of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import libcst as cst

from callbridge.migrate.edits.sequences import appended, without

__all__ = ["drop", "extended", "imports_from", "move", "new"]


def move(line: cst.SimpleStatementLine, homes: Mapping[str, str]) -> Sequence[cst.SimpleStatementLine]:
    """Return the statements that import the same names, those in `homes` from their new modules."""
    statement = cast("cst.ImportFrom", line.body[0])
    groups: dict[str, list[cst.ImportAlias]] = defaultdict(list)
    staying: list[str] = []
    for alias in _aliases(statement):
        home = homes.get(_name(alias))
        if home is None:
            staying.append(_name(alias))
        else:
            groups[home].append(alias)
    first = None if staying else max(groups, key=lambda home: len(groups[home]))
    lines: list[cst.SimpleStatementLine] = []
    for home, group in groups.items():
        if home == first:
            body = _only(statement, [_name(alias) for alias in group])
            lines.insert(0, line.with_changes(body=[body.with_changes(module=_dotted(home), relative=())]))
        else:
            bare = [alias.with_changes(comma=cst.MaybeSentinel.DEFAULT) for alias in group]
            lines.append(cst.SimpleStatementLine([cst.ImportFrom(_dotted(home), bare)]))
    if staying:
        lines.insert(0, line.with_changes(body=[_only(statement, staying)]))
    return lines


def drop(line: cst.SimpleStatementLine, name: str) -> cst.SimpleStatementLine | None:
    """Return the statement without the bound name, or None if no name is left."""
    statement = cast("cst.ImportFrom", line.body[0])
    aliases = cast("Sequence[cst.ImportAlias]", statement.names)
    index = next(index for index, alias in enumerate(aliases) if _bound(alias) == name)
    if len(aliases) == 1:
        return None
    return line.with_changes(body=[_without(statement, index)])


def _without(statement: cst.ImportFrom, index: int) -> cst.ImportFrom:
    """Return the statement without one of its names."""
    left, right = statement.lpar, statement.rpar
    inside = (left.whitespace_after, right.whitespace_before) if left and right else (cst.SimpleWhitespace(""),) * 2
    names, before, after = without(cast("Sequence[cst.ImportAlias]", statement.names), index, *inside)
    changed = statement.with_changes(names=names)
    if left and right:
        return changed.with_changes(
            lpar=left.with_changes(whitespace_after=before), rpar=right.with_changes(whitespace_before=after)
        )
    return changed


def _only(statement: cst.ImportFrom, kept: Sequence[str]) -> cst.ImportFrom:
    """Return the statement with these of its names."""
    while gone := [index for index, alias in enumerate(_aliases(statement)) if _name(alias) not in kept]:
        statement = _without(statement, gone[0])
    return statement


def _aliases(statement: cst.ImportFrom) -> Sequence[cst.ImportAlias]:
    return cast("Sequence[cst.ImportAlias]", statement.names)


def imports_from(line: cst.CSTNode, module: str) -> bool:
    """Return whether a statement is `from module import …` that names can be added to."""
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return False
    statement = line.body[0]
    if not isinstance(statement, cst.ImportFrom) or isinstance(statement.names, cst.ImportStar) or statement.relative:
        return False
    return statement.module is not None and cst.Module([]).code_for_node(statement.module) == module


def extended(line: cst.SimpleStatementLine, names: Sequence[str]) -> cst.SimpleStatementLine:
    """Return a statement that imports these names, too."""
    statement = cast("cst.ImportFrom", line.body[0])
    present = {_bound(alias) for alias in _aliases(statement)}
    added = [cst.ImportAlias(cst.Name(name)) for name in names if name not in present]
    return line.with_changes(body=[statement.with_changes(names=appended(_aliases(statement), added))]) if added else line


def new(module: str, names: Sequence[str]) -> cst.SimpleStatementLine:
    """Return a new import statement; without names, one that imports the module itself."""
    if names == [""]:
        return cst.SimpleStatementLine([cst.Import([cst.ImportAlias(_dotted(module))])])
    aliases = [cst.ImportAlias(cst.Name(name)) for name in names]
    return cst.SimpleStatementLine([cst.ImportFrom(_dotted(module), aliases)])


def _name(alias: cst.ImportAlias) -> str:
    return alias.evaluated_name


def _bound(alias: cst.ImportAlias) -> str:
    return alias.evaluated_alias or alias.evaluated_name


def _dotted(name: str) -> cst.Attribute | cst.Name:
    return cast("cst.Attribute | cst.Name", cst.parse_expression(name))
