"""Notebooks: joins the code cells of an `.ipynb` file, blanks magics and broken cells, and keeps the line numbers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from callbridge.migrate.analysis.module import UnparsableError, parse

__all__ = ["Cell", "Notebook", "read_notebook"]

_LINE_END = re.compile(r"\r\n|\r|\n")
_MAGIC = re.compile(r"(\s*)([%!?]|[\w.]+\?{1,2}\s*$)")
_ASSIGNED = re.compile(r"(\s*[\w., ]+?)=\s*[%!]")
_PYTHON_MAGICS = frozenset({"%%time", "%%timeit", "%%capture", "%%prun", "%%python", "%%python3"})


@dataclass(frozen=True)
class Cell:
    """A code cell.

    Attributes:
        number: Its number among all cells, from 1.
        first: Its first line in the joined text, from 1.
        last: Its last line there.
        problem: Why it does not parse; empty if it does.
        line: The line of the problem in the joined text.
    """

    number: int
    first: int
    last: int
    problem: str = ""
    line: int = 0


@dataclass(frozen=True)
class Notebook:
    """The code of a notebook.

    Attributes:
        text: The joined cells.
        cells: The place of each cell in the text.
    """

    text: str
    cells: tuple[Cell, ...]

    def cell_at(self, line: int) -> Cell | None:
        """Return the cell that a line of the joined text belongs to."""
        return next((cell for cell in self.cells if cell.first <= line <= cell.last), None)


def read_notebook(text: str) -> Notebook:
    """Return the code of a notebook.

    Raises:
        UnparsableError: If the text is not JSON, or not a notebook.
    """
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UnparsableError(f"not JSON: {str(error) or 'nested too deeply'}") from error
    if not isinstance(document, dict):
        raise UnparsableError("not a notebook: the JSON is not an object")
    cells = document.get("cells")
    if cells is None and isinstance(document.get("worksheets"), list):  # the format before 2014
        cells = [cell for sheet in document["worksheets"] if isinstance(sheet, dict) for cell in sheet.get("cells") or []]
    if not isinstance(cells, list):
        return Notebook("", ())
    lines: list[str] = []
    found: list[Cell] = []
    for number, cell in enumerate(cells, 1):
        source = _source(cell)
        if source is not None:
            added = _python_lines(source)
            problem, line = _problem(added)
            first = len(lines) + 1
            found.append(Cell(number, first, len(lines) + len(added), problem, first + line - 1 if problem else 0))
            lines += [""] * len(added) if problem else added
    return Notebook("\n".join(lines) + "\n" if lines else "", tuple(found))


def _source(cell: object) -> str | None:
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else None


def _python_lines(source: str) -> list[str]:
    lines = _LINE_END.split(source)
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first.split()[0] not in _PYTHON_MAGICS:
        return [""] * len(lines)
    shown: list[str] = []
    goes_on = False
    for line in lines:
        if goes_on:  # a command that continues over several lines
            shown.append("")
        else:
            magic, assigned = _MAGIC.match(line), _ASSIGNED.match(line)
            shown.append(f"{magic[1]}pass" if magic else f"{assigned[1]}= None" if assigned else line)
            goes_on = magic is not None or assigned is not None
        goes_on = goes_on and line.endswith("\\")
    return shown


def _problem(lines: list[str]) -> tuple[str, int]:
    try:
        parse("\n".join(lines))
    except UnparsableError as error:
        return error.problem, error.line
    return "", 0
