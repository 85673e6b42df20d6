"""`callbridge report`: what is left in each package, and the trend from the baseline's history in git."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from callbridge.migrate.finding import VERDICTS, Finding
from callbridge.migrate.outputs.baseline import Baseline, git_history

__all__ = [
    "Package",
    "Point",
    "Report",
    "by_directory",
    "history",
    "make_report",
    "render_json",
    "render_markdown",
    "render_text",
]

_BAR = 24


@dataclass(frozen=True)
class Package:
    """What is left in one package.

    Attributes:
        name: The directory, or `.` for files at the root.
        verdicts: How many findings each verdict has.
        start: The number at the first point of the history; 0 without a history.
    """

    name: str
    verdicts: dict[str, int]
    start: int = 0

    @property
    def left(self) -> int:
        """The number of findings that need action."""
        return sum(number for verdict, number in self.verdicts.items() if verdict != "keep")


@dataclass(frozen=True)
class Point:
    """The baseline at one commit.

    Attributes:
        date: The date of the commit, `YYYY-MM-DD`; `now` for the scan itself.
        counts: The number of entries of each package.
    """

    date: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """The number of entries."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Report:
    """What is left, and the trend.

    Attributes:
        packages: Sorted by what is left, most first.
        points: Oldest first; the last one is the scan.
    """

    packages: tuple[Package, ...]
    points: tuple[Point, ...]

    @property
    def left(self) -> int:
        """The number of findings that need action."""
        return sum(package.left for package in self.packages)

    @property
    def start(self) -> int:
        """The number of findings at the first point."""
        return self.points[0].total


def by_directory(depth: int) -> Callable[[str], str]:
    """Return a function from a path to its package: the first directories, not counting a leading `src`."""

    def package(path: str) -> str:
        parts = PurePosixPath(path).parts[:-1]
        if parts and parts[0] in ("src", "lib") and len(parts) > 1:
            return "/".join(parts[: depth + 1])
        return "/".join(parts[:depth]) or "."

    return package


def history(path: Path, root: Path, package: Callable[[str], str]) -> list[Point]:
    """Return the points of a baseline's history, oldest first; the last commit of each day counts.

    Raises:
        MigrateError: If git is missing, or a version of the file is not a baseline.
    """
    days: dict[str, dict[str, int]] = {}
    for date, baseline in git_history(path, root):
        days[date] = _count(baseline, package)
    return [Point(date, counts) for date, counts in sorted(days.items())]


def _count(baseline: Baseline, package: Callable[[str], str]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for entry, lines in baseline.lines.items():
        counted[package(entry.path)] += len(lines)
    return dict(sorted(counted.items()))


def make_report(findings: Iterable[Finding], past: list[Point], package: Callable[[str], str]) -> Report:
    """Return a report on findings, including those in the baseline, and on the history before them."""
    verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for finding in findings:
        verdicts[package(finding.path)][finding.verdict] += 1
    first = past[0].counts if past else {}
    names = {*verdicts, *(name for point in past for name in point.counts)}
    packages = [
        Package(name, {verdict: verdicts[name][verdict] for verdict in VERDICTS}, first.get(name, 0)) for name in sorted(names)
    ]
    packages.sort(key=lambda each: (-each.left, each.name))
    now = Point("now", {each.name: each.left for each in packages})
    return Report(tuple(packages), (*past, now))


def render_text(report: Report) -> str:
    """Return the report as text: a line with a bar for each package, and the totals over time."""
    width = max([len(package.name) for package in report.packages] + [7])
    shown = [verdict for verdict in VERDICTS if verdict != "keep"]
    head = f"{'package':<{width}}  {'left':>5}  {'':<{_BAR}}  " + "  ".join(f"{verdict:>11}" for verdict in [*shown, "keep"])
    lines = [head.rstrip()]
    most = max([max(package.left, package.start) for package in report.packages] + [1])
    for package in report.packages:
        figures = "  ".join(f"{package.verdicts[verdict]:>11}" for verdict in [*shown, "keep"])
        lines.append(f"{package.name:<{width}}  {package.left:>5}  {_bar(package, most):<{_BAR}}  {figures}")
    lines.append(f"{'total':<{width}}  {report.left:>5}")
    if len(report.points) > 1:
        done = report.start - report.left
        share = f", {100 * done // report.start} %" if report.start else ""
        lines += ["", f"since {report.points[0].date}: {report.start} -> {report.left} ({done} done{share})"]
        lines += [f"  {point.date:<10}  {point.total:>5}" for point in report.points]
    return "\n".join(lines) + "\n"


def _bar(package: Package, most: int) -> str:
    left = round(_BAR * package.left / most)
    if package.left and not left:
        left = 1
    done = max(round(_BAR * package.start / most) - left, 0)
    return "#" * left + "." * done


def render_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    lines = [
        "## callbridge report",
        "",
        f"| package | left | start | {' | '.join(VERDICTS)} |",
        f"|---|---:|---:|{'---:|' * len(VERDICTS)}",
    ]
    for package in report.packages:
        figures = " | ".join(str(package.verdicts[verdict]) for verdict in VERDICTS)
        name = package.name.replace("|", "\\|")
        lines.append(f"| {name} | {package.left} | {package.start or ''} | {figures} |")
    return "\n".join(
        [*lines, f"| total | {report.left} | {report.start if len(report.points) > 1 else ''} |{' |' * len(VERDICTS)}", ""]
    )


def render_json(report: Report) -> str:
    """Return the report as JSON, version 1."""
    document = {
        "version": 1,
        "left": report.left,
        "packages": [
            {"name": each.name, "left": each.left, "start": each.start, "verdicts": each.verdicts} for each in report.packages
        ],
        "points": [{"date": point.date, "total": point.total, "packages": point.counts} for point in report.points],
    }
    return json.dumps(document, indent=2) + "\n"
