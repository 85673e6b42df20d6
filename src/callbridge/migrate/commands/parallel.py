"""Works through many files in several processes. Keeps the order, and a file that kills a process loses no other file."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

__all__ = ["WORTH_PROCESSES", "in_processes", "no_collection"]

WORTH_PROCESSES = 200
"""With fewer files, starting processes costs more than it saves."""

_SMALLEST_CHUNK = 16

I = TypeVar("I")  # noqa: E741 - an item, as R is a result
R = TypeVar("R")


class _Worker:
    """The function of a worker process with all its data, sent once when the process starts."""

    work: Callable[[Any], Any]

    @classmethod
    def start(cls, work: Callable[[Any], Any]) -> None:
        cls.work = work

    @classmethod
    def do(cls, chunk: Any) -> Any:
        return cls.work(chunk)


def in_processes(
    items: Sequence[I],
    work: Callable[[list[I]], list[R]],
    crashed: Callable[[I], R],
    *,
    jobs: int,
    advance: Callable[[int], object],
) -> list[R]:
    """Return the results of all items, in their order.

    Args:
        items: The items; neighbours go to the same process.
        work: Returns one result for each of several items. It is pickled, and so are the results.
        crashed: Returns the result of an item that has killed its process.
        jobs: How many processes to use.
        advance: Called with the number of items done since the last call.
    """
    chunks = list(_chunks(items, jobs))
    done: list[list[R]] = []
    try:
        with ProcessPoolExecutor(jobs, get_context("spawn"), _Worker.start, (work,)) as pool:
            for results in pool.map(_Worker.do, chunks):
                done.append(results)
                advance(len(results))
    except BrokenProcessPool:  # find out which item it was
        for chunk in chunks[len(done) :]:
            done.append([_alone(each, work, crashed) for each in chunk])
            advance(len(chunk))
    return [result for results in done for result in results]


def _chunks(items: Sequence[I], jobs: int) -> Iterator[list[I]]:
    """Yield ever smaller parts of a list. Neighbours import from each other; small last parts end at the same time."""
    start = 0
    while start < len(items):
        size = max((len(items) - start) // (4 * jobs), _SMALLEST_CHUNK)
        yield list(items[start : start + size])
        start += size


def _alone(item: I, work: Callable[[list[I]], list[R]], crashed: Callable[[I], R]) -> R:
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), _Worker.start, (work,)) as pool:
            results: list[R] = pool.submit(_Worker.do, [item]).result()
            return results[0]
    except BrokenProcessPool:
        return crashed(item)


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the garbage collector off: syntax trees have no cycles, and the search for them costs a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
