"""Counts the work of a reader for each token, instead of its time: the count is the same on any machine."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["counted"]

SHORT, LONG = 100, 300
"""Tokens of a short and a long run: the difference of the counts is divided by the difference in length."""


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the entries of its queue, and the futures that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduled = 0
        self.futures = 0
        self.blocks = 0
        """The most blocks of memory that the interpreter has had."""

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        """Count an entry of this thread."""
        self.scheduled += 1
        self.blocks = max(self.blocks, sys.getallocatedblocks())
        return super().call_soon(*args, **kwargs)

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        """Count an entry of any thread."""
        self.scheduled += 1
        return super().call_soon_threadsafe(*args, **kwargs)

    def create_future(self) -> Any:
        """Count a future."""
        self.futures += 1
        return super().create_future()


def counted(reader: Any, make: Callable[[int], Any], value: Any) -> dict[str, float]:
    """Return the work for one token of reading a runnable's run.

    Args:
        reader: One of `readers.READERS`.
        make: Makes the runnable, given the number of tokens.
        value: Its input.
    """
    _count(reader, make(SHORT), value)  # caches
    short, long = _count(reader, make(SHORT), value), _count(reader, make(LONG), value)
    return {name: (long[name] - short[name]) / (LONG - SHORT) for name in long}


def _count(reader: Any, runnable: Any, value: Any) -> dict[str, float]:
    calls = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    loop = _run(reader, runnable, value)
    blocks = loop.blocks
    sys.setprofile(note)
    try:
        loop = _run(reader, runnable, value)
    finally:
        sys.setprofile(None)
    return {"calls": calls, "scheduled": loop.scheduled, "futures": loop.futures, "blocks": blocks}


def _run(reader: Any, runnable: Any, value: Any) -> CountingLoop:
    """Run it in a loop of its own, and return the loop with its counts; the collector waits meanwhile."""
    loop = CountingLoop()
    gc.collect()
    gc.disable()
    try:
        loop.run_until_complete(reader(runnable, value))
    finally:
        gc.enable()
        loop.close()
    return loop
