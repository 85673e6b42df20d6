"""Scanning: one text, one file, or a tree of files in several processes. No content of a file makes a scan fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.files import MAX_BYTES
from callbridge.migrate.analysis.module import Module, UnparsableError, is_relevant, parse
from callbridge.migrate.analysis.notebook import Notebook, read_notebook
from callbridge.migrate.analysis.project import Project, module_name
from callbridge.migrate.analysis.source_files import SourceFile, read_source
from callbridge.migrate.analysis.suppressions import apply_suppressions, find_suppressions
from callbridge.migrate.commands.parallel import WORTH_PROCESSES, in_processes, no_collection
from callbridge.migrate.edits.planning import plan_all
from callbridge.migrate.edits.source import Source
from callbridge.migrate.edits.verdicts import REWRITTEN_BY, settled
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.choice import Choice
from callbridge.migrate.rules.table import RULES

__all__ = ["FileResult", "Settings", "find_all", "scan_files", "scan_read", "scan_source", "scan_text"]


@dataclass(frozen=True)
class Settings(Choice):
    """What a scan looks for.

    Attributes:
        keep: Patterns of dotted class names whose handlers are observers.
        max_bytes: If a file that mentions callbacks is larger, the scan skips it and reports that.
    """

    keep: tuple[str, ...] = ()
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True)
class FileResult:
    """The result of a scan for one file.

    Attributes:
        path: The file's label.
        findings: In the order of the source.
        suppressed: Those that a comment suppresses.
    """

    path: str
    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Finding, ...] = ()


def scan_source(text: str, path: str, project: Project | None = None, keep: tuple[str, ...] = ()) -> list[Finding]:
    """Return all findings in the text of a Python file, without applying suppressions.

    Args:
        text: The source.
        path: Its label in the findings, and the base of relative imports.
        project: Resolves imports; by default nothing does.
        keep: Patterns of dotted class names whose handlers are observers.

    Returns:
        Findings sorted by place. A text that does not parse has one finding, CB900. No text raises an exception.
    """
    where = project if project is not None else Project.build([(path, text)])
    found = find_all(text, path, where, keep)
    if not any(each.rule in REWRITTEN_BY and each.verdict != "keep" for each in found):
        return found
    try:
        uses, is_package = where.foreign_uses(path), path.endswith("__init__.py")
        source = Source(text, foreign_uses=uses, is_package=is_package, path=path, project=where)
        return settled(found, plan_all(source), source)
    except RecursionError:
        return [_unparsable(path, UnparsableError("nested more deeply than the scan can follow"))]


def find_all(text: str, path: str, where: Project, keep: tuple[str, ...] = ()) -> list[Finding]:
    """Return the findings of the rules in a text, with the verdicts that hold if no edit applies."""
    try:
        module = where.loaded(path, text)
        if module is None:
            tree = parse(text)
            if not is_relevant(text):
                return []
            module = Module(text, path, module_name(path), tree)
            where.hold(module)
        context = Context(module, where, keep)
        found = [finding for rule in RULES.values() for finding in rule.check(context)]
    except UnparsableError as error:
        return [_unparsable(path, error)]
    except RecursionError:
        return [_unparsable(path, UnparsableError("nested more deeply than the scan can follow"))]
    return sorted(found, key=lambda finding: finding.sort_key)


def scan_text(text: str, path: str, project: Project | None = None, settings: Settings | None = None) -> FileResult:
    """Scan the text of a Python file, or of a notebook if the path ends so. Applies settings and suppressions."""
    settings = settings or Settings()
    try:
        notebook = read_notebook(text) if path.endswith(".ipynb") else None
    except UnparsableError as error:
        return _broken(path, error, settings)
    source = notebook.text if notebook is not None else text
    findings = scan_source(source, path, project, settings.keep)
    if notebook is not None:
        findings = _in_cells(findings, notebook, path)
    findings = [finding for finding in findings if settings.wants(finding.rule)]
    kept, silenced = apply_suppressions(findings, find_suppressions(source), path, settings.codes)
    kept = sorted((each for each in kept if settings.wants(each.rule)), key=lambda finding: finding.sort_key)
    return FileResult(path, tuple(kept), tuple(silenced))


def scan_read(path: str, read: Callable[[], SourceFile], project: Project | None, settings: Settings) -> FileResult:
    """Read a file and scan it. A file that is too large, or that cannot be read, is a finding."""
    try:
        file = read()
    except UnparsableError as error:
        return _broken(path, error, settings)
    if len(file.data) > settings.max_bytes:
        large = UnparsableError(f"{len(file.data):,} bytes, more than max-file-size ({settings.max_bytes:,})")
        return _broken(path, large, settings) if is_relevant(file.text) else FileResult(path)
    return scan_text(file.text, path, project, settings)


def scan_files(
    files: list[tuple[str, Path]],
    settings: Settings | None = None,
    *,
    roots: Iterable[tuple[str, Path]] = (),
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> list[FileResult]:
    """Scan files.

    Args:
        files: Pairs of label and path.
        settings: What to look for.
        roots: Other files that imports may lead to.
        jobs: How many processes to use if there are enough files.
        progress: Called with the number of files done since the last call.

    Returns:
        One result for each file, in the given order, for any number of processes.
    """
    settings = settings or Settings()
    known = {label: path for label, path in [*roots, *files] if label.endswith((".py", ".pyw"))}
    project = Project(known, partial(_read, known))
    advance = progress or (lambda _: None)
    if jobs <= 1 or len(files) < WORTH_PROCESSES:
        results = []
        with no_collection():
            for label, path in files:
                results.append(scan_read(label, partial(read_source, path), project, settings))
                advance(1)
        return results
    work, crashed = partial(_scan_chunk, project, settings), partial(_crashed, settings)
    return in_processes(files, work, crashed, jobs=jobs, advance=advance)


def _read(known: dict[str, Path], label: str) -> str | None:
    try:
        return read_source(known[label]).text
    except UnparsableError:
        return None


def _scan_chunk(project: Project, settings: Settings, files: list[tuple[str, Path]]) -> list[FileResult]:
    with no_collection():
        return [scan_read(label, partial(read_source, path), project, settings) for label, path in files]


def _crashed(settings: Settings, file: tuple[str, Path]) -> FileResult:
    return _broken(file[0], UnparsableError("the parser crashed"), settings)


def _broken(path: str, error: UnparsableError, settings: Settings) -> FileResult:
    return FileResult(path, (_unparsable(path, error),) if settings.wants("CB900") else ())


def _unparsable(path: str, error: UnparsableError, facts: dict[str, str] | None = None) -> Finding:
    place = (error.line, error.column, error.line, error.column)
    message = f"not scanned: {error.problem.removeprefix('not scanned: ')}"
    reason = "correct the file, or list it under `exclude`"
    return Finding(path, *place, "CB900", message, "manual", "error", reason=reason, facts=facts or {})


def _in_cells(findings: list[Finding], notebook: Notebook, path: str) -> list[Finding]:
    """Add cell numbers to the findings, and a finding for each cell that does not parse."""
    found = []
    for finding in findings:
        cell = notebook.cell_at(finding.line)
        where = {"cell": str(cell.number), "cell_line": str(finding.line - cell.first + 1)} if cell else {}
        found.append(replace(finding, facts={**finding.facts, **where}))
    for cell in notebook.cells:
        if cell.problem:
            where = {"cell": str(cell.number), "cell_line": str(cell.line - cell.first + 1)}
            found.append(_unparsable(path, UnparsableError(cell.problem, cell.line), where))
    return sorted(found, key=lambda finding: finding.sort_key)
