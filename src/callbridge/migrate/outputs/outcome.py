"""What a scan came to: the findings, divided, and the figures that every output shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from callbridge.migrate.finding import VERDICTS, Finding
from callbridge.migrate.words import counted

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a scan came to.

    Attributes:
        findings: All that are new, in order of path and place; those with verdict keep included.
        known: Those that the baseline knows.
        suppressed: Those that a comment suppresses.
        files: How many files were scanned.
    """

    findings: tuple[Finding, ...]
    known: tuple[Finding, ...] = ()
    suppressed: tuple[Finding, ...] = ()
    files: int = 0

    @property
    def active(self) -> tuple[Finding, ...]:
        """The findings that ask for something to be done; they decide the exit status."""
        return tuple(finding for finding in self.findings if finding.verdict != "keep")

    @property
    def kept(self) -> tuple[Finding, ...]:
        """The observers: reported, and nothing to be done."""
        return tuple(finding for finding in self.findings if finding.verdict == "keep")

    @property
    def verdicts(self) -> dict[str, int]:
        """How many findings each verdict has, all verdicts named."""
        counted = Counter(finding.verdict for finding in self.findings)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    @property
    def rules(self) -> dict[str, int]:
        """How many findings each rule has, those without left out."""
        return dict(sorted(Counter(finding.rule for finding in self.findings).items()))

    def summary(self) -> str:
        """One line for people."""
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
