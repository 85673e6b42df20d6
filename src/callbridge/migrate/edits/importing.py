"""Import statements as LibCST nodes: names moved, dropped and added, with the commas and comments of the others kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import libcst as cst

__all__ = ["drop", "extended", "imports_from", "move", "new", "without"]

E = TypeVar("E", bound=cst.Arg | cst.Element | cst.ImportAlias)


def without(items: Sequence[E], index: int) -> list[E]:
    """Return items of a comma-separated sequence without one; comments on its line go with it, those of others stay.

    If it was the last one, the item before it ends the sequence as it did: with its comma, and with the bracket where it was.
    """
    kept = [*items[:index], *items[index + 1 :]]
    if kept and index == len(items) - 1:
        last, before = items[-1], kept[-1]
        changes: dict[str, object] = {"comma": _closing(before.comma, last.comma)}
        if isinstance(last, cst.Arg):
            changes["whitespace_after_arg"] = last.whitespace_after_arg
        kept[-1] = cast("E", before.with_changes(**changes))
    return kept


def _closing(comma: cst.Comma | cst.MaybeSentinel, last: cst.Comma | cst.MaybeSentinel) -> cst.Comma | cst.MaybeSentinel:
    """Return a comma that ends a sequence as the last one did, with the comment that it has itself."""
    if not isinstance(comma, cst.Comma) or not isinstance(last, cst.Comma):
        return last
    mine, closing = comma.whitespace_after, last.whitespace_after
    if isinstance(mine, cst.ParenthesizedWhitespace) and isinstance(closing, cst.ParenthesizedWhitespace):
        return last.with_changes(whitespace_after=mine.with_changes(indent=closing.indent, last_line=closing.last_line))
    if isinstance(closing, cst.ParenthesizedWhitespace):
        bare = closing.first_line.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))
        return last.with_changes(whitespace_after=closing.with_changes(first_line=bare))
    return last


def move(line: cst.SimpleStatementLine, homes: Mapping[str, str]) -> Sequence[cst.SimpleStatementLine]:
    """Return the statements that import the same names, those in `homes` from their new modules."""
    statement = cast("cst.ImportFrom", line.body[0])
    aliases = cast("Sequence[cst.ImportAlias]", statement.names)
    groups: dict[str, list[cst.ImportAlias]] = defaultdict(list)
    staying: Sequence[cst.ImportAlias] = aliases
    for alias in aliases:
        home = homes.get(_name(alias))
        if home is not None:
            groups[home].append(alias)
            staying = without(staying, [_name(each) for each in staying].index(_name(alias)))
    first = None if staying else max(groups, key=lambda home: len(groups[home]))
    lines: list[cst.SimpleStatementLine] = []
    for home, group in groups.items():
        if home == first:
            names = aliases
            for gone in [alias for alias in aliases if alias not in group]:
                names = without(names, [_name(each) for each in names].index(_name(gone)))
            body = statement.with_changes(module=_dotted(home), relative=(), names=names)
            lines.insert(0, line.with_changes(body=[body]))
        else:
            bare = [alias.with_changes(comma=cst.MaybeSentinel.DEFAULT) for alias in group]
            lines.append(cst.SimpleStatementLine([cst.ImportFrom(_dotted(home), bare)]))
    if staying:
        lines.insert(0, line.with_changes(body=[statement.with_changes(names=staying)]))
    return lines


def drop(line: cst.SimpleStatementLine, name: str) -> cst.SimpleStatementLine | None:
    """Return the statement without the name that it binds, or None if nothing is left of it."""
    statement = cast("cst.ImportFrom", line.body[0])
    aliases = cast("Sequence[cst.ImportAlias]", statement.names)
    index = next(index for index, alias in enumerate(aliases) if _bound(alias) == name)
    names = without(aliases, index)
    return line.with_changes(body=[statement.with_changes(names=names)]) if names else None


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
    aliases = cast("Sequence[cst.ImportAlias]", statement.names)
    present = {_bound(alias) for alias in aliases}
    new = [name for name in names if name not in present]
    return line.with_changes(body=[statement.with_changes(names=_extended(aliases, new))])


def new(module: str, names: Sequence[str], leading_lines: Sequence[cst.EmptyLine] = ()) -> cst.SimpleStatementLine:
    """Return a new import statement."""
    aliases = [cst.ImportAlias(cst.Name(name)) for name in names]
    return cst.SimpleStatementLine([cst.ImportFrom(_dotted(module), aliases)], leading_lines=leading_lines)


def _extended(aliases: Sequence[cst.ImportAlias], names: Sequence[str]) -> Sequence[cst.ImportAlias]:
    if not names:
        return aliases
    last = aliases[-1]
    between = aliases[0].comma if len(aliases) > 1 else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    added = [cst.ImportAlias(cst.Name(name), comma=between) for name in names]
    added[-1] = added[-1].with_changes(comma=last.comma)
    return [*aliases[:-1], last.with_changes(comma=between), *added]


def _name(alias: cst.ImportAlias) -> str:
    return alias.evaluated_name


def _bound(alias: cst.ImportAlias) -> str:
    return alias.evaluated_alias or alias.evaluated_name


def _dotted(name: str) -> cst.Attribute | cst.Name:
    return cast("cst.Attribute | cst.Name", cst.parse_expression(name))
