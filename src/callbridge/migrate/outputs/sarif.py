"""SARIF 2.1.0 for code scanning services."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from callbridge.migrate.finding import Finding, Severity
from callbridge.migrate.outputs.baseline import entry_of
from callbridge.migrate.outputs.outcome import Outcome
from callbridge.migrate.rules.rule import Rule
from callbridge.migrate.rules.table import RULES

__all__ = ["render"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(outcome: Outcome) -> str:
    """Return the findings as a SARIF log with one run. Observers are notes; suppressed and known findings are marked."""
    results = [_result(finding) for finding in outcome.findings]
    results += [{**_result(finding), "baselineState": "unchanged"} for finding in outcome.known]
    results += [{**_result(finding), "suppressions": [{"kind": "inSource"}]} for finding in outcome.suppressed]
    driver = {
        "name": "callbridge",
        "informationUri": "https://pypi.org/project/callbridge/",
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=True) + "\n"


def _level(severity: Severity) -> str:
    return "note" if severity == "info" else severity


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\nWhen not to: {rule.when_not}"},
        "defaultConfiguration": {"level": _level(rule.severity)},
    }


def _result(finding: Finding) -> dict[str, Any]:
    entry = entry_of(finding)
    region = {
        "startLine": finding.line,
        "startColumn": finding.column + 1,
        "endLine": finding.end_line,
        "endColumn": max(finding.end_column, finding.column if finding.end_line == finding.line else 0) + 1,
    }
    uri = quote(finding.path, safe="/:~+@,()._-")
    location = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
    cell = f" (cell {finding.facts['cell']}, line {finding.facts['cell_line']})" if "cell" in finding.facts else ""
    reason = f"; {finding.reason}" if finding.reason else ""
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(RULES).index(finding.rule),
        "level": _level(finding.severity),
        "message": {"text": f"{finding.message}{reason}{cell}"},
        "locations": [location],
        "partialFingerprints": {"callbridge/v1": f"{entry.rule}:{entry.qualname}:{entry.digest}"},
        "properties": {"verdict": finding.verdict},
    }
