"""`callbridge fix`: rewrites what can be rewritten, writes files completely or not at all, says why the rest stays."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from callbridge.migrate.edits.files import SourceFile, UnreadableError, decoded, read_source, write_atomically
from callbridge.migrate.edits.foreign import ForeignUses
from callbridge.migrate.edits.operations import Refusal
from callbridge.migrate.edits.patch import unified_patch
from callbridge.migrate.edits.rewriting import Options, Rewritten, UneditableError, rewrite
from callbridge.migrate.edits.source import Span
from callbridge.migrate.files import find_files
from callbridge.migrate.finding import Finding
from callbridge.migrate.module import UnparsableError, is_relevant, parse
from callbridge.migrate.problems import MigrateError
from callbridge.migrate.project import Project
from callbridge.migrate.scan import scan_source

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ["FileOutcome", "add_parser", "fix_files", "project_root", "run"]

_DESCRIPTION = """\
Rewrite legacy callback use where that is safe, and say why the rest stays.

Safe edits only, unless --unsafe is given: imports that moved, callback_manager=, CallbackManager([...]), callbacks= of
invoke(), astream_events without a version, unused suppressions, and legacy calls that can be wrapped with proof that
the same text arrives. Level 1 leaves the legacy call as it is and reads its text through astream_call or stream_call; level 2
writes a loop over events where that gives the same, and wraps the rest.
"""

_EPILOG = """\
exit status:
  0  every edit has been made, or there was none to make
  1  findings: with --check or --diff, edits are to be made; without, some file does not parse or cannot be edited
  2  wrong arguments, LibCST is missing, or a file could not be written

LibCST is needed as soon as there is an edit: pip install 'callbridge[migrate]'
"""


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: object) -> ArgumentParser: ...


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        path: The file's label.
        before: Its bytes.
        after: Its bytes with the edits; the same if there are none.
        rewritten: What was done and what was left; None if the file could not be looked at.
        problem: Why the file was not looked at, or not edited; empty if it was.
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


def add_parser(subparsers: _Subparsers) -> ArgumentParser:
    """Add the command to the command line and return its parser."""
    parser = subparsers.add_parser(
        "fix",
        help="rewrite legacy callback use where that is safe",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="*", default=["."], metavar="PATH", help="files and directories; `-` for stdin (default: .)"
    )
    parser.add_argument("--unsafe", action="store_true", help="also edits that add a dependency or have to be reviewed")
    parser.add_argument(
        "--level", type=int, choices=(1, 2), default=1, help="1 wraps calls, 2 writes events loops (default: 1)"
    )
    parser.add_argument("--select", default="", metavar="CODES", help="only these rules, or beginnings of codes, by commas")
    show = parser.add_mutually_exclusive_group()
    show.add_argument("--diff", action="store_true", help="write nothing; print a patch for `git apply`")
    show.add_argument("--check", action="store_true", help="write nothing; say what would be done")
    parser.add_argument("--quiet", "-q", action="store_true", help="say nothing about findings that stay")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status.

    Args:
        options: As parsed by the parser of `add_parser`.

    Raises:
        MigrateError: A path does not exist, or LibCST is missing and there is something to edit.
    """
    rules = tuple(code.strip().upper() for code in options.select.split(",") if code.strip())
    wanted = Options(unsafe=options.unsafe, level=options.level, rules=rules)
    if options.paths == ["-"]:
        return _run_on_stdin(wanted, options)
    root = project_root(options.paths)
    files = find_files(options.paths, root)
    known = dict([*find_files([str(root)], root), *files])
    failed = 0
    outcomes: list[FileOutcome] = []
    for outcome in fix_files(files, known, wanted):
        if outcome.changed and not (options.diff or options.check):
            failed += not _written(outcome, known[outcome.path])
        _report(outcome, options)
        outcomes.append(outcome)
    _summarize(outcomes, options)
    if failed:
        return 2
    dry = options.diff or options.check
    return int(any(outcome.problem or (dry and outcome.changed) for outcome in outcomes))


def project_root(paths: Sequence[str]) -> Path:
    """Return the directory that all paths of a run are seen from: the nearest one above with a `pyproject.toml` or `.git`."""
    first = Path(paths[0]).absolute() if paths else Path.cwd()
    start = first if first.is_dir() else first.parent
    for directory in (start, *start.parents):
        if (directory / "pyproject.toml").exists() or (directory / ".git").exists():
            return directory
    return start


def fix_files(files: Sequence[tuple[str, Path]], known: dict[str, Path], options: Options) -> list[FileOutcome]:
    """Work out what is to become of files; nothing is written.

    Args:
        files: Pairs of label and path: what is to be rewritten.
        known: Label to path of every file that may use their names, these included.
        options: What to rewrite.

    Returns:
        One outcome for each file that could not be looked at, or has something to rewrite or to leave; in the given order.

    Raises:
        MigrateError: LibCST is missing, and there is something to edit.
    """
    texts = {name: text for name, path in known.items() if name.endswith((".py", ".pyw")) and (text := _text(path)) is not None}
    uses = ForeignUses(texts.items())
    project = Project(texts, texts.get)
    outcomes: list[FileOutcome] = []
    for name, path in files:
        scan = partial(_scan, name, project)
        outcome = _fixed(name, partial(read_source, path), options, uses.of(name), scan)
        if outcome.problem or outcome.changed or (outcome.rewritten and outcome.rewritten.refusals):
            outcomes.append(outcome)
    return outcomes


def _text(path: Path) -> str | None:
    try:
        return read_source(path).text
    except UnreadableError:
        return None


def _scan(path: str, project: Project, text: str) -> list[Finding]:
    return scan_source(text, path, project)


def _fixed(
    path: str, read: Callable[[], SourceFile], options: Options, uses: frozenset[str], scan: Callable[[str], list[Finding]]
) -> FileOutcome:
    if path.endswith(".ipynb"):
        return _notebook(path, read)
    try:
        file = read()
        if not is_relevant(file.text):
            return FileOutcome(path)
        parse(file.text)
    except UnreadableError as error:
        return FileOutcome(path, problem=f"CB900 not rewritten: {error.problem}")
    except UnparsableError as error:
        return FileOutcome(path, problem=f"CB900 not rewritten: line {error.line}: {error.problem}")
    try:
        options = Options(options.unsafe, options.level, options.rules, scan)
        rewritten = rewrite(file.text, options, foreign_uses=uses, is_package=path.endswith("__init__.py"))
        return FileOutcome(path, file.data, file.encoded(rewritten.text), rewritten)
    except UneditableError as error:
        return FileOutcome(path, file.data, file.data, problem=f"not rewritten: {error.problem}")
    except RecursionError:
        return FileOutcome(path, file.data, file.data, problem="not rewritten: nested more deeply than can be followed")
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise MigrateError("there is something to edit, which needs LibCST: pip install 'callbridge[migrate]'") from error


def _notebook(path: str, read: Callable[[], SourceFile]) -> FileOutcome:
    """A notebook is never edited: names of one cell are used by others, in whatever order they are run."""
    try:
        file = read()
    except UnreadableError as error:
        return FileOutcome(path, problem=f"CB900 not rewritten: {error.problem}")
    if not is_relevant(file.text):
        return FileOutcome(path)
    reason = "a notebook: cells are run in any order, so what a cell's edit would change elsewhere cannot be proved"
    return FileOutcome(path, file.data, file.data, Rewritten("", (), (Refusal("", Span(1, 0, 1, 0), reason),)))


def _run_on_stdin(wanted: Options, options: argparse.Namespace) -> int:
    data = sys.stdin.buffer.read()
    project = Project.build([])
    outcome = _fixed("stdin.py", partial(decoded, data), wanted, frozenset(), partial(_scan, "stdin.py", project))
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
    """Say what was done and what was left; a patch goes to stdout alone, so that it can be piped."""
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
    _say(f"{_count(edits, 'edit')} {to_do} in {_count(files, 'file')}, {_count(left, 'place')} left", sys.stderr)


def _say(line: str, out: TextIO) -> None:
    out.write(f"{line}\n")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
