"""The tables of `docs/handlers.md`: what results make of them, and what is wrong with those that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from real_handlers.kinds import KINDS
from real_handlers.results import ROOT, Cell, Results
from real_handlers.rows import LETTERS, letter_of
from real_handlers.runs import RUNS
from real_handlers.ways import WAYS

__all__ = ["PAGE", "differing", "faults", "letters_of", "rendered", "written"]

PAGE = ROOT / "docs" / "handlers.md"
_MARK = "<!-- What follows is written by `python -m real_handlers`. -->\n"
_DIVERGENCES = ROOT / "docs" / "divergences.md"
_LEFT_OUT = "–"
_SIGNS = ("=", _LEFT_OUT)
_SUM = "Of {} cells {} are equal; the others differ by what their letters say, and by nothing else."


def letters_of(handler: str, run: str, way: str, cell: Cell) -> str:
    """Return what the page says of a cell; the number of differences that no row explains, if there are any."""
    if run in KINDS[handler].left_out:
        return _LEFT_OUT
    if cell.is_new:
        return "**new**"
    found = [letter_of(handler, run, way, difference) for difference in cell.differences]
    unexplained = found.count(None)
    if unexplained:
        return f"**{unexplained}**"
    return " ".join(sorted({letter for letter in found if letter})) or "="


def differing(handler: str, run: str, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Say what differs and belongs to no row."""
    if run in KINDS[handler].left_out:
        return
    for way, cell in cells.items():
        if cell.is_new:
            yield f"{handler}, {run}, {way}: recorded, and not so attached"
        for difference in cell.differences:
            if letter_of(handler, run, way, difference) is None:
                place, there, here = difference
                yield f"{handler}, {run}, {way}: {place}: {there[:160]} -> {here[:160]}"


# -- writing ----------------------------------------------------------------------------------------------------------


def rendered(known: Mapping[str, Results]) -> str:
    """Return the tables.

    Raises:
        ValueError: The results are not of one state of things, or some are missing.
    """
    missing = [name for name in KINDS if name not in known or set(known[name].cells) < set(RUNS)]
    if missing:
        raise ValueError(f"no whole results of {', '.join(missing)}")
    common = [{name: told for name, told in one.versions.items() if name in _COMMON} for one in known.values()]
    if any(one != common[0] for one in common):
        raise ValueError(f"the environments differ: {common}")
    if len({one.stamp.partition(" ")[0] for one in known.values()}) > 1:
        raise ValueError("the results are of different states of callbridge or of this command: run it again")
    cells = {name: _cells(name, results) for name, results in known.items()}
    told: list[str] = [cell for rows in cells.values() for row in rows.values() for cell in row]
    versions = ", ".join(f"{name} {common[0][distribution]}" for distribution, name in _COMMON.items())
    parts = [_legend(told), f"{versions}.\n", _sum(told)]
    for name, kind in KINDS.items():
        heading = kind.title.format(known[name].versions[kind.distribution])
        parts.append(f"### {heading}\n\n{_table(cells[name])}")
    return "\n".join(parts)


_COMMON = {
    "langchain": "LangChain",
    "langchain-core": "langchain-core",
    "langgraph": "LangGraph",
    "langchain-openai": "langchain-openai",
    "python": "CPython",
}


def _cells(name: str, results: Results) -> dict[str, list[str]]:
    return {run: [letters_of(name, run, way, results.cells[run][way]) for way in WAYS] for run in sorted(RUNS)}


def _sum(told: Sequence[str]) -> str:
    return _SUM.format(len(told) - told.count(_LEFT_OUT), told.count("=")) + "\n"


def _legend(told: Iterable[str]) -> str:
    used = {letter for cell in told for letter in cell.split() if cell not in _SIGNS}
    rows = "".join(f"| {letter} | {row} |\n" for letter, row in LETTERS.items() if letter in used)
    return f"| letter | row |\n|---|---|\n{rows}"


def _table(rows: Mapping[str, Iterable[str]]) -> str:
    head = f"| run | {' | '.join(WAYS)} |\n|{'---|' * (len(WAYS) + 1)}\n"
    return head + "".join(f"| {run} | {' | '.join(cells)} |\n" for run, cells in rows.items())


def written(page: str, tables: str) -> str:
    """Return the page with other tables."""
    return page.partition(_MARK)[0] + _MARK + "\n" + tables


# -- checking ---------------------------------------------------------------------------------------------------------


def faults(page: str, divergences: str) -> list[str]:
    """Say what is out of shape: a handler, run or way that is missing, a letter that means nothing, a sum that is wrong."""
    _, mark, tables = page.partition(_MARK)
    if not mark:
        return [f"it has no line {_MARK!r}"]
    legend, *sections = re.split(r"^### ", tables, flags=re.MULTILINE)
    letters = dict(re.findall(r"^\| ([A-Z]\w*) \| (.*) \|$", legend, re.MULTILINE))
    found = [
        f"{letter} means {row!r}, which is no row of the losses"
        for letter, row in letters.items()
        if not _is_row(row, divergences)
    ]
    found += [
        f"{letter} means {row!r}, the command says otherwise" for letter, row in letters.items() if LETTERS.get(letter) != row
    ]
    headings = [section.partition("\n")[0] for section in sections]
    expected = [re.escape(kind.title).replace(r"\{\}", r"\S+") for kind in KINDS.values()]
    if len(headings) != len(expected) or not all(map(re.fullmatch, expected, headings)):
        found.append(f"its handlers are {headings}")
    told: list[str] = []
    for heading, section in zip(headings, sections, strict=True):
        found += _faults_of(heading, section, letters, told)
    if _sum(told) not in legend:
        found.append(f"it should say: {_sum(told)}")
    return found


def _faults_of(heading: str, section: str, letters: Mapping[str, str], told: list[str]) -> Iterator[str]:
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("| ")]
    if (
        not rows
        or rows[0] != ["run", *WAYS]
        or [row[0] for row in rows[1:]] != sorted(RUNS)
        or {*map(len, rows)} != {len(WAYS) + 1}
    ):
        yield f"{heading}: its table does not have the runs and ways of the command"
        return
    for run, *cells in rows[1:]:
        told += cells
        for way, cell in zip(WAYS, cells, strict=True):
            if cell not in _SIGNS:
                for letter in cell.split():
                    if letter not in letters:
                        yield f"{heading}, {run}, {way}: {letter} is no letter"


def _is_row(row: str, divergences: str) -> bool:
    """Return whether the other page has a row, or a number, of that name."""
    number = re.match(r"\[(D\d+)\]", row)
    return f"**{number[1]}. " in divergences if number else f"\n| {row} | " in divergences
