"""Annotations of GitHub Actions: one workflow command for each finding."""

from __future__ import annotations

from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs.outcome import Outcome

__all__ = ["render"]


def render(outcome: Outcome) -> str:
    """Return the findings as workflow commands, and the summary as plain text."""
    return "".join(f"{_command(finding)}\n" for finding in outcome.active) + f"{outcome.summary()}\n"


def _command(finding: Finding) -> str:
    level = "error" if finding.severity == "error" else "warning" if finding.severity == "warning" else "notice"
    place = {
        "file": finding.path,
        "line": finding.line,
        "endLine": finding.end_line,
        "title": f"{finding.rule} [{finding.verdict}]",
    }
    if finding.line == finding.end_line:
        place |= {"col": finding.column + 1, "endColumn": max(finding.end_column, finding.column + 1)}
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in place.items())
    reason = f"; {finding.reason}" if finding.reason else ""
    return f"::{level} {properties}::{_data(finding.message + reason)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
