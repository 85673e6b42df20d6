"""What `fix` leaves, and why: one line for each finding of a rule with edits that has none here."""

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
        findings: The findings of a scan after the last edit, with their final verdicts.
        plan: The changes and refusals that remain.
        wants: Whether you asked for the edits of a rule.
        original: Returns a place in the original text.
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
