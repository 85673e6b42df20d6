"""Progress on standard error: a bar if stderr is a terminal and tqdm is installed, otherwise nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_WORTH_A_BAR = 200


@contextmanager
def progress_bar(total: int, unit: str = "file") -> Iterator[Callable[[int], object]]:
    """Show progress while the block runs.

    Args:
        total: The number of items; if it is small, there is no bar.
        unit: The name of an item.

    Yields:
        A function to call with the number of items done since the last call.
    """
    bar = None
    if total >= _WORTH_A_BAR and sys.stderr.isatty():
        try:
            from tqdm import tqdm  # type: ignore[import-untyped, import-not-found, unused-ignore]  # the `migrate` extra
        except ModuleNotFoundError:
            pass
        else:
            bar = tqdm(total=total, unit=unit, leave=False)
    try:
        yield bar.update if bar is not None else lambda _: None
    finally:
        if bar is not None:
            bar.close()
