"""The baseline: known findings, one sorted line each: rule, path, definition and a hash of the code; no line numbers.

Edits elsewhere in a file do not change its entries, two branches merge without conflicts, and the baseline only shrinks
unless the caller allows new entries. A broken baseline is an error: it never passes for an empty one.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from callbridge.migrate.analysis.source_files import write_atomically
from callbridge.migrate.finding import Finding
from callbridge.migrate.problems import MigrateError

__all__ = [
    "Baseline",
    "Comparison",
    "Entry",
    "baseline_at",
    "compare",
    "counts",
    "entry_of",
    "git_history",
    "parse_baseline",
    "read_baseline",
    "write_baseline",
]

_HEADER = "# callbridge baseline 1"
_LINE = re.compile(r"(CB\d{3}) (\S+) (\S+) ([0-9a-f]{16})$")
_NEVER = frozenset({"CB901", "CB902"})


@dataclass(frozen=True, order=True)
class Entry:
    """One known finding.

    Attributes:
        path: The file's path.
        rule: The rule's code.
        qualname: The enclosing definitions.
        digest: A hash of the code with normalised white space.
    """

    path: str
    rule: str
    qualname: str
    digest: str

    def __str__(self) -> str:
        return f"{self.rule} {quote(self.path, safe='/._-~+@,()')} {self.qualname} {self.digest}"


@dataclass(frozen=True)
class Baseline:
    """A baseline, as read from its file.

    Attributes:
        path: The file's path, as shown to the user.
        lines: Each entry to its lines; an entry has two if one function has the same code twice.
    """

    path: str
    lines: dict[Entry, list[int]] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Entry]:
        """How often each entry is known."""
        return Counter({entry: len(lines) for entry, lines in self.lines.items()})


@dataclass(frozen=True)
class Comparison:
    """Findings and a baseline, compared.

    Attributes:
        new: Findings that the baseline does not list.
        known: Findings that it lists.
        stale: A CB902 for each entry that matches nothing.
    """

    new: list[Finding]
    known: list[Finding]
    stale: list[Finding]


def entry_of(finding: Finding) -> Entry:
    """Return the entry of a finding, which stays the same if its lines move."""
    code = " ".join((finding.snippet or finding.message).split())
    digest = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Entry(finding.path, finding.rule, finding.qualname, digest)


def counts(finding: Finding) -> bool:
    """Return whether a baseline can list a finding: not one without action, nor one about comments or baselines."""
    return finding.verdict != "keep" and finding.rule not in _NEVER


def parse_baseline(text: str, path: str) -> Baseline:
    """Read the text of a baseline.

    Raises:
        MigrateError: If it is not a baseline: another version, a damaged line, the marks of a merge conflict.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != _HEADER:
        shown = lines[0][:60] if lines else ""
        raise MigrateError(f"{path}: not a baseline of this version: the first line is {shown!r}, not {_HEADER!r}")
    found = Baseline(path)
    for number, line in enumerate(lines[1:], 2):
        match = _LINE.match(line.rstrip())
        if match is not None:
            entry = Entry(unquote(match[2]), match[1], match[3], match[4])
            found.lines.setdefault(entry, []).append(number)
        elif line.strip() and not line.startswith("#"):
            raise MigrateError(f"{path}:{number}: not a baseline entry: {line[:80]!r}")
    return found


def read_baseline(path: Path, shown: str) -> Baseline:
    """Read a baseline.

    Raises:
        MigrateError: If it does not exist or cannot be read.
    """
    try:
        return parse_baseline(path.read_text(encoding="utf-8"), shown)
    except FileNotFoundError as error:
        raise MigrateError(f"there is no baseline at {shown}: make one with --update-baseline --allow-new") from error
    except (OSError, ValueError) as error:
        raise MigrateError(f"cannot read the baseline {shown}: {error}") from error


def baseline_at(reference: str, path: Path, root: Path) -> Baseline | None:
    """Read the baseline at the point where the current branch forked from another.

    Args:
        reference: A branch, tag or commit.
        path: The baseline's path now.
        root: A directory in the repository.

    Returns:
        The baseline at the merge base; None if it had none yet.

    Raises:
        MigrateError: If git is missing, or does not know the reference.
    """
    base = _git(root, "merge-base", reference, "HEAD").strip()
    name = _in_repository(path, root)[1]
    if not _git(root, "ls-tree", "--full-tree", base, "--", name).strip():
        return None
    return parse_baseline(_git(root, "show", f"{base}:{name}"), f"{name} at {base[:12]}")


def git_history(path: Path, root: Path) -> list[tuple[str, Baseline]]:
    """Return the versions of a baseline in git, oldest first, each with the date of its commit.

    Raises:
        MigrateError: If git is missing, this is not a repository, or a version is not a baseline.
    """
    top, name = _in_repository(path, root)
    log = _git(top, "log", "--reverse", "--diff-filter=AMR", "--date=short", "--format=%H %cd", "--", name)
    versions = []
    for line in log.splitlines():
        commit, date = line.split()
        versions.append((date, parse_baseline(_git(top, "show", f"{commit}:{name}"), f"{name} at {commit[:12]}")))
    return versions


def _in_repository(path: Path, root: Path) -> tuple[Path, str]:
    """Return the top directory of a repository, and the name of a file in it."""
    top = Path(_git(root, "rev-parse", "--show-toplevel").strip()).resolve()
    try:
        return top, path.resolve().relative_to(top).as_posix()
    except ValueError as error:
        raise MigrateError(f"the baseline {path} is outside the repository {top}") from error


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise MigrateError("git is not installed") from error
    except subprocess.CalledProcessError as error:
        problem = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise MigrateError(f"git {' '.join(arguments)}: {problem[0] if problem else 'failed'}") from error
    return done.stdout.decode("utf-8", "replace")


def compare(
    findings: Iterable[Finding],
    baseline: Baseline,
    scanned: frozenset[str],
    codes: frozenset[str],
    base: Baseline | None = None,
    shown: frozenset[str] | None = None,
) -> Comparison:
    """Compare findings with a baseline.

    Args:
        findings: The findings of a scan.
        baseline: The baseline.
        scanned: The scanned files; entries of other files are neither used nor stale.
        codes: The rules that ran; entries of other rules are neither used nor stale.
        base: The baseline at the merge base. If given, only entries in both count, so that no entry comes in with its finding.
        shown: All files that exist: an entry of a missing file is stale. None if unknown.
    """
    known = baseline.counts if base is None else baseline.counts & base.counts
    left, stale = known.copy(), baseline.counts
    new: list[Finding] = []
    old: list[Finding] = []
    for finding in findings:
        entry = entry_of(finding)
        if counts(finding):
            stale[entry] -= 1
        if counts(finding) and left[entry] > 0:
            left[entry] -= 1
            old.append(finding)
        else:
            new.append(finding)
    gone = [
        _stale(entry, line, baseline.path)
        for entry, lines in sorted(baseline.lines.items())
        for line in lines[len(lines) - max(stale[entry], 0) :]
        if entry.rule in codes and (entry.path in scanned or (shown is not None and entry.path not in shown))
    ]
    return Comparison(new, old, gone)


def _stale(entry: Entry, line: int, path: str) -> Finding:
    return Finding(
        path=path,
        line=line,
        column=0,
        end_line=line,
        end_column=len(str(entry)),
        rule="CB902",
        message=f"the {entry.rule} in {entry.path}, {entry.qualname}, is gone: remove it with --update-baseline",
        verdict="manual",
        severity="warning",
        snippet=str(entry)[:200],
        facts={"entry": str(entry)},
    )


def write_baseline(path: Path, entries: Iterable[Entry]) -> None:
    """Write a baseline completely or not at all.

    Raises:
        MigrateError: If it cannot be written.
    """
    lines = sorted(str(entry) for entry in entries)
    try:
        write_atomically(path, ("\n".join([_HEADER, *lines]) + "\n").encode())
    except OSError as error:
        raise MigrateError(f"cannot write the baseline {path}: {error.strerror or error}") from error
