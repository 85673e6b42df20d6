"""What a scan calls automatic and no edit has dealt with: each place is named, so that nothing stays in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from callbridge.migrate.edits.operations import Refusal
from callbridge.migrate.edits.source import Span
from callbridge.migrate.finding import Finding

__all__ = ["REWRITTEN_BY", "leftovers", "place_of"]

_OF_HANDLERS = ("CB301", "CB302", "CB305", "CB306")

REWRITTEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{code: (code,) for code in ("CB101", "CB102", "CB103", "CB201", "CB202", "CB701", *_OF_HANDLERS)},
        "CB203": _OF_HANDLERS,
        "CB204": ("CB204", *_OF_HANDLERS),
        "CB205": _OF_HANDLERS,
    }
)
"""Rules with automatic findings, and those whose edits deal with them: where a handler is attached goes with the handler."""


def place_of(finding: Finding) -> Span:
    """Return where a finding is."""
    return Span(finding.line, finding.column, finding.end_line, finding.end_column)


def leftovers(
    findings: Iterable[tuple[Finding, Span]], refusals: Sequence[Refusal], wants: Callable[[str], bool]
) -> Iterator[Refusal]:
    """Return a refusal for each automatic finding that none speaks of.

    Args:
        findings: What a scan finds when nothing more can be rewritten, each with its place.
        refusals: What has been refused.
        wants: Whether the edits of a rule were asked for.
    """
    for finding, place in findings:
        if finding.automatic and not any(each.rule == finding.rule and _meet(each.place, place) for each in refusals):
            yield Refusal(finding.rule, place, _reason(finding.rule, place, refusals, wants))


def _reason(rule: str, place: Span, refusals: Sequence[Refusal], wants: Callable[[str], bool]) -> str:
    codes = REWRITTEN_BY.get(rule, ())
    if not any(map(wants, codes)):
        return f"it goes with {' or '.join(codes)}, which are not among the selected rules"
    related = [each for each in refusals if each.rule in codes]
    here = next((each for each in related if _meet(each.place, place)), None)
    if here is not None:
        return f"it goes with its handler, which stays: {here.reason}"
    if related:
        nearest = min(related, key=lambda each: abs(each.place.line - place.line))
        return f"it goes with {nearest.rule} in line {nearest.place.line}, which stays"
    if rule in ("CB302", "CB306"):
        return "it is the handler's class: nothing in this file uses it in a way that is rewritten, and other files may use it"
    return f"no edit for the way it is used here: `callbridge explain {rule}` shows what to write"


def _meet(one: Span, other: Span) -> bool:
    return one.line <= other.end_line and other.line <= one.end_line
