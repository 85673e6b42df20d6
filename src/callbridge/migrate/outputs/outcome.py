"""The outcome of a scan: its findings in groups, and the figures that every output shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from callbridge.migrate.finding import VERDICTS, Finding
from callbridge.migrate.words import counted

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a scan.

    Attributes:
        findings: All new findings, by path and place, including those with verdict keep.
        known: The findings that the baseline lists.
        suppressed: The findings that a comment suppresses.
        files: How many files the scan read.
    """

    findings: tuple[Finding, ...]
    known: tuple[Finding, ...] = ()
    suppressed: tuple[Finding, ...] = ()
    files: int = 0

    @property
    def active(self) -> tuple[Finding, ...]:
        """The findings that need action; they decide the exit status."""
        return tuple(finding for finding in self.findings if finding.verdict != "keep")

    @property
    def kept(self) -> tuple[Finding, ...]:
        """The observers, which need no action."""
        return tuple(finding for finding in self.findings if finding.verdict == "keep")

    @property
    def verdicts(self) -> dict[str, int]:
        """The number of findings for each verdict, including zeros."""
        counted = Counter(finding.verdict for finding in self.findings)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    @property
    def rules(self) -> dict[str, int]:
        """The number of findings for each rule that has some."""
        return dict(sorted(Counter(finding.rule for finding in self.findings).items()))

    def summary(self) -> str:
        """A summary in one line."""
        count, files = len(self.active), len({finding.path for finding in self.active})
        head = f"{counted(count, 'finding')} in {counted(files, 'file')}" if count else "no findings"
        parts = [f"{number} {verdict}" for verdict, number in self.verdicts.items() if number and verdict != "keep"]
        told = f" ({', '.join(parts)})" if parts else ""
        rest = [
            f"{counted(len(self.kept), 'observer')} kept" if self.kept else "",
            f"{len(self.known)} in the baseline" if self.known else "",
            f"{len(self.suppressed)} suppressed" if self.suppressed else "",
            f"{counted(self.files, 'file')} scanned",
        ]
        return f"{head}{told}; {', '.join(part for part in rest if part)}"
