"""Suppressions: `# callbridge: ignore[CB203] reason`, on the line of the finding or alone on the line above it."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass

from callbridge.migrate.finding import Finding

__all__ = ["Suppression", "apply_suppressions", "find_suppressions"]

_COMMENT = re.compile(r"#\s*callbridge:\s*ignore(?:\[(?P<codes>[^\]]*)\])?(?P<reason>.*)$")
_CODE = re.compile(r"CB\d{3}$")
_ALWAYS_REPORTED = frozenset({"CB901", "CB902"})


@dataclass(frozen=True)
class Suppression:
    """One comment.

    Attributes:
        line: Its line, from 1.
        column: Its column, from 0.
        text: The comment.
        codes: The rules that it names.
        reason: The text after them.
        target: The line that it applies to: its own, or the next line of code if it is alone on its line.
    """

    line: int
    column: int
    text: str
    codes: tuple[str, ...]
    reason: str
    target: int

    @property
    def problem(self) -> str:
        """Why it does not count; empty if it does."""
        if not self.codes:
            return "names no rule: write `ignore[CB203] reason`"
        wrong = [code for code in self.codes if not _CODE.match(code)]
        if wrong:
            return f"names {wrong[0]!r}, which is not a rule"
        return "" if self.reason else "gives no reason"


def find_suppressions(text: str) -> list[Suppression]:
    """Return the suppressions in a text. Strings that look like one do not count."""
    if not re.search(r"callbridge:\s*ignore", text):
        return []
    found = []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return []
    for index, token in enumerate(tokens):
        match = _COMMENT.search(token.string) if token.type == tokenize.COMMENT else None
        if match is not None:
            codes = tuple(code.strip() for code in (match["codes"] or "").split(",") if code.strip())
            line, column = token.start
            alone = not token.line[:column].strip()
            target = _next_code_line(tokens[index:]) if alone else line
            found.append(Suppression(line, column, token.string, codes, match["reason"].strip(" :-—"), target))
    return found


def _next_code_line(tokens: list[tokenize.TokenInfo]) -> int:
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return next((token.start[0] for token in tokens if token.type not in silent), tokens[0].start[0])


def apply_suppressions(
    findings: Iterable[Finding], suppressions: list[Suppression], path: str, active: frozenset[str] | None = None
) -> tuple[list[Finding], list[Finding]]:
    """Divide findings into those that stay and those that are suppressed.

    Args:
        findings: The findings of one file.
        suppressions: The suppressions of the same file.
        path: The file's path.
        active: The codes of the rules that ran; None for all. A suppression of another rule is neither used nor unused.

    Returns:
        The findings that stay, with a CB901 for every suppression that does nothing; and the suppressed findings.
    """
    kept: list[Finding] = []
    silenced: list[Finding] = []
    used: set[tuple[int, str]] = set()
    for finding in findings:
        matching = [each for each in suppressions if not each.problem and finding.rule in each.codes and _covers(each, finding)]
        if matching and finding.rule not in _ALWAYS_REPORTED:
            used |= {(each.line, finding.rule) for each in matching}
            silenced.append(finding)
        else:
            kept.append(finding)
    for each in suppressions:
        unused = [code for code in each.codes if (each.line, code) not in used and (active is None or code in active)]
        if each.problem or unused:
            problem = each.problem or f"suppresses nothing: no {', '.join(unused)} here"
            kept.append(_unused(each, problem, path))
    return kept, silenced


def _covers(suppression: Suppression, finding: Finding) -> bool:
    return finding.line <= suppression.target <= max(finding.line, finding.end_line)


def _unused(each: Suppression, problem: str, path: str) -> Finding:
    return Finding(
        path=path,
        line=each.line,
        column=each.column,
        end_line=each.line,
        end_column=each.column + len(each.text),
        rule="CB901",
        message=f"the suppression {problem}",
        verdict="manual",
        severity="warning",
        snippet=each.text[:200],
    )
