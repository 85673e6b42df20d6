"""Counting what code does instead of timing it: the same on a busy machine as on an idle one.

Costs are slopes: a workload is run with two sizes, and what the longer run counts more is divided by what it is longer. So
beginning and ending cost nothing here, and what a thread does a moment earlier or later hardly shows.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import callbridge

__all__ = ["CountingLoop", "Counts", "allocated_blocks", "count_in_loop", "per_item", "slope"]

PACKAGE = str(Path(callbridge.__file__).parent)
SHORT, LONG = 100, 300


class Counts(AbstractContextManager["Counts"]):
    """Counts functions that begin or go on, and lines, in callbridge's own code and in this thread."""

    def __init__(self) -> None:
        self.calls = 0
        self.lines = 0
        self.by_function: Counter[str] = Counter()

    def __enter__(self) -> Counts:
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        self.calls += 1
        self.by_function[frame.f_code.co_name] += 1
        return self._line

    def _line(self, frame: FrameType, event: str, _: object) -> Any:
        self.lines += event == "line"
        return self._line


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what is scheduled: each is a turn of the loop for somebody, those of other threads a system call as well."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduled = 0
        self.woken_from_threads = 0

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        self.scheduled += 1
        return super().call_soon(*args, **kwargs)

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        self.woken_from_threads += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def count_in_loop(workload: Callable[[int], Coroutine[Any, Any, object]], items: int) -> dict[str, float]:
    """Run a workload in a loop of its own and return what it counts."""
    loop = CountingLoop()
    try:
        counts = Counts()

        async def main() -> None:
            with counts:
                await workload(items)

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    return {
        "calls": counts.calls,
        "lines": counts.lines,
        "scheduled": loop.scheduled,
        "woken": loop.woken_from_threads,
        **{f"{name}()": number for name, number in counts.by_function.items()},
    }


def per_item(workload: Callable[[int], Coroutine[Any, Any, object]], shorter: int = 1) -> Counter[str]:
    """Return by how much each count grows for one more item.

    Args:
        workload: A coroutine function; is given the number of items.
        shorter: By what the two sizes are divided, for items that take long.
    """
    return slope(lambda items: count_in_loop(workload, items), shorter)


def slope(count: Callable[[int], dict[str, float]], shorter: int = 1) -> Counter[str]:
    """Do the same for a function that counts by itself."""
    small, large = SHORT // shorter, LONG // shorter
    count(small)  # caches
    short, long = count(small), count(large)
    return Counter({name: (long[name] - short.get(name, 0)) / (large - small) for name in long})


def allocated_blocks(work: Callable[[], object]) -> int:
    """Return by how many blocks of memory the interpreter has more after some work."""
    gc.collect()
    before = sys.getallocatedblocks()
    kept = work()
    after = sys.getallocatedblocks()
    del kept
    return after - before
