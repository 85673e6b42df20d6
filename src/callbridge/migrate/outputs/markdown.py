"""A Markdown summary, for the page of a CI job or a comment."""

from __future__ import annotations

import re
from collections import Counter

from callbridge.migrate.outputs.outcome import Outcome
from callbridge.migrate.outputs.text import place
from callbridge.migrate.rules.table import RULES

__all__ = ["render"]

_SHOWN = 200


def render(outcome: Outcome) -> str:
    """Return the figures by rule, and the findings; only the first ones if there are many."""
    lines = ["## callbridge scan", "", outcome.summary(), ""]
    if outcome.findings:
        lines += ["| rule | | verdicts | findings |", "|---|---|---|---:|"]
        for code, count in outcome.rules.items():
            verdicts = Counter(finding.verdict for finding in outcome.findings if finding.rule == code)
            told = ", ".join(f"{verdict} {number}" for verdict, number in sorted(verdicts.items()))
            lines.append(f"| {code} | {RULES[code].name} | {told} | {count} |")
        lines.append("")
    if outcome.active:
        lines += ["| where | rule | verdict | what |", "|---|---|---|---|"]
        for finding in outcome.active[:_SHOWN]:
            lines.append(f"| {_cell(place(finding))} | {finding.rule} | {finding.verdict} | {_cell(finding.message)} |")
        if len(outcome.active) > _SHOWN:
            lines += ["", f"... and {len(outcome.active) - _SHOWN} more"]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
