"""The verdicts of findings with edits. They come from the plan that `fix` carries out, so `scan` and `fix` agree.

```
findings of the rules ──┐
                        ├──▶ auto-safe, auto-review, or the rule's verdict with the reason of the refusal
plan of the planners  ──┘
```
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from callbridge.migrate.edits.operations import Change, MoveImport, Refusal
from callbridge.migrate.edits.source import Source, Span
from callbridge.migrate.finding import Finding, Verdict

__all__ = ["REWRITTEN_BY", "concerns", "is_found", "place_of", "settled"]

_INLINED = ("CB304", "CB306", "CB307", "CB310", "CB401")
_OF_HANDLERS = ("CB301", "CB302", "CB303", "CB305", *_INLINED)
_OF_VERSION_3 = ("CB703", "CB704", "CB705", "CB708")
_OF_CLASSES = ("CB302", "CB303", *_INLINED)
_OF_ATTACHMENTS = ("CB203", "CB204", "CB205")

REWRITTEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{code: (code,) for code in ("CB101", "CB102", "CB103", "CB202", "CB701", *_OF_VERSION_3, *_OF_HANDLERS)},
        "CB201": ("CB201", *_OF_HANDLERS),
        "CB203": _OF_HANDLERS,
        "CB204": ("CB204", *_OF_HANDLERS),
        "CB205": _OF_HANDLERS,
        "CB707": ("CB704", "CB707"),
        "CB401": _OF_CLASSES,
    }
)
"""Rules with automatic findings, and the rules whose edits fix them: an attach site changes with its handler."""


def place_of(finding: Finding) -> Span:
    """Return where a finding is."""
    return Span(finding.line, finding.column, finding.end_line, finding.end_column)


def concerns(each: Change | Refusal, finding: Finding) -> bool:
    """Return whether an entry of a plan is about a finding."""
    if each.rule not in REWRITTEN_BY.get(finding.rule, (finding.rule,)):
        return False
    places = (each.place, *each.settles) if isinstance(each, Change) else (each.place,)
    return any(place.overlaps(place_of(finding)) for place in places)


def is_found(each: Change | Refusal, findings: Iterable[Finding]) -> bool:
    """Return whether an entry of a plan is about a finding. The names of one import statement belong together."""
    if isinstance(each, Change) and all(isinstance(operation, MoveImport) for operation in each.operations):
        spans = [operation.span for operation in each.operations if isinstance(operation, MoveImport)]
        return any(finding.rule == each.rule and spans[0].overlaps(place_of(finding)) for finding in findings)
    return any(concerns(each, finding) or _is_of_class(each, finding) for finding in findings)


def _is_of_class(each: Change | Refusal, finding: Finding) -> bool:
    """Return whether a change removes the objects of a class with a finding."""
    name = finding.facts.get("handler", "").rpartition(".")[2]
    return finding.rule in _OF_CLASSES and isinstance(each, Change) and each.rule in _OF_CLASSES and name in each.orphans


def settled(findings: Iterable[Finding], plan: Sequence[Change | Refusal], source: Source) -> list[Finding]:
    """Return findings with the verdicts that the plan proves.

    Args:
        findings: The findings. Those of rules without edits, and kept ones, do not change.
        plan: The changes and refusals for the file.
        source: The file.
    """
    classes = [each for each in source.nodes if isinstance(each, ast.ClassDef)]
    return [
        _settled(each, plan, source, classes) if each.rule in REWRITTEN_BY and each.verdict != "keep" else each
        for each in findings
    ]


def _settled(finding: Finding, plan: Sequence[Change | Refusal], source: Source, classes: Sequence[ast.ClassDef]) -> Finding:
    if source.obstacle:
        return replace(finding, verdict="manual", reason=source.obstacle)
    around = [each for each in classes if source.span(each).overlaps(place_of(finding))] if finding.rule in _OF_CLASSES else []
    holder = max(around, key=source.span, default=None)
    if holder is not None:
        return _of_class(finding, holder, plan, source)
    here = [each for each in plan if concerns(each, finding)]
    own = [each for each in here if each.rule == finding.rule and isinstance(each, Change)]
    changes = own or [each for each in here if isinstance(each, Change)]
    refusals = [each for each in here if isinstance(each, Refusal)]
    if changes and (own or not any(each.rule != finding.rule for each in refusals)):
        safe = any(each.safe for each in changes) if own else all(each.safe for each in changes)
        return _automatic(finding, changes, safe=safe)
    return _left(finding, refusals[0].reason if refusals else _of_handler(finding, plan, source))


def _of_handler(finding: Finding, plan: Sequence[Change | Refusal], source: Source) -> str:
    """Return why the handler that a finding sees attached stays, if the plan has one reason for all of its class."""
    if finding.rule not in _OF_ATTACHMENTS:
        return ""
    names = {each.rpartition(".")[2] for each in finding.facts.get("handler", "").split()}
    made = [source.span(use) for name in names for use in source.uses(name)]
    refused = [each for each in plan if isinstance(each, Refusal) and each.rule in _OF_HANDLERS and each.reason]
    reasons = {each.reason for each in refused if any(each.place.overlaps(place) for place in made)}
    return reasons.pop() if len(reasons) == 1 else ""


def _of_class(finding: Finding, holder: ast.ClassDef, plan: Sequence[Change | Refusal], source: Source) -> Finding:
    """Return a finding in a handler's class, which goes when all its objects in the file go."""
    uses = [each for each in source.uses(holder.name) if isinstance(each.ctx, ast.Load)]
    entries = [each for each in plan if each.rule in _OF_CLASSES]
    mine = [_entry(entries, source.span(use)) for use in uses]
    changes = [each for each in mine if isinstance(each, Change)]
    if source.is_exported(holder.name):
        return _left(finding, f"other files may use {holder.name}: change the places that attach it there first")
    if not uses and any(isinstance(each, ast.Attribute) and each.attr == holder.name for each in source.nodes):
        return _left(finding, f"the file uses {holder.name} as an attribute, and `fix` does not follow that")
    if not uses:
        return _left(finding, f"this file makes no {holder.name}: change the places that attach one first")
    if len(changes) == len(mine):
        return _automatic(finding, changes, safe=all(each.safe for each in changes))
    refusal = next((each for each in mine if isinstance(each, Refusal)), None)
    if refusal is not None:
        return _left(finding, refusal.reason)
    if source.parents[holder] is not source.tree:
        return _left(finding, f"{holder.name} is defined in a function or a class: move it to the module first")
    made = all(isinstance(call := source.parents[use], ast.Call) and call.func is use for use in uses)
    return _left(finding, "" if made else f"the file uses {holder.name} for more than making a handler")


def _entry(entries: Sequence[Change | Refusal], place: Span) -> Change | Refusal | None:
    """Return the change for a handler at a place; without one, the refusal."""
    here = [each for each in entries if each.place.overlaps(place)]
    return next((each for each in here if isinstance(each, Change)), here[0] if here else None)


def _automatic(finding: Finding, changes: Sequence[Change], *, safe: bool) -> Finding:
    reason = "" if safe else "; ".join(dict.fromkeys(each.reason for each in changes if each.reason))
    return replace(finding, verdict="auto-safe" if safe else "auto-review", reason=reason)


def _left(finding: Finding, reason: str) -> Finding:
    verdict: Verdict = "adapter" if finding.automatic else finding.verdict
    return replace(finding, verdict=verdict, reason=reason or finding.reason)
