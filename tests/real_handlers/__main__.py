"""`python -m real_handlers`: attach, feed, compare, and write the page."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from real_handlers.kinds import KINDS
from real_handlers.page import PAGE, differing, letters_of, rendered, written
from real_handlers.results import ROOT, Cell, Results, add, begin, stamp
from real_handlers.runs import RUNS
from real_handlers.ways import WAYS

FOLDER = ROOT / ".real-handlers"
"""Where environments and results are kept unless said otherwise."""


def say(text: str) -> None:
    """Print a line, at once, past whatever a handler has made of the standard output."""
    sys.__stdout__.write(text + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m real_handlers", description=__doc__)
    parser.add_argument("handlers", nargs="*", metavar="HANDLER", help="in this environment; none: all, each in its own")
    parser.add_argument("--runs", nargs="*", default=list(RUNS), choices=list(RUNS), metavar="RUN")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--results", type=Path, help="a file that keeps what was found, and says what is done already")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for all: where environments and results are kept")
    parser.add_argument("--jobs", type=int, default=2, help="for all: how many handlers at a time")
    parser.add_argument("--render", action="store_true", help="for all: write the page of the results that there are")
    return parser.parse_args(arguments)


def _one(name: str, options: argparse.Namespace) -> bool:
    """Go through the runs with one handler, in this environment; return whether a cell differs by what is no loss."""
    from real_handlers.cells import cells
    from real_handlers.provider import provider

    kind, failed = KINDS[name], False
    done: dict[str, dict[str, Cell]] = {}
    if options.results:
        module = Path(__file__).parent / "kinds" / f"{kind.module}.py"
        done = begin(options.results, stamp(module), kind.distribution).cells
    with provider() as url:
        for number, run in enumerate(options.runs, 1):
            if run in done:
                continue
            found = cells(kind, run, url, options.ways)
            if options.results:
                add(options.results, run, found)
            said = {way: letters_of(name, run, way, cell) for way, cell in found.items()}
            say(f"{name} {number}/{len(options.runs)} {run}: {', '.join(f'{way} {cell}' for way, cell in said.items())}")
            for line in differing(name, run, found):
                failed = True
                sys.stderr.write(f"  {line}\n")
    return failed


def _page(options: argparse.Namespace) -> bool:
    """Write the page of what the results say; return whether a cell differs by what is no loss."""
    found = {name: Results.read(options.folder / f"{name}.jsonl") for name in KINDS}
    known = {name: results for name, results in found.items() if results is not None}
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), rendered(known)), encoding="utf-8")
    left = [
        line for name, results in known.items() for run, cells in results.cells.items() for line in differing(name, run, cells)
    ]
    for line in left:
        sys.stderr.write(f"{line}\n")
    return bool(left)


def main(arguments: list[str] | None = None) -> int:
    """Do as the module says; return 1 if a cell differs by anything that is no documented loss."""
    options = _options(arguments)
    unknown = [name for name in options.handlers if name not in KINDS]
    if unknown:
        say(f"no handler {', '.join(unknown)}; there are {', '.join(KINDS)}")
        return 2
    warnings.simplefilter("ignore")
    if options.handlers:
        return max([_one(name, options) for name in options.handlers])
    if not options.render:
        from real_handlers.environments import all_of

        if not all_of(options.folder, options.jobs, say):
            return 1
    return _page(options)


if __name__ == "__main__":
    sys.exit(main())
