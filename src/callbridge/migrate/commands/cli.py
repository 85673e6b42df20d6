"""The commands of the migration tool and their arguments. Imports the code of a command only when you run it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["COMMANDS", "Command", "run_command"]

FORMATS = ("text", "json", "sarif", "github", "markdown")
REPORT_FORMATS = ("text", "json", "markdown", "svg")

_SCAN = """\
Find legacy callback use in Python files and notebooks. The scan only reads
files, and needs no network.

Every finding has a rule (callbridge explain CB301) and a verdict:
  keep         an observer: nothing to do, never counted
  auto-safe    `callbridge fix` rewrites it
  auto-review  `callbridge fix --unsafe` rewrites it; look at the diff
  adapter      one line changes, callbridge does the rest at run time
  manual       work for a person, with the reason why
"""
_SCAN_EPILOG = """\
examples:
  callbridge scan                     the current directory
  callbridge scan src app.py nb.ipynb
  cat app.py | callbridge scan - --stdin-filename app.py
  callbridge scan --format sarif -o callbridge.sarif    for code scanning
  callbridge scan --update-baseline --allow-new         accept all current
                                      findings; then commit the file
  callbridge scan --baseline-ref origin/main            in CI: a finding must
                                      not bring its own baseline entry

[tool.callbridge] in pyproject.toml configures it. A comment with a reason
suppresses one place:
  chain.run(q, callbacks=[h])  # callbridge: ignore[CB204] goes with the page

Exit status: 0 if there is nothing to do; 1 if there are findings; 2 if the
usage, the configuration or the baseline is wrong, or there is nothing to scan.
"""
_FIX = """\
Rewrite legacy callback use if that is safe, and say why the rest stays.

These edits are safe: imports that moved, callback_manager=,
CallbackManager([...]), callbacks= of invoke(), astream_events without a
version, suppressions of nothing, and legacy calls, if callbridge can prove
that a wrapped call gives the same text. Level 1 keeps the legacy call and
reads its text through astream_call or stream_call. Level 2 writes a loop over
events if that gives the same text, and wraps the rest. Edits need LibCST:
  pip install 'callbridge[migrate]'
"""
_FIX_EPILOG = """\
examples:
  callbridge fix --diff                 look at it first
  callbridge fix --diff | git apply     and apply it
  callbridge fix src app.py             write files, each wholly or not at all
  callbridge fix --unsafe --select CB302    also edits that you must review
  cat app.py | callbridge fix -         standard input to standard output

Exit status: 0 if all edits are made or there is none; 1 if files do not parse
or cannot be edited, or if --check or --diff finds edits to make; 2 if the usage
is wrong, LibCST is missing, or a file could not be written.
"""
_EXPLAIN = """\
Explain a rule: what it finds, why, code before and after, and when to leave it.
Or explain an error of callbridge: its cause and its cure. Without a name, list
all rules.
"""
_EXPLAIN_EPILOG = """\
examples:
  callbridge explain                    all rules, a line each
  callbridge explain CB301              by code
  callbridge explain aiter-task CB302   by name; as many as you like
  callbridge explain CapacityError      an error that you have seen

Exit status: 0, or 2 if there is no such rule or error.
"""
_REPORT = """\
Show what is left, by package and verdict, and the trend. The history comes from
the baseline file in git.
"""
_REPORT_EPILOG = """\
examples:
  callbridge report              a table, and the totals over time if there is
                                 a baseline
  callbridge report --format svg -o burndown.svg    the same as a picture

Exit status: 0, or 2 if the usage, the configuration or the baseline is wrong.
"""


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        help: One line.
        description: The beginning of `--help`.
        epilog: The end of `--help`.
        add_arguments: Declares the arguments.
        run: Does the work and returns the exit status.
    """

    help: str
    description: str
    epilog: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def run_command(name: str, options: argparse.Namespace) -> int:
    """Run a command. Print a `MigrateError` on standard error, and return status 2."""
    from callbridge.migrate.problems import MigrateError

    try:
        return COMMANDS[name].run(options)
    except MigrateError as error:
        sys.stderr.write(f"callbridge {name}: {error.problem}\n")
        return 2


def _files_and_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and directories (default: the current one); - reads stdin"
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: the nearest pyproject.toml)")
    parser.add_argument("--select", action="append", metavar="CODES", help="only these rules: CB301, or CB3 for all of CB3xx")
    parser.add_argument("--ignore", action="append", metavar="CODES", help="leave out these rules")
    parser.add_argument("--exclude", action="append", metavar="PATTERN", help="leave out these paths")


def _stdin_filename(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stdin-filename", default="stdin.py", metavar="PATH", help="the name for standard input (default: stdin.py)"
    )


def _scanning(parser: argparse.ArgumentParser) -> None:
    _files_and_rules(parser)
    parser.add_argument(
        "--keep", action="append", metavar="CLASS", help="handlers to keep as observers: a dotted name or pattern"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes for long scans (default: one for each core)")
    parser.add_argument("--baseline", metavar="FILE", help="the file of known findings (default: as configured, or none)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to this file instead of standard output")


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    _scanning(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="format of the output (default: text)")
    _stdin_filename(parser)
    parser.add_argument("--show-kept", action="store_true", help="also show observers")
    parser.add_argument("--show-suppressed", action="store_true", help="also show suppressed findings")
    parser.add_argument("--exit-zero", action="store_true", help="exit with status 0 even if there are findings")
    known = parser.add_argument_group("baseline")
    known.add_argument("--no-baseline", action="store_true", help="also report known findings")
    known.add_argument(
        "--update-baseline", action="store_true", help="remove stale entries; with --allow-new also add new ones"
    )
    known.add_argument("--allow-new", action="store_true", help="let --update-baseline add entries, or create the file")
    known.add_argument(
        "--baseline-ref", metavar="REF", help="accept only entries that the baseline had at the merge base with REF"
    )


def _scan(options: argparse.Namespace) -> int:
    from callbridge.migrate.commands.scan_and_report import run_scan

    return run_scan(options)


def _fix_arguments(parser: argparse.ArgumentParser) -> None:
    _files_and_rules(parser)
    parser.add_argument("--unsafe", action="store_true", help="also make edits that add a dependency or that you must review")
    parser.add_argument(
        "--level", type=int, choices=(1, 2), default=1, help="1 wraps calls, 2 writes loops over events (default: 1)"
    )
    show = parser.add_mutually_exclusive_group()
    show.add_argument("--diff", action="store_true", help="write nothing; print a patch for git apply")
    show.add_argument("--check", action="store_true", help="write nothing; say what fix would do")
    parser.add_argument("--quiet", "-q", action="store_true", help="do not report what stays")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes for many files (default: one for each core)")
    _stdin_filename(parser)


def _fix(options: argparse.Namespace) -> int:
    from callbridge.migrate.commands.fix import run_fix

    return run_fix(options)


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rules", nargs="*", metavar="NAME", help="a code, a name, or an error: CB301, aiter-task, CapacityError"
    )


def _explain(options: argparse.Namespace) -> int:
    from callbridge.migrate.commands.explain import explain, list_rules

    sys.stdout.write("\n".join(explain(rule) for rule in options.rules) if options.rules else list_rules())
    return 0


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    _scanning(parser)
    parser.add_argument("--format", choices=REPORT_FORMATS, default="text", help="format of the output (default: text)")
    parser.add_argument("--depth", type=int, default=1, metavar="N", help="how many directories name a package (default: 1)")


def _report(options: argparse.Namespace) -> int:
    from callbridge.migrate.commands.scan_and_report import run_report

    return run_report(options)


COMMANDS = MappingProxyType(
    {
        "scan": Command("find legacy callback use", _SCAN, _SCAN_EPILOG, _scan_arguments, _scan),
        "fix": Command("make safe edits, and say why the rest stays", _FIX, _FIX_EPILOG, _fix_arguments, _fix),
        "explain": Command("explain a rule or an error", _EXPLAIN, _EXPLAIN_EPILOG, _explain_arguments, _explain),
        "report": Command("show what is left, by package, and the trend", _REPORT, _REPORT_EPILOG, _report_arguments, _report),
    }
)
"""Name to command, in the order of `--help`."""
