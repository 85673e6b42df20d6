"""Findings: what a scan says about one place in one file. Data only; imports nothing from callbridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["VERDICTS", "Finding", "Severity", "Verdict"]

Verdict: TypeAlias = Literal["keep", "auto-safe", "auto-review", "adapter", "manual"]
"""What to do: nothing; an edit that cannot change behaviour; an edit to review; one line at the call site that uses callbridge
at run time; or work by hand."""

Severity: TypeAlias = Literal["error", "warning", "info"]
"""On LangChain 1.x, `error` breaks or silently does nothing; `warning` works and should change; `info` needs no action."""

VERDICTS: tuple[Verdict, ...] = ("keep", "auto-safe", "auto-review", "adapter", "manual")


@dataclass(frozen=True)
class Finding:
    """One place in one file that a rule reports.

    The place is the smallest syntax node that shows the problem: the imported name of an import, the keyword of a call, the
    statement of an assignment, the header of a class. Findings are immutable, picklable and hashable.

    Attributes:
        path: The file as given to the scan, with posix separators, relative to the project's root if it is below it. The cells
            of a notebook are one text, joined in order; `facts["cell"]` has the number of the cell, from 1.
        line: The line of the first character, from 1.
        column: The column of the first character, from 0, in characters (`ast` counts UTF-8 bytes).
        end_line: The line of the last character, from 1.
        end_column: One after the column of the last character, from 0, in characters.
        rule: The rule's code, `CB` and three digits.
        message: One sentence about the finding.
        verdict: What to do about it.
        severity: How bad it is to leave it.
        qualname: The enclosing definitions joined by dots, `"<module>"` at module level. For the header of a class or
            function, the last part is its own name.
        snippet: The source text of the place, at most 200 characters.
        reason: Why `fix` cannot rewrite it, or why you must review the edit; empty if the edit is safe.
        facts: Further facts, by the names in the rule's documentation.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    rule: str
    message: str
    verdict: Verdict
    severity: Severity
    qualname: str = "<module>"
    snippet: str = ""
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def sort_key(self) -> tuple[str, int, int, str, int, int, str]:
        """The order of every output: path, place, rule."""
        return (self.path, self.line, self.column, self.rule, self.end_line, self.end_column, self.message)

    @property
    def automatic(self) -> bool:
        """Whether `callbridge fix` has an edit for it, with or without `--unsafe`."""
        return self.verdict in ("auto-safe", "auto-review")
