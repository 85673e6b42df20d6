"""The table of failures in `docs/relay.md`: made from what the tests have seen, and compared with the page.

A test that shows what comes of a failure is marked with `failure(what)` and hands what it has seen to the fixture `seen`. The
words around it are the marker's, with `{}` where the outcome goes. One row is one marker; its tests are one for each engine.

    CALLBRIDGE_RELAY=required CALLBRIDGE_RELAY_TABLE=write python -m pytest tests/relay -m failure

writes the table anew. Any other run of these tests compares: a row of the page that is not true fails the test that saw it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = "CALLBRIDGE_RELAY=required CALLBRIDGE_RELAY_TABLE=write python -m pytest tests/relay -m failure"
WRITES = os.environ.get("CALLBRIDGE_RELAY_TABLE") == "write"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "relay.md"
BLOCK = re.compile(rf"(<!-- generated: {re.escape(COMMAND)} -->\n).*?(?=<!-- end -->)", re.DOTALL)
HEAD = ["| what fails | readers see | the worker sees | shown on |", "|---|---|---|---|"]
ENGINES = {"memory": "memory", "sqlite": "SQLite", "redis": "Redis", "valkey": "Valkey"}


@dataclass
class Row:
    """A row of the table.

    Args:
        what: What fails.
        readers: What is said of what readers have seen, with `{}` in its place.
        worker: The same of the worker.
    """

    what: str
    readers: str = "{}"
    worker: str = "{}"
    outcomes: dict[str, set[str]] = field(default_factory=lambda: {"readers": set(), "worker": set()})
    engines: set[str] = field(default_factory=set)

    def cells(self) -> tuple[str, str, str]:
        """Return what fails, what readers see and what the worker sees."""
        return self.what, _said(self.readers, self.outcomes["readers"]), _said(self.worker, self.outcomes["worker"])

    def line(self) -> str:
        """Return it as the page has it."""
        engines = [shown for engine, shown in ENGINES.items() if engine in self.engines]
        return f"| {' | '.join([*self.cells(), ', '.join(engines)])} |"


def _said(template: str, outcomes: set[str]) -> str:
    """Return the text for outcomes: the name of an error, or "nothing" for an undisturbed reader."""
    named = sorted("nothing" if each in ("ended", "done") else f"`{each}`" for each in outcomes)
    return template.format(" or ".join(named)) if named or "{}" not in template else ""


class Seen:
    """What a test has seen of a failure.

    Args:
        row: Of the table.
        engine: On which it was.
    """

    def __init__(self, row: Row, engine: str) -> None:
        self.row = row
        self.row.engines.add(engine)

    def readers(self, *outcomes: str) -> None:
        """Take note of how readers ended: the name of an error, or `ended`."""
        self.row.outcomes["readers"].update(outcomes)

    def worker(self, *outcomes: str) -> None:
        """Take note of how the worker came out: the name of an error, or `done`."""
        self.row.outcomes["worker"].update(outcomes)


class Table:
    """The rows that the tests of this process have seen."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def of(self, marker: Any) -> Row:
        """Return the row of a marker; a new one when tests are compared, so that each is for itself."""
        row = Row(*marker.args, **marker.kwargs)
        return self.rows.setdefault(row.what, row) if WRITES else row

    def write(self) -> None:
        """Write them into the page."""
        lines = [*HEAD, *(row.line() for row in self.rows.values())]
        text, found = BLOCK.subn(lambda match: match[1] + "\n".join(["", *lines, "", ""]), PAGE.read_text(encoding="utf-8"))
        assert found == 1
        PAGE.write_text(text, encoding="utf-8")


def shown() -> Iterator[list[str]]:
    """Return the cells of each row of the page."""
    match = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    for line in match[0].splitlines():
        if line.startswith("| ") and line != HEAD[0]:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def compare(seen: Seen) -> None:
    """Compare what a test has seen with the page."""
    cells = list(seen.row.cells())
    page = {row[0]: row for row in shown()}
    found = page.get(cells[0])
    hint = f"docs/relay.md is stale; {COMMAND}"
    assert found is not None, hint
    for cell, outcomes, here in zip(cells[1:], seen.row.outcomes.values(), found[1:], strict=False):
        assert not outcomes or cell == here, f"{hint}\n{cells[0]}: {cell!r} was seen, and {here!r} is said"
    (engine,) = seen.row.engines
    assert ENGINES[engine] in found[3], hint
