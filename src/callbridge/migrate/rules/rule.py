"""What a rule is: a code, a name, documentation that `explain` prints, and a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding, Severity

__all__ = ["Rule", "no_check"]


def no_check(context: Context) -> Iterator[Finding]:
    """Find nothing: for rules whose findings are made elsewhere."""
    yield from ()


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        code: `CB` and three digits.
        name: In words with dashes.
        severity: The usual one; a finding may have another.
        fix: What happens with its findings: a verdict, or several.
        summary: One line: what it matches.
        why: Why that matters.
        before: Code that it finds.
        after: What that becomes; empty if nothing changes.
        when_not: When to leave it.
        check: Yields the findings of a file.
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
