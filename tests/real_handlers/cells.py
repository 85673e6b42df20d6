"""Attach a handler, feed it by every way, and tell what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from real_handlers.comparing import differences, flat
from real_handlers.kinds import Kind
from real_handlers.results import Cell
from real_handlers.runs import RUNS, Run
from real_handlers.ways import CALLED, REFERENCES, STREAMED, go

__all__ = ["cells"]

Record = Counter[tuple[str, str]]


def _record(kind: Kind, way: Any, run: Run, url: str) -> Record:
    with kind.make() as subject:
        raised = go(way, run, url, subject.handler)
        entries = subject.record()
    return flat([*entries, {"path": ("raised",), "error": raised}])


def _is_empty(record: Record) -> bool:
    return all(place.startswith("raised") for place, _ in record)


def cells(kind: Kind, name: str, url: str, wanted: Iterable[str]) -> dict[str, Cell]:
    """Return what is to be said of each way that is wanted."""
    run = RUNS[name]
    found = {}
    for reference, ways in (("attached", STREAMED), ("called", CALLED)):
        ways = {way: function for way, function in ways.items() if way in wanted}
        if not ways:
            continue
        first, again = (_record(kind, REFERENCES[reference], run, url) for _ in range(2))
        for way, function in ways.items():
            heard = _record(kind, function, run, url)
            if _is_empty(first):
                found[way] = Cell(is_new=not _is_empty(heard))
            else:
                found[way] = Cell(tuple(differences(first, again, heard)))
    return found
