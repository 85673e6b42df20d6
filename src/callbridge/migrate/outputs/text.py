"""Text for a terminal: one line for each finding, a summary, and what to do next."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from types import MappingProxyType

from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs.outcome import Outcome
from callbridge.migrate.rules.table import RULES

__all__ = ["place", "render"]

_WIDTH = 100
"""The most columns of a terminal that a line fills."""

_LONGEST_PLACE = 60
_SEVERITIES = ("error", "warning", "info")
_COLOURS = MappingProxyType({"error": "31", "warning": "33", "info": "2"})


def place(finding: Finding) -> str:
    """Return the place of a finding in a form that editors and terminals open; for a notebook, the cell and its line."""
    if "cell" in finding.facts:
        return f"{finding.path}:cell {finding.facts['cell']}:{finding.facts['cell_line']}:{finding.column + 1}"
    return f"{finding.path}:{finding.line}:{finding.column + 1}"


def render(outcome: Outcome, *, show_kept: bool = False, show_suppressed: bool = False, colour: bool = False) -> str:
    """Return the findings as text: errors first, then warnings; within a severity in the order of the source."""
    shown = sorted(outcome.findings if show_kept else outcome.active, key=lambda each: _SEVERITIES.index(each.severity))
    lines = [_line(finding, colour=colour) for finding in shown]
    if show_suppressed:
        lines += [_line(finding, " [suppressed]", colour=colour) for finding in outcome.suppressed]
    counts = Counter(finding.rule for finding in shown)
    table = [f"{rule} {count:5}  {RULES[rule].name}" for rule, count in sorted(counts.items())]
    blocks = ["\n".join(block) for block in (lines, table, [outcome.summary()], _next(outcome.active)) if block]
    return "\n\n".join(blocks) + "\n"


def _next(findings: Sequence[Finding]) -> list[str]:
    """Return the commands to run next."""
    if not findings:
        return []
    verdicts = Counter(finding.verdict for finding in findings)
    commands = []
    if verdicts["auto-safe"]:
        commands.append(("callbridge fix --diff", f"what is auto-safe, as a patch ({verdicts['auto-safe']})"))
    if verdicts["auto-review"]:
        commands.append(("callbridge fix --unsafe --diff", f"with what you should review ({verdicts['auto-review']})"))
    commands.append((f"callbridge explain {findings[0].rule}", "why, before, after, when not to"))
    return ["Next:", *(f"  {command:32}{what}" for command, what in commands)]


def _line(finding: Finding, mark: str = "", *, colour: bool = False) -> str:
    """Return one line: the place, the rule, the reason and the message. Cut it at the width of the terminal."""
    where = _clean(place(finding))
    if _columns(where) > _LONGEST_PLACE:
        where = f"…{_fitting(where[::-1], _LONGEST_PLACE - 1)[::-1]}"
    head = f"{where}: {finding.rule} [{finding.verdict}] "
    said = (finding.message, finding.reason) if finding.rule.startswith("CB9") else (finding.reason, finding.message)
    text = _clean("; ".join(part for part in said if part))
    room = _WIDTH - _columns(head) - len(mark)
    if colour:
        head = f"{where}: \x1b[{_COLOURS[finding.severity]}m{finding.rule}\x1b[0m [{finding.verdict}] "
    return head + (text if _columns(text) <= room else f"{_fitting(text, room - 1).rstrip()}…") + mark


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text fills: a wide character fills two, a combining accent none."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "FW" else 1


def _fitting(text: str, room: int) -> str:
    """Return as much of the beginning of a text as fits into some columns."""
    filled = list(accumulate(map(_columns_of, text)))
    return text[: bisect_right(filled, room)]


def _clean(text: str) -> str:
    """Return a text in one line, without characters that a terminal takes for a command."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
