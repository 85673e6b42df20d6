"""Which comments go with the code that an edit removes: one rule for all edits.

A comment goes with the statement, argument, element or name that it is about:

* a comment inside it, behind it on its last line, or directly above it without a blank line between, is about it;
* if other code is there too (the paragraph goes on below it, the line has other arguments), the words decide: the comment is
  about the code that shares a word with it;
* if the words do not decide, the comment stays, and the edit needs `--unsafe`.

All other comments stay where they are.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from callbridge.migrate.edits.operations import (
    DropImport,
    Operation,
    RemoveArgument,
    RemoveComment,
    RemoveElement,
    RemoveFinally,
    RemoveStatement,
    ReplaceExpression,
    ReplaceStatement,
)
from callbridge.migrate.edits.source import Source, Span, keyword_of
from callbridge.migrate.words import words

__all__ = ["with_comments"]

_SPOKEN_OF = (
    (r"create_task|ensure_future", "async background concurrently create launch parallel run running schedule start task"),
    (r"(?i:handler|callback)", "attach callback callbacks handler handlers stdout stream streamer streaming token tokens"),
    (r"\bawait\b", "await complete completed completes done end ends finish finished finishes join wait waiting waits"),
    (r"\.set\(\)", "close done end ends event finish finished signal"),
    (r"(?i:queue)", "queue sentinel"),
    (r"Thread\b|\.join\(|\.start\(", "background join run start starts thread threading worker"),
    (r"\basync for\b|\baiter\b", "iterate loop over read stream streaming token tokens yield"),
    (r"\bfinally\b", "always cleanup done ensure error errors exception finally make sure"),
    (r"\bimport\b", "import imports"),
)
"""Patterns of code, and words that comments use for it."""

_OTHER_LANGUAGES = (
    (r"回调|回調|コールバック|콜백|callback", "callback"),
    (r"处理程序|处理器|處理器|ハンドラ|핸들러|handler", "handler"),
    (r"后台|後台|異步|异步|バックグラウンド|백그라운드|任务|任務|タスク", "background task"),
    (r"等待|待つ|待って|대기", "wait"),
    (r"队列|佇列|キュー|큐", "queue"),
    (r"线程|執行緒|スレッド|스레드", "thread"),
)
"""Words of other languages, and the English words for them."""

_LONGEST = 12
"""Lines of commented-out code before and after one that is not code by itself."""

_COMMON = words("all and are for from into new not our self that the this use used with")


@dataclass
class _Fate:
    """The comments that go, by line; the first one that cannot be placed; and the parts removed from statements that stay."""

    gone: set[int] = field(default_factory=set)
    dropped: list[str] = field(default_factory=list)
    loose: str = ""


def with_comments(source: Source, operations: Sequence[Operation]) -> tuple[tuple[Operation, ...], str]:
    """Return operations with those that remove comments, and why a comment cannot be placed; empty if all can."""
    fate = _Fate()
    nodes = _Nodes(source)
    removed = [node for each in operations if isinstance(each, RemoveStatement) and (node := nodes.statement(each.span))]
    removed += _emptied(operations, nodes)
    for each in operations:
        if isinstance(each, RemoveArgument | RemoveElement):
            fate.dropped += [source.text_of(items[index]) for items, index in nodes.items(each)]
    for statement in removed:
        _with_statement(source, statement, removed, fate)
    moved = [
        hole for each in operations if isinstance(each, ReplaceExpression | ReplaceStatement) for hole in each.holes.values()
    ]
    fate.gone -= {line for line in fate.gone if any(hole.overlaps(source.comments[line]) for hole in moved)}
    for each in operations:
        if isinstance(each, RemoveFinally) and isinstance(attempt := nodes.statement(each.span), ast.Try):
            _with_finally(source, attempt, fate)
        elif isinstance(each, RemoveArgument | RemoveElement | DropImport):
            for items, index in nodes.items(each):
                _with_item(source, items, index, fate)
                _with_sentence(source, nodes.around(each.span), items[index], removed, fate)
        elif isinstance(each, ReplaceExpression | ReplaceStatement):
            _with_rest(source, each, fate)
    added = [RemoveComment(source.comments[line]) for line in sorted(fate.gone)]
    return (*operations, *added), fate.loose


class _Nodes:
    """The nodes of a file by their places."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def statement(self, span: Span) -> ast.stmt | None:
        return self._source.statements.get(span)

    def around(self, span: Span) -> ast.stmt | None:
        """Return the statement that an expression is part of."""
        node = self._source.displays.get(span)
        return self._source.statement(node) if node is not None else None

    def items(self, operation: RemoveArgument | RemoveElement | DropImport) -> Iterator[tuple[list[Span], int]]:
        """Yield the places of the items between commas, and the index of the one that goes."""
        span = self._source.span
        if isinstance(operation, DropImport):
            node = self._source.statements.get(operation.span)
            if isinstance(node, ast.ImportFrom):
                names = [alias.asname or alias.name for alias in node.names]
                yield [span(alias) for alias in node.names], names.index(operation.name)
            return
        found = self._source.displays.get(operation.span)
        if isinstance(operation, RemoveArgument) and isinstance(found, ast.Call):
            given = found.args[operation.position] if operation.position >= 0 else keyword_of(found, operation.name)
            spans = sorted([*map(span, found.args), *map(span, found.keywords)])
            if given is not None:
                yield spans, spans.index(span(given))
        elif isinstance(operation, RemoveElement) and isinstance(found, ast.List):
            yield [span(each) for each in found.elts], operation.index
        elif isinstance(operation, RemoveElement) and isinstance(found, ast.Dict):
            pairs = zip(found.keys, found.values, strict=True)
            yield [_pair(span(key if key is not None else value), span(value)) for key, value in pairs], operation.index


def _pair(key: Span, value: Span) -> Span:
    return Span(key.line, key.column, value.end_line, value.end_column)


def _emptied(operations: Sequence[Operation], nodes: _Nodes) -> list[ast.stmt]:
    """Return the import statements that lose all their names."""
    found: list[ast.stmt] = []
    drops = [each for each in operations if isinstance(each, DropImport)]
    for span in {each.span for each in drops}:
        node = nodes.statement(span)
        if isinstance(node, ast.ImportFrom) and sum(each.span == span for each in drops) == len(node.names):
            found.append(node)
    return found


# -- statements


def _with_statement(source: Source, statement: ast.stmt, removed: Sequence[ast.stmt], fate: _Fate) -> None:
    first, last = _first_line(statement), statement.end_lineno or statement.lineno
    fate.gone.update(_comments(source, range(first, last + 1)))
    _with_remark(source, statement, removed, fate)
    above = _remarks_above(source, first, statement.col_offset)
    if not above:
        return
    kept = _rest_of_paragraph(source, statement, removed)
    if not kept:
        fate.gone.update(above)
    else:
        gone = [each for each in removed if each.lineno < kept[0].lineno and each.lineno >= statement.lineno]
        _decide(source, above, gone or [statement], kept, fate)


def _with_remark(source: Source, statement: ast.stmt, removed: Sequence[ast.stmt], fate: _Fate) -> None:
    """Remove the comment directly below a statement, before a blank line, if it is about that statement alone."""
    end = statement.end_lineno or statement.lineno
    below = list(takewhile(lambda each: not _is_code(source, each), _next_to(source, end, statement.col_offset, 1)))
    line = end + len(below) + 1
    if below and (line > source.line_count or not source.line(line).strip()):
        block = source.block(statement)
        following = [each for each in block[block.index(statement) + 1 :] if each not in removed][:1]
        rest = _kept_code(source, following, fate)
        if _is_about(source, below, ast.unparse(statement), rest) == "removed":
            fate.gone.update(below)


def _is_code(source: Source, line: int) -> bool:
    """Return whether a comment is commented-out code, or a line of it; that is about nothing."""
    if _is_part(source, line, line, line):
        return True
    column = source.comments[line].column
    firsts = [each for each in (line, *_above(source, line, column)[:_LONGEST]) if _opens(_commented(source, each))]
    lasts = [line, *_next_to(source, line, column, 1)[:_LONGEST]]
    return any(_is_part(source, line, first, last) for first in firsts for last in lasts)


def _is_part(source: Source, line: int, first: int, last: int) -> bool:
    """Return whether the comments of these lines are code together, and one of them belongs to a statement that says so."""
    text = "\n".join(_commented(source, each) for each in range(first, last + 1))
    try:
        body = ast.parse(textwrap.dedent(text)).body
    except (SyntaxError, ValueError):
        return False
    place = line - first + 1
    return any(each.lineno <= place <= (each.end_lineno or each.lineno) and _is_telling(each) for each in body)


def _commented(source: Source, line: int) -> str:
    return source.text_of(source.comments[line]).lstrip("#").rstrip()


def _opens(text: str) -> bool:
    """Return whether code that begins with this line goes on in the next."""
    return text.endswith(":") or sum(map(text.count, "([{")) > sum(map(text.count, ")]}"))


def _is_telling(statement: ast.stmt) -> bool:
    """Return whether a statement is hardly prose: words may happen to be an expression, or a statement in one line."""
    if hasattr(statement, "body"):
        return statement.end_lineno != statement.lineno
    told = (ast.Assign, ast.Import, ast.ImportFrom, ast.Return, ast.Await, ast.Call)
    return isinstance(statement.value if isinstance(statement, ast.Expr) else statement, told)


def _rest_of_paragraph(source: Source, statement: ast.stmt, removed: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that follow without a blank line and stay."""
    block, found, end = source.block(statement), list[ast.stmt](), statement.end_lineno or statement.lineno
    for each in block[block.index(statement) + 1 :]:
        if _first_line(each) > end + 1:
            break
        if each not in removed:
            found.append(each)
        end = each.end_lineno or each.lineno
    return found


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])


def _above(source: Source, line: int, column: int) -> list[int]:
    """Return the lines of the comments directly above a line, in its column."""
    return _next_to(source, line, column, -1)


def _next_to(source: Source, line: int, column: int, step: int) -> list[int]:
    """Return the lines of the comments directly above a line, for a step of -1, or below it, for 1; in its column."""
    found: list[int] = []
    line += step
    while (span := source.comments.get(line)) and span.column == column and not source.line(line)[:column].strip():
        found.append(line)
        line += step
    return found


def _remarks_above(source: Source, line: int, column: int) -> list[int]:
    """Return the lines of the comments directly above a line, in its column, without commented-out code."""
    return [each for each in _above(source, line, column) if not _is_code(source, each)]


def _with_finally(source: Source, attempt: ast.Try, fate: _Fate) -> None:
    """Remove the comments in a `finally`; if the `try` goes as well, also those about it."""
    first = attempt.finalbody[0]
    line = first.lineno
    while line > attempt.lineno and not source.line(line).lstrip().startswith("finally"):
        line -= 1
    end = attempt.end_lineno or first.lineno
    while (span := source.comments.get(end + 1)) and span.column >= first.col_offset:
        end += 1
    fate.gone.update(_comments(source, range(line, end + 1)))
    fate.gone.update(_remarks_above(source, line, attempt.col_offset))
    if not attempt.handlers:
        fate.gone.update(_comments(source, [attempt.lineno]))
        above = _remarks_above(source, attempt.lineno, attempt.col_offset)
        if above:
            _decide(source, above, [attempt], attempt.body, fate, "try finally error")


# -- items between commas


def _with_item(source: Source, items: Sequence[Span], index: int, fate: _Fate) -> None:
    item = items[index]
    fate.gone.update(_comments(source, range(item.line, item.end_line)))
    others = [each for each in items if each is not item]
    behind = source.comments.get(item.end_line)
    if behind and behind[:2] >= item[2:]:
        between = source.line(item.end_line)[item.end_column : behind.column]
        sharing = [each for each in others if item.end_line in (each.line, each.end_line)]
        rest = " ".join(map(source.text_of, sharing))
        if any(bracket in between for bracket in ")]}"):  # it belongs to the statement
            rest += source.line(item.end_line)[: item.column if item.line == item.end_line else 0]
            if _is_about(source, [item.end_line], source.text_of(item), rest) == "removed":
                fate.gone.add(item.end_line)
        else:
            _decide_text(source, [item.end_line], source.text_of(item), rest, fate)
    above = _above_item(source, item)
    if above:
        following = [each for each in others if each.line == item.end_line and each > item]
        _decide_text(source, above, source.text_of(item), " ".join(map(source.text_of, following)), fate)


def _with_sentence(source: Source, statement: ast.stmt | None, item: Span, removed: Sequence[ast.stmt], fate: _Fate) -> None:
    """Remove a line above a statement if it is a sentence about nothing but an argument that goes."""
    if statement is None or statement in removed:
        return
    rest = " ".join(text for text in source.text_of(source.span(statement)).split(source.text_of(item)))
    above = sorted(_remarks_above(source, _first_line(statement), statement.col_offset))
    for line, following in zip(above, [*above, 0][1:], strict=True):
        ends = not following or not source.text_of(source.comments[following]).lstrip("#! ")[:1].islower()
        begins = not source.text_of(source.comments[line]).lstrip("#! ")[:1].islower() or line == above[0]
        if begins and ends and _is_about(source, [line], source.text_of(item), rest) == "removed":
            fate.gone.add(line)


def _above_item(source: Source, item: Span) -> list[int]:
    if source.line(item.line)[: item.column].strip():
        return []
    return _remarks_above(source, item.line, item.column)


# -- replaced code


def _with_rest(source: Source, operation: ReplaceExpression | ReplaceStatement, fate: _Fate) -> None:
    """Remove the comments inside replaced code that have no new place."""
    span, holes = operation.span, list(operation.holes.values())
    if isinstance(operation, ReplaceStatement):
        if span in holes or "BODY" in operation.template or not holes:
            return
        if all(name.startswith("STATEMENT_") for name in operation.holes):
            above = {line for hole in holes for line in _above(source, hole.line, hole.column)}
            inside = {line for hole in holes for line in range(hole.line, hole.end_line + 1)}
            fate.gone.update(set(_comments(source, range(span.line, span.end_line + 1))) - above - inside)
        return
    lost = [line for line in _comments(source, range(span.line, span.end_line)) if source.comments[line][:2] >= span[:2]]
    lost = [line for line in lost if not any(hole.overlaps(source.comments[line]) for hole in holes)]
    if lost:
        fate.gone.update(lost)
        fate.loose = fate.loose or _told(source, lost[0], "stands inside the code that the edit replaces")


# -- words


def _decide(
    source: Source, lines: Sequence[int], gone: Sequence[ast.stmt], kept: Sequence[ast.stmt], fate: _Fate, more: str = ""
) -> None:
    removed = more or " ".join(ast.unparse(each) for each in gone)
    _decide_text(source, lines, removed, _kept_code(source, kept, fate), fate)


def _kept_code(source: Source, statements: Sequence[ast.stmt], fate: _Fate) -> str:
    """Return the statements without the arguments and elements that go."""
    text = " ".join(source.text_of(source.span(each)) for each in statements)
    for each in fate.dropped:
        text = text.replace(each, "")
    return text


def _decide_text(source: Source, lines: Sequence[int], removed: str, kept: str, fate: _Fate) -> None:
    """Remove comments about removed code, keep comments about kept code; all others are loose."""
    about = _is_about(source, lines, removed, kept) if kept.strip() else "removed"
    if about == "removed":
        fate.gone.update(lines)
    elif not about:
        fate.loose = fate.loose or _told(source, min(lines), "may be about the code that goes, or about the code that stays")


def _is_about(source: Source, lines: Sequence[int], removed: str, kept: str) -> str:
    """Return what comments are about, by their words: `"removed"`, `"kept"`, or nothing if they do not say."""
    text = " ".join(source.text_of(source.comments[line]) for line in lines)
    said = _words(text).union(*(alike.split() for pattern, alike in _OTHER_LANGUAGES if re.search(pattern, text)))
    about_removed, about_kept = said & _spoken_of(removed), said & _spoken_of(kept)
    if bool(about_removed) == bool(about_kept):
        return ""
    return "removed" if about_removed else "kept"


def _told(source: Source, line: int, why: str) -> str:
    text = source.text_of(source.comments[line]).strip()
    return f"the comment `{text if len(text) <= 40 else text[:37] + '...'}` in line {line} {why}"


def _words(text: str) -> set[str]:
    found = re.findall(r"[A-Za-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text))
    return {word.lower() for word in found if len(word) > 2} - _COMMON


def _spoken_of(code: str) -> set[str]:
    return _words(code).union(*(alike.split() for pattern, alike in _SPOKEN_OF if re.search(pattern, code)))


def _comments(source: Source, lines: Iterable[int]) -> list[int]:
    return [line for line in lines if line in source.comments]
