"""`python -m real_handlers HANDLER...`: attach, feed, compare, print."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from typing import Any

from real_handlers.comparing import differences, flat, losses
from real_handlers.kinds import KINDS
from real_handlers.provider import provider
from real_handlers.rows import ROWS
from real_handlers.runs import RUNS, Run
from real_handlers.ways import CALLED, REFERENCES, STREAMED, WAYS, go

Record = Counter[tuple[str, str]]


def _record(kind: str, way: Any, run: Run, url: str) -> Record:
    with KINDS[kind]() as subject:
        raised = go(way, run, url, subject.handler)
        entries = subject.record()
    return flat([*entries, {"path": ("raised",), "error": raised}])


def _is_empty(record: Record) -> bool:
    return all(place.startswith("raised") for place, _ in record)


def _cells(kind: str, name: str, url: str, wanted: list[str], verbose: bool) -> dict[str, str]:
    """Return what is to be said of each way."""
    run = RUNS[name]
    cells = {}
    for reference, ways in (("attached", STREAMED), ("called", CALLED)):
        ways = {way: function for way, function in ways.items() if way in wanted}
        if not ways:
            continue
        first, again = (_record(kind, REFERENCES[reference], run, url) for _ in range(2))
        is_empty = _is_empty(first)
        for way, function in ways.items():
            heard = _record(kind, function, run, url)
            if is_empty:
                cells[way] = "nothing" if _is_empty(heard) else "not recorded attached"
                continue
            found = differences(first, again, heard)
            named, left = losses(f"{way} [{name}]", found, {**ROWS.get(kind, {}), **ROWS[""]})
            cells[way] = f"**{len(left)}**" if left else ", ".join(sorted(named)) or "="
            for place, there, here in left if verbose else ():
                sys.stderr.write(f"  {name}, {way}: {place}: {there[:160]} -> {here[:160]}\n")
    return cells


def say(text: str) -> None:
    """Print a line, at once, past whatever a handler has made of the standard output."""
    sys.__stdout__.write(text + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def main(arguments: list[str] | None = None) -> int:
    """Print a table for each handler; return 1 if a cell differs by anything that is no documented loss."""
    parser = argparse.ArgumentParser(prog="python -m real_handlers", description=__doc__)
    parser.add_argument("handlers", nargs="+", choices=sorted(KINDS), metavar="HANDLER")
    parser.add_argument("--runs", nargs="*", default=sorted(RUNS), choices=sorted(RUNS), metavar="RUN")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--quiet", action="store_true", help="do not say what differs")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    failed = False
    with provider() as url:
        for kind in options.handlers:
            say(f"### {kind}\n\n| run | {' | '.join(options.ways)} |\n|{'---|' * (len(options.ways) + 1)}")
            for name in options.runs:
                cells = _cells(kind, name, url, options.ways, not options.quiet)
                failed = failed or any(cell.startswith("**") for cell in cells.values())
                say(f"| {name} | {' | '.join(cells[way] for way in options.ways)} |")
            say("")
    return failed


if __name__ == "__main__":
    sys.exit(main())
