"""`callbridge scan` and `report`: read the configuration, scan, compare with the baseline, write the output."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from callbridge.migrate.analysis.files import find_files, label
from callbridge.migrate.analysis.source_files import decoded
from callbridge.migrate.commands.config import Config, load_config
from callbridge.migrate.commands.progress import progress_bar
from callbridge.migrate.commands.scan import FileResult, Settings, scan_files, scan_read
from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs import github, markdown, sarif, text
from callbridge.migrate.outputs import json as json_output
from callbridge.migrate.outputs.baseline import Baseline, baseline_at, compare, counts, entry_of, read_baseline, write_baseline
from callbridge.migrate.outputs.outcome import Outcome
from callbridge.migrate.outputs.picture import render_svg
from callbridge.migrate.outputs.report import by_directory, history, make_report, render_json, render_markdown, render_text
from callbridge.migrate.problems import MigrateError
from callbridge.migrate.rules.choice import chosen_codes

__all__ = ["run_report", "run_scan"]


@dataclass(frozen=True)
class Scan:
    """A finished scan.

    Attributes:
        config: The project's configuration.
        settings: The settings of the scan.
        results: One for each file.
    """

    config: Config
    settings: Settings
    results: list[FileResult]

    @property
    def findings(self) -> list[Finding]:
        """All findings, in order."""
        return [finding for result in self.results for finding in result.findings]

    @property
    def paths(self) -> frozenset[str]:
        """The scanned files."""
        return frozenset(result.path for result in self.results)


def run_scan(options: argparse.Namespace) -> int:
    """Run `callbridge scan`.

    Raises:
        MigrateError: If the arguments, the configuration or the baseline are wrong.
    """
    if options.allow_new and not options.update_baseline:
        raise MigrateError("--allow-new needs --update-baseline")
    scan = _scan(options)
    path = _baseline_path(options, scan.config)
    if path is None and (options.update_baseline or options.baseline_ref):
        raise MigrateError("there is no baseline: name one with --baseline FILE, or as `baseline` in [tool.callbridge]")
    outcome = _compared(scan, path, options) if path is not None else _outcome(scan, scan.findings)
    _write(_rendered(outcome, options), options.output)
    return 1 if outcome.active and not options.exit_zero else 0


def run_report(options: argparse.Namespace) -> int:
    """Run `callbridge report`.

    Raises:
        MigrateError: If the arguments, the configuration or the baseline are wrong.
    """
    if options.depth < 1:
        raise MigrateError(f"--depth must be 1 or more, got {options.depth}")
    scan = _scan(options, may_be_empty=True)
    path = _baseline_path(options, scan.config)
    package = by_directory(options.depth)
    past = history(path, path.parent, package) if path is not None and path.exists() else []
    findings = [finding for finding in scan.findings if finding.rule not in ("CB901", "CB902")]
    report = make_report(findings, past, package)
    render = {"text": render_text, "json": render_json, "markdown": render_markdown, "svg": render_svg}[options.format]
    _write(render(report), options.output)
    return 0


# -- scanning -------------------------------------------------------------------------------------------------------------


def _scan(options: argparse.Namespace, *, may_be_empty: bool = False) -> Scan:
    config = load_config(Path(options.config) if options.config else None, Path.cwd())
    settings = Settings(
        select=chosen_codes(options.select, config.select),
        ignore=chosen_codes(options.ignore, config.ignore),
        keep=(*config.keep, *(options.keep or ())),
        max_bytes=config.max_file_size,
    )
    exclude = (*config.exclude, *(options.exclude or ()))
    paths = options.paths or ["."]
    if "-" in paths:
        return Scan(config, settings, [_scan_stdin(paths, options, settings)])
    files = find_files(paths, config.root, config.include, exclude)
    if not (files or may_be_empty) and all(Path(path).is_dir() for path in paths):
        # a commit hook names files, and the configuration may exclude all of them
        raise MigrateError(f"no Python file or notebook to scan in {', '.join(paths)}")
    if options.jobs is not None and options.jobs < 1:
        raise MigrateError(f"--jobs must be 1 or more, got {options.jobs}")
    with progress_bar(len(files)) as progress:
        jobs = options.jobs or os.cpu_count() or 1
        results = scan_files(files, settings, roots=_roots(config, exclude, paths), jobs=jobs, progress=progress)
    return Scan(config, settings, results)


def _scan_stdin(paths: list[str], options: argparse.Namespace, settings: Settings) -> FileResult:
    if paths != ["-"]:
        raise MigrateError("- stands for standard input: give no other path with it")
    name = Path(options.stdin_filename).as_posix() if hasattr(options, "stdin_filename") else "stdin.py"
    return scan_read(name, lambda: decoded(sys.stdin.buffer.read(), notebook=name.endswith(".ipynb")), None, settings)


def _roots(config: Config, exclude: tuple[str, ...], paths: list[str]) -> list[tuple[str, Path]]:
    """Return the other files that imports may lead to: the whole project, if the root is one."""
    if not config.include and any(Path(path).absolute() == config.root for path in paths):
        return []  # the scan covers the whole project
    if (config.root / "pyproject.toml").is_file() or (config.root / ".git").exists():
        return find_files([str(config.root)], config.root, (), exclude)
    return []


# -- baseline -------------------------------------------------------------------------------------------------------------


def _baseline_path(options: argparse.Namespace, config: Config) -> Path | None:
    if getattr(options, "no_baseline", False):
        return None
    return Path(options.baseline) if options.baseline else config.baseline


def _compared(scan: Scan, path: Path, options: argparse.Namespace) -> Outcome:
    shown = label(path, scan.config.root)
    if options.update_baseline:
        baseline = _updated(scan, path, shown, allow_new=options.allow_new)
    else:
        baseline = read_baseline(path, shown)
    base = baseline_at(options.baseline_ref, path, path.resolve().parent) if options.baseline_ref else None
    if options.baseline_ref and base is None:
        sys.stderr.write(f"callbridge scan: {shown} is new since {options.baseline_ref}: there is nothing to compare it with\n")
    compared = compare(scan.findings, baseline, scan.paths, scan.settings.codes, base, _existing(baseline, scan.config.root))
    stale = [finding for finding in compared.stale if scan.settings.wants("CB902")]
    return _outcome(scan, [*compared.new, *stale], compared.known)


def _updated(scan: Scan, path: Path, shown: str, *, allow_new: bool) -> Baseline:
    """Rewrite the baseline without stale entries, and with new ones if `allow_new` is set; then read it back."""
    fresh = allow_new and not path.exists()
    baseline = Baseline(shown) if fresh else read_baseline(path, shown)
    compared = compare(scan.findings, baseline, scan.paths, scan.settings.codes, shown=_existing(baseline, scan.config.root))
    left = baseline.counts
    for finding in compared.stale:
        entry = next(each for each in baseline.lines if str(each) == finding.facts["entry"])
        left[entry] -= 1
    if allow_new:
        left.update(entry_of(finding) for finding in compared.new if counts(finding))
    write_baseline(path, left.elements())
    return read_baseline(path, shown)


def _existing(baseline: Baseline, root: Path) -> frozenset[str]:
    """Return the files of a baseline that still exist."""
    return frozenset(path for path in {entry.path for entry in baseline.lines} if (root / path).exists())


# -- output ---------------------------------------------------------------------------------------------------------------


def _outcome(scan: Scan, findings: Iterable[Finding], known: Iterable[Finding] = ()) -> Outcome:
    suppressed = tuple(finding for result in scan.results for finding in result.suppressed)
    return Outcome(tuple(sorted(findings, key=lambda each: each.sort_key)), tuple(known), suppressed, len(scan.results))


def _rendered(outcome: Outcome, options: argparse.Namespace) -> str:
    if options.format == "text":
        colour = (
            not options.output and sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        return text.render(outcome, show_kept=options.show_kept, show_suppressed=options.show_suppressed, colour=colour)
    render = {"json": json_output.render, "sarif": sarif.render, "github": github.render, "markdown": markdown.render}
    return render[options.format](outcome)


def _write(content: str, path: str | None) -> None:
    if path is None:
        safe = content.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8")
        sys.stdout.write(safe)
        return
    try:
        Path(path).write_text(content, encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise MigrateError(f"cannot write {path}: {error.strerror or error}") from error
