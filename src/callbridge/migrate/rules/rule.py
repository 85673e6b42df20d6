"""A rule: its code, its name, the documentation that `explain` prints, and its check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding, Severity

__all__ = ["Rule", "no_check"]


def no_check(context: Context) -> Iterator[Finding]:
    """Find nothing: another part of the scan makes the findings of these rules."""
    yield from ()


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        code: `CB` and three digits.
        name: In words with dashes.
        severity: The usual severity; a finding may have another.
        fix: The verdicts of its findings.
        summary: One line: what it matches.
        why: Why that matters.
        before: Code that it finds.
        after: The code afterwards; empty if nothing changes.
        when_not: When to leave the code as it is.
        check: Yields the findings in a file.
    """

    code: str
    name: str
    severity: Severity
    fix: str
    summary: str
    why: str
    before: str
    after: str
    when_not: str
    check: Callable[[Context], Iterator[Finding]] = no_check
