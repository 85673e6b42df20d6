"""Rewrites one text: plan, apply, plan again, until nothing is left to do.

```
text ──plan──▶ changes that do not touch each other ──apply──▶ text ──plan──▶ … ──▶ no change ──▶ drop what became unused
```

The result is a fixed point by construction, so a second run changes nothing.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.analysis.suppressions import Suppression, find_suppressions
from callbridge.migrate.edits import suppressions
from callbridge.migrate.edits.comments import with_comments
from callbridge.migrate.edits.leftovers import leftovers
from callbridge.migrate.edits.operations import Change, Operation, Refusal, ReplaceText
from callbridge.migrate.edits.planning import plan_all
from callbridge.migrate.edits.source import Source, Span
from callbridge.migrate.edits.unused_code import drop_unused
from callbridge.migrate.edits.verdicts import is_found, place_of, settled
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.choice import Choice

__all__ = ["Options", "Rewritten", "UneditableError", "rewrite"]

_PASSES = 50


class UneditableError(Exception):
    """A file with something to rewrite cannot be edited. Nothing has been changed.

    Attributes:
        problem: The reason, in one line.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class Options(Choice):
    """What to rewrite.

    Attributes:
        unsafe: Also make edits that may change behaviour or need another dependency.
        level: 1 wraps legacy calls, 2 writes events loops if it can, and wraps the rest.
        path: The file's label, which is the base of relative imports.
        project: Resolves imports; by default nothing does.
        scan: Returns all findings in a text. If given, only findings are edited, and suppressions without a finding go. None:
            every planned change is made.
    """

    unsafe: bool = False
    level: int = 1
    path: str = ""
    project: Project | None = None
    scan: Callable[[str], Sequence[Finding]] | None = None


@dataclass(frozen=True)
class Rewritten:
    """The result of rewriting a text.

    Attributes:
        text: The new text; the old one if nothing changed.
        changes: The changes made, at places of the original text.
        refusals: What was left, and why, at places of the original text. This includes changes that need `--unsafe`, and
            findings that a scan still calls automatic.
    """

    text: str
    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]


def rewrite(
    text: str,
    options: Options | None = None,
    *,
    foreign_uses: frozenset[str] = frozenset(),
    is_package: bool = False,
) -> Rewritten:
    """Rewrite a module.

    Args:
        text: Its source.
        options: What to rewrite; by default only safe edits.
        foreign_uses: Names that other files import from it, which stay.
        is_package: Whether it is an `__init__.py`.

    Raises:
        SyntaxError: The text does not parse.
        ValueError: It has null bytes.
        UneditableError: The result would not parse, the edits never end, or LibCST cannot parse the text.
        ModuleNotFoundError: There is something to rewrite, and LibCST is not installed.
    """
    options = options or Options()
    current, done, orphans = text, list[Change](), set[str]()
    source = _parse(text, foreign_uses, is_package, options)
    for _ in range(_PASSES):
        plan, findings = _plan(source, options)
        lines = _LineMap(text, current)
        chosen = _chosen([change for change in plan if isinstance(change, Change)], options)
        operations: Sequence[Operation] = [operation for change in chosen for operation in change.operations]
        if not chosen:
            operations, used = drop_unused(source, orphans)
            operations = with_comments(source, operations)[0]
            orphans |= used
            if not operations:
                return Rewritten(current, tuple(done), _refusals(plan, findings, lines, options))
        done += [replace(change, place=lines.original(change.place)) for change in chosen]
        orphans.update(name for change in chosen for name in change.orphans)
        current = _applied(source, operations)
        try:
            source = _parse(current, foreign_uses, is_package, options)
        except SyntaxError as error:
            raise UneditableError(f"the result would not parse: {error.msg}") from error
    raise UneditableError("the edits never come to an end")


def _parse(text: str, foreign_uses: frozenset[str], is_package: bool, options: Options) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ignore invalid escapes in strings
        return Source(text, foreign_uses=foreign_uses, is_package=is_package, path=options.path, project=options.project)


def _plan(source: Source, options: Options) -> tuple[list[Change | Refusal], list[Finding] | None]:
    """Return the changes and refusals of the wanted rules that no comment suppresses, and the findings of these rules."""
    plan = plan_all(source, options.level, unsafe=options.unsafe)
    silent = [each for each in find_suppressions(source.text) if not each.problem]
    plan = [each for each in plan if not _is_silent(each.rule, _about(source, each), silent)]
    shown: list[Finding] | None = None
    if options.scan is not None:
        findings = options.scan(source.text)
        live = [each for each in findings if each.verdict != "keep"]
        shown = [each for each in live if options.wants(each.rule) and not _is_silent(each.rule, [place_of(each)], silent)]
        shown = settled(shown, plan, source)
        plan = [each for each in plan if is_found(each, live)]
        plan += suppressions.plan(source, silent, findings)
    wanted = sorted((each for each in plan if options.wants(each.rule)), key=lambda each: (each.place, each.rule))
    return wanted, shown


def _is_silent(rule: str, places: Sequence[Span], suppressed: Sequence[Suppression]) -> bool:
    return any(rule in each.codes and place.line <= each.target <= place.end_line for each in suppressed for place in places)


def _about(source: Source, each: Change | Refusal) -> list[Span]:
    """Return the places of a plan's entry: its own place, and the class of its handler."""
    made = [call.func for call in source.calls() if source.span(call) == each.place]
    names = {function.id for function in made if isinstance(function, ast.Name)}
    classes = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name in names]
    return [each.place, *map(source.span, classes)]


def _chosen(changes: Sequence[Change], options: Options) -> list[Change]:
    """Return the changes to make at once. Changes of comments come first, since they move places without LibCST."""
    wanted = [change for change in changes if change.safe or options.unsafe]
    textual = [change for change in wanted if isinstance(change.operations[0], ReplaceText)]
    chosen: list[Change] = []
    for change in textual or wanted:
        if not any(change.overlaps(other) for other in chosen):
            chosen.append(change)
    return chosen


def _refusals(
    plan: Sequence[Change | Refusal], findings: Sequence[Finding] | None, lines: _LineMap, options: Options
) -> tuple[Refusal, ...]:
    if findings is None:
        left = [
            each if isinstance(each, Refusal) else Refusal(each.rule, each.place, f"needs --unsafe: {each.reason}")
            for each in plan
        ]
    else:
        left = list(leftovers(findings, plan, options.wants, lines.original))
    refusals = dict.fromkeys(replace(each, place=lines.original(each.place)) for each in left)
    return tuple(sorted(refusals, key=lambda each: (each.place.line, each.place.column)))


def _applied(source: Source, operations: Sequence[Operation]) -> str:
    if source.obstacle:
        raise UneditableError(source.obstacle)
    textual = [operation for operation in operations if isinstance(operation, ReplaceText)]
    return suppressions.apply(source, textual) if textual else _applied_to_tree(source.text, operations)


def _applied_to_tree(text: str, operations: Sequence[Operation]) -> str:
    from callbridge.migrate.edits.apply import EditError, apply_operations  # LibCST: only for files with edits

    try:
        return apply_operations(text, operations)
    except EditError as error:
        raise UneditableError(str(error)) from error


class _LineMap:
    """Maps places of an edited text to lines of the original."""

    def __init__(self, original: str, edited: str) -> None:
        self._same = original == edited
        self._blocks = (
            []
            if self._same
            else difflib.SequenceMatcher(None, original.splitlines(), edited.splitlines(), autojunk=False).get_opcodes()
        )

    def original(self, place: Span) -> Span:
        """Return the original place, by line. The column is exact only if the line has not changed."""
        for _, first, last, start, end in self._blocks:
            if start <= place.line - 1 < end:
                line = first + (place.line - 1 - start if last - first == end - start else 0) + 1
                return place._replace(line=line, end_line=line + place.end_line - place.line)
        return place
