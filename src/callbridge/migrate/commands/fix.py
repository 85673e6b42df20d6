"""`callbridge fix`: makes safe edits, writes each file completely or not at all, and says why the rest stays."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO, TypeAlias

from callbridge.migrate.analysis.files import MAX_BYTES, find_files
from callbridge.migrate.analysis.module import Module, UnparsableError, is_relevant, parse
from callbridge.migrate.analysis.project import Project, module_name
from callbridge.migrate.analysis.source_files import SourceFile, decoded, read_source, write_atomically
from callbridge.migrate.commands.config import Config, load_config
from callbridge.migrate.commands.parallel import WORTH_PROCESSES, in_processes, no_collection
from callbridge.migrate.commands.progress import progress_bar
from callbridge.migrate.commands.scan import find_all
from callbridge.migrate.edits.operations import Refusal
from callbridge.migrate.edits.patch import unified_patch
from callbridge.migrate.edits.rewriting import Options, Rewritten, UneditableError, rewrite
from callbridge.migrate.edits.source import Span
from callbridge.migrate.finding import Finding
from callbridge.migrate.problems import MigrateError
from callbridge.migrate.rules.choice import chosen_codes
from callbridge.migrate.words import counted

__all__ = ["FileOutcome", "fix_files", "run_fix"]

_NOTEBOOK = "a notebook: cells run in any order, so no edit is provably safe: edit it by hand"


@dataclass(frozen=True)
class FileOutcome:
    """The result for one file.

    Attributes:
        path: The file's label.
        before: Its bytes.
        after: Its bytes with the edits; the same bytes if there are none.
        rewritten: What `fix` did and what it left; None if it could not read the file.
        problem: Why `fix` could not read or edit the file; empty if it could.
    """

    path: str
    before: bytes = b""
    after: bytes = b""
    rewritten: Rewritten | None = None
    problem: str = ""

    @property
    def changed(self) -> bool:
        """Whether there are edits."""
        return self.before != self.after


def run_fix(options: argparse.Namespace) -> int:
    """Run `callbridge fix`.

    Args:
        options: As the command line gives them.

    Returns:
        The exit status: 0, 1 for findings, 2 if writing a file failed.

    Raises:
        MigrateError: If the arguments or the configuration are wrong, or there is something to edit and LibCST is missing.
    """
    config = load_config(Path(options.config) if options.config else None, Path.cwd())
    wanted = Options(
        select=chosen_codes(options.select, config.select),
        ignore=chosen_codes(options.ignore, config.ignore),
        unsafe=options.unsafe,
        level=options.level,
    )
    paths = options.paths or ["."]
    if "-" in paths:
        if paths != ["-"]:
            raise MigrateError("- stands for standard input: give no other path with it")
        return _run_on_stdin(wanted, options, config)
    exclude = (*config.exclude, *(options.exclude or ()))
    files = find_files(paths, config.root, config.include, exclude)
    known = dict([*_neighbours(paths, config.root), *files])
    failed = 0
    outcomes: list[FileOutcome] = []
    if options.jobs is not None and options.jobs < 1:
        raise MigrateError(f"--jobs must be 1 or more, got {options.jobs}")
    jobs = options.jobs or os.cpu_count() or 1
    with progress_bar(len(files)) as progress:
        found = fix_files(files, known, wanted, keep=config.keep, max_bytes=config.max_file_size, jobs=jobs, progress=progress)
    for outcome in found:
        written = options.diff or options.check or not outcome.changed or _written(outcome, known[outcome.path])
        failed += not written
        if written:
            _report(outcome, options)
            outcomes.append(outcome)
    _summarize(outcomes, options)
    dry = options.diff or options.check
    return 2 if failed else int(any(outcome.problem or (dry and outcome.changed) for outcome in outcomes))


def _neighbours(paths: Sequence[str], root: Path) -> list[tuple[str, Path]]:
    """Return the files that may use names of the files at these paths: the whole project, or the same directories."""
    if (root / "pyproject.toml").is_file() or (root / ".git").exists():
        return find_files([str(root)], root)
    return find_files(sorted({str(Path(path).parent) for path in paths if Path(path).is_file()}), root)


def fix_files(
    files: Sequence[tuple[str, Path]],
    known: dict[str, Path],
    options: Options,
    *,
    keep: tuple[str, ...] = (),
    max_bytes: int = MAX_BYTES,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> list[FileOutcome]:
    """Compute the edits of files. Writes nothing.

    Args:
        files: Pairs of label and path of the files to rewrite.
        known: Label to path of every file that may use their names, including these files.
        options: What to rewrite.
        keep: Patterns of dotted class names whose handlers are observers.
        max_bytes: If a file that mentions callbacks is larger, `fix` leaves it and reports that.
        jobs: How many processes to use if there are enough files.
        progress: Called with the number of files done since the last call.

    Returns:
        One outcome for each file that `fix` could not read, or that has something to rewrite or to leave. The order is that of
        `files`, for any number of processes.

    Raises:
        MigrateError: There is something to edit, and LibCST is missing.
    """
    sources = {name: path for name, path in known.items() if name.endswith((".py", ".pyw"))}
    project = Project(sources, partial(_text, sources))
    work = partial(_fix_chunk, project, options, keep, max_bytes)
    items = [(name, path, project.foreign_uses(name)) for name, path in files]
    advance = progress or (lambda _: None)
    if jobs > 1 and len(items) >= WORTH_PROCESSES:
        outcomes = in_processes(items, work, _crashed, jobs=jobs, advance=advance)
    else:
        outcomes = []
        for item in items:
            outcomes += work([item])
            advance(1)
    return [each for each in outcomes if each.problem or each.changed or (each.rewritten and each.rewritten.refusals)]


_Item: TypeAlias = tuple[str, Path, frozenset[str]]


def _fix_chunk(
    project: Project, options: Options, keep: tuple[str, ...], max_bytes: int, items: list[_Item]
) -> list[FileOutcome]:
    with no_collection():
        return [
            _fixed(
                name,
                partial(_read, path, max_bytes),
                replace(options, path=name, project=project),
                uses,
                partial(_scan, name, project, keep),
            )
            for name, path, uses in items
        ]


def _crashed(item: _Item) -> FileOutcome:
    return FileOutcome(item[0], problem="CB900 not rewritten: the parser crashed")


def _read(path: Path, max_bytes: int) -> SourceFile:
    return _editable(read_source(path), max_bytes)


def _editable(file: SourceFile, max_bytes: int) -> SourceFile:
    if is_relevant(file.text):
        if len(file.data) > max_bytes:
            raise UnparsableError(f"{len(file.data):,} bytes, more than max-file-size ({max_bytes:,})")
        if not file.is_exact:
            raise UnparsableError(f"writing it in {file.encoding} would change other bytes: save it as UTF-8 first")
    return file


def _text(known: dict[str, Path], label: str) -> str | None:
    try:
        return read_source(known[label]).text
    except UnparsableError:
        return None


def _scan(path: str, project: Project, keep: tuple[str, ...], text: str) -> list[Finding]:
    return find_all(text, path, project, keep)


def _fixed(
    path: str, read: Callable[[], SourceFile], options: Options, uses: frozenset[str], scan: Callable[[str], list[Finding]]
) -> FileOutcome:
    try:
        file = read()
    except UnparsableError as error:
        return FileOutcome(path, problem=f"CB900 not rewritten: {error.problem}")
    if not is_relevant(file.text):
        return FileOutcome(path)
    if path.endswith(".ipynb"):
        return FileOutcome(path, file.data, file.data, Rewritten("", (), (Refusal("", Span(1, 0, 1, 0), _NOTEBOOK),)))
    try:
        tree = parse(file.text)
    except UnparsableError as error:
        return FileOutcome(path, problem=f"CB900 not rewritten: line {error.line}: {error.problem}")
    if options.project is not None:
        options.project.hold(Module(file.text, path, module_name(path), tree))
    return _edited(path, file, replace(options, scan=scan), uses)


def _edited(path: str, file: SourceFile, options: Options, uses: frozenset[str]) -> FileOutcome:
    try:
        rewritten = rewrite(file.text, options, foreign_uses=uses, is_package=path.endswith("__init__.py"))
        told = replace(rewritten, changes=tuple(replace(each, operations=()) for each in rewritten.changes))
        return FileOutcome(path, file.data, file.encoded(rewritten.text), told)
    except UneditableError as error:
        problem = f"not rewritten: {error.problem}"
    except RecursionError:
        problem = "not rewritten: the code is nested too deeply"
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise MigrateError("edits need LibCST, which is not installed: pip install 'callbridge[migrate]'") from error
    except Exception as error:  # noqa: BLE001 - if one file breaks an editor, the others still get their edits
        problem = f"not rewritten: callbridge failed, please report this: {type(error).__name__}: {error}"
    return FileOutcome(path, file.data, file.data, problem=problem)


def _run_on_stdin(wanted: Options, options: argparse.Namespace, config: Config) -> int:
    data = sys.stdin.buffer.read()
    name = Path(options.stdin_filename).as_posix()

    def read() -> SourceFile:
        return _editable(decoded(data, notebook=name.endswith(".ipynb")), config.max_file_size)

    outcome = _fixed(name, read, wanted, frozenset("*"), partial(_scan, name, Project.build([]), config.keep))
    if not (options.diff or options.check):
        sys.stdout.buffer.write(outcome.after if outcome.changed else data)
        sys.stdout.flush()
    _report(outcome, options, stream_is_taken=not options.check)
    return int(bool(outcome.problem) or ((options.diff or options.check) and outcome.changed))


def _written(outcome: FileOutcome, path: Path) -> bool:
    try:
        write_atomically(path, outcome.after, expected=outcome.before)
    except OSError as error:
        _say(f"{outcome.path}: not written: {error.strerror or error}", sys.stderr)
        return False
    return True


def _report(outcome: FileOutcome, options: argparse.Namespace, *, stream_is_taken: bool = False) -> None:
    """Print what was done and what was left. With a patch, only the patch goes to stdout, so that you can pipe it."""
    out = sys.stderr if options.diff or stream_is_taken else sys.stdout
    if outcome.problem:
        _say(f"{outcome.path}: {outcome.problem}", out)
    if options.diff:
        sys.stdout.flush()
        sys.stdout.buffer.write(unified_patch(outcome.path, outcome.before, outcome.after))
        sys.stdout.buffer.flush()
    if outcome.rewritten is None:
        return
    verb = "would fix" if options.check else "fixed"
    for change in outcome.rewritten.changes if not options.diff else ():
        _say(f"{outcome.path}:{change.place.line}: {change.rule} {verb}: {change.message}", out)
    for refusal in outcome.rewritten.refusals if not options.quiet else ():
        rule = f"{refusal.rule} " if refusal.rule else ""
        _say(f"{outcome.path}:{refusal.place.line}: {rule}left: {refusal.reason}", out)


def _summarize(outcomes: Sequence[FileOutcome], options: argparse.Namespace) -> None:
    edits = sum(len(outcome.rewritten.changes) for outcome in outcomes if outcome.rewritten)
    left = sum(len(outcome.rewritten.refusals) for outcome in outcomes if outcome.rewritten)
    files = sum(outcome.changed for outcome in outcomes)
    to_do = "to make" if options.diff or options.check else "made"
    _say(f"{counted(edits, 'edit')} {to_do} in {counted(files, 'file')}, {counted(left, 'place')} left", sys.stderr)


def _say(line: str, out: TextIO) -> None:
    out.write(f"{line}\n")
