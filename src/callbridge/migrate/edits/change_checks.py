"""Checks that every change must pass: it splits no line, leaves no block empty, and loses no comment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from callbridge.migrate.edits.comments import with_comments
from callbridge.migrate.edits.operations import (
    Change,
    DropImport,
    MoveImport,
    Refusal,
    RemoveFinally,
    RemoveStatement,
    ReplaceStatement,
)
from callbridge.migrate.edits.source import Source, Span

__all__ = ["tidy"]

_OF_STATEMENTS = (DropImport, MoveImport, RemoveFinally, RemoveStatement, ReplaceStatement)


def tidy(source: Source, change: Change) -> Change | Refusal:
    """Return a change with the comments that go with it, or a refusal if it would break one of these rules.

    Args:
        source: The file.
        change: The planned change.
    """
    touched = {each.span for each in change.operations if isinstance(each, _OF_STATEMENTS)}
    statements = [node for place, node in source.statements.items() if place in touched]
    for statement in statements:
        if _shares_its_line(source, statement):
            return Refusal(
                change.rule,
                change.place,
                f"the statement in line {statement.lineno} shares its line with another one: put it on a line of its own",
            )
    for line in _emptied(source, change, statements):
        return Refusal(change.rule, change.place, f"the edit would empty the block in line {line}: remove the block first")
    operations, loose = with_comments(source, change.operations)
    reason = "; ".join(each for each in (change.reason, loose) if each)
    return replace(change, operations=operations, reason=reason, orphans=tuple(sorted({*change.orphans, *_kinds(statements)})))


def _kinds(statements: list[ast.stmt]) -> Iterator[str]:
    """Return the names in the annotations of statements: nothing may use them any more when the statements are gone."""
    for statement in statements:
        if isinstance(statement, ast.AnnAssign):
            yield from (node.id for node in ast.walk(statement.annotation) if isinstance(node, ast.Name))


def _shares_its_line(source: Source, statement: ast.stmt) -> bool:
    owner = source.parents[statement]
    if isinstance(owner, ast.stmt | ast.ExceptHandler) and owner.lineno == statement.lineno:
        return True
    lines = {statement.lineno, statement.end_lineno or statement.lineno}
    return any(
        each is not statement and lines & {each.lineno, each.end_lineno or each.lineno} for each in source.block(statement)
    )


def _emptied(source: Source, change: Change, statements: list[ast.stmt]) -> Iterator[int]:
    """Return the first lines of blocks that lose all their statements."""
    removed: set[Span] = {each.span for each in change.operations if isinstance(each, RemoveStatement)}
    for statement in statements:
        block = source.block(statement)
        if block is source.tree.body or source.span(statement) not in removed:
            continue
        if all(source.span(each) in removed for each in block):
            yield block[0].lineno
