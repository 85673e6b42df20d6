"""Prints the matrix as Markdown tables; each letter is one test of `test_matrix.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from matrix.kinds import KINDS, SYNC_KINDS, Kind
from matrix.moments import MOMENTS
from matrix.ways import SYNC_WAYS, WAYS, is_possible

EXIT = "interpreter exits"

LETTERS = dict(zip(MOMENTS, "BMFE", strict=True))


def rows(ways: Iterable[str], kinds: list[Kind]) -> Iterator[str]:
    """Yield the lines of one table: a row for each kind, a column for each way."""
    columns = [*ways, EXIT]
    yield f"| kind of run | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for kind in kinds:
        cells = ("".join(LETTERS[moment] for moment in MOMENTS if is_possible(way, moment)) for way in columns)
        yield f"| {kind.name} | {' | '.join(cells)} |"


def tables() -> str:
    """Return both tables."""
    return "\n".join(["Async streams:", "", *rows(WAYS, KINDS), "", "Sync streams:", "", *rows(SYNC_WAYS, SYNC_KINDS), ""])


if __name__ == "__main__":
    print(tables())  # noqa: T201
