"""What `fix` leaves, and why: one line for each finding that edits may deal with and have not dealt with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from callbridge.migrate.edits.operations import Change, Refusal
from callbridge.migrate.edits.source import Span
from callbridge.migrate.edits.verdicts import REWRITTEN_BY, concerns, place_of
from callbridge.migrate.finding import Finding

__all__ = ["leftovers"]


def leftovers(
    findings: Iterable[Finding],
    plan: Sequence[Change | Refusal],
    wants: Callable[[str], bool],
    original: Callable[[Span], Span],
) -> Iterator[Refusal]:
    """Return what is left, with the reason.

    Args:
        findings: What a scan finds when nothing more can be rewritten, with their verdicts settled.
        plan: What could be done about them all the same.
        wants: Whether the edits of a rule were asked for.
        original: Returns where something stood before anything was rewritten.
    """
    yield from (each for each in plan if isinstance(each, Refusal) and each.rule not in REWRITTEN_BY)
    for finding in findings:
        if finding.rule in REWRITTEN_BY and finding.verdict != "keep":
            reason = _reason(finding, plan, wants, original)
            if reason:
                yield Refusal(finding.rule, place_of(finding), reason)


def _reason(
    finding: Finding,
    plan: Sequence[Change | Refusal],
    wants: Callable[[str], bool],
    original: Callable[[Span], Span],
) -> str:
    codes = REWRITTEN_BY[finding.rule]
    if not any(map(wants, codes)):
        return "it changes together with its handler: select the rules for that, too" if finding.automatic else ""
    handler = next((each for each in plan if each.rule != finding.rule and concerns(each, finding)), None)
    if handler is None or handler.rule == finding.rule:
        return f"needs --unsafe: {finding.reason}" if finding.automatic else finding.reason
    where = f"it changes together with {handler.rule} in line {original(handler.place).line}"
    return f"{where}, which needs --unsafe" if finding.automatic else f"{where}, which stays: {finding.reason}"
