"""Text for a terminal: one line for each finding, and a summary."""

from __future__ import annotations

from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs.outcome import Outcome

__all__ = ["place", "render"]


def place(finding: Finding) -> str:
    """Return where a finding is, as editors and terminals open it; of notebooks the cell and its line."""
    if "cell" in finding.facts:
        return f"{finding.path}:cell {finding.facts['cell']}:{finding.facts['cell_line']}:{finding.column + 1}"
    return f"{finding.path}:{finding.line}:{finding.column + 1}"


def render(outcome: Outcome, *, show_kept: bool = False, show_suppressed: bool = False) -> str:
    """Return the findings as text."""
    shown = outcome.findings if show_kept else outcome.active
    lines = [_line(finding) for finding in shown]
    if show_suppressed:
        lines += [f"{_line(finding)} [suppressed]" for finding in outcome.suppressed]
    return "\n".join([*lines, *([""] if lines else []), outcome.summary()]) + "\n"


def _line(finding: Finding) -> str:
    reason = f"; {finding.reason}" if finding.reason else ""
    return f"{place(finding)}: {finding.rule} [{finding.verdict}] {_clean(finding.message + reason)}"


def _clean(text: str) -> str:
    """Return a text in one line that no terminal takes for a command."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
