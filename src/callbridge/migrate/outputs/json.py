"""JSON for programs. `version` changes when a field changes its meaning or goes. New fields do not change it."""

from __future__ import annotations

import json
from typing import Any

from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs.baseline import entry_of
from callbridge.migrate.outputs.outcome import Outcome

__all__ = ["SCHEMA_VERSION", "render"]

SCHEMA_VERSION = 1


def render(outcome: Outcome) -> str:
    """Return the findings as one JSON object."""
    document = {
        "version": SCHEMA_VERSION,
        "tool": "callbridge",
        "findings": [_object(finding) for finding in outcome.findings],
        "baseline": [_object(finding) for finding in outcome.known],
        "suppressed": [_object(finding) for finding in outcome.suppressed],
        "summary": {
            "files": outcome.files,
            "findings": len(outcome.active),
            "verdicts": outcome.verdicts,
            "rules": outcome.rules,
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def _object(finding: Finding) -> dict[str, Any]:
    entry = entry_of(finding)
    return {
        "rule": finding.rule,
        "verdict": finding.verdict,
        "severity": finding.severity,
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "qualname": finding.qualname,
        "snippet": finding.snippet,
        "message": finding.message,
        "reason": finding.reason,
        "facts": dict(sorted(finding.facts.items())),
        "fingerprint": entry.digest,
    }
