"""Leaving what is still being read when the interpreter exits, so that it need not wait for runs that wait for their reader.

Before it ends, the interpreter joins the threads of pools (`concurrent.futures`). One that waits for room in a channel nobody
reads any more would be waited for for ever.

A thread of ours is a daemon, and nobody waits for its model. But one that the interpreter ends inside compiled code, such as
pydantic's, may take the process down with it ("FATAL: exception not rethrown"). Threads that have been left stop at their next
callback, most of them at once, and get a moment for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from callbridge.internals import before_threads_are_joined

__all__ = ["call_at_exit", "end_at_exit", "is_exiting", "leave_at_exit"]

_EXIT_SECONDS = 0.5
"""How long the interpreter's exit waits for threads that were stopped, all together."""


class _Reading(Protocol):
    def leave_for_exit(self) -> None:
        """Leave without waiting. Any thread; idempotent."""
        ...


def leave_at_exit(reading: _Reading) -> None:
    """Leave a stream or handler when the interpreter exits, if it is alive then."""
    _being_read()[id(reading)] = reading


def is_exiting() -> bool:
    """Return whether everything has been left, because the interpreter exits."""
    return _being_read().are_left


def end_at_exit(thread: threading.Thread) -> None:
    """Give a daemon thread a moment to end when the interpreter exits, after what it is read by has been left."""
    _being_read().threads.add(thread)


def call_at_exit(function: Callable[[float], object]) -> None:
    """Call a function when the interpreter exits, after all that, with the seconds that it may take."""
    _being_read().functions.append(function)


class _Readings(WeakValueDictionary[int, _Reading]):
    """What is to be left, by identity: handlers may be unhashable."""

    are_left = False

    def __init__(self) -> None:
        super().__init__()
        self.threads: WeakSet[threading.Thread] = WeakSet()
        self.functions: list[Callable[[float], object]] = []


@cache
def _being_read() -> _Readings:
    """Return what is to be left; made by the first reader, because importing callbridge changes nothing."""
    readings = _Readings()
    before_threads_are_joined(_leave_all, readings)
    return readings


def _leave_all(readings: _Readings) -> None:
    readings.are_left = True
    for reference in readings.valuerefs():
        reading = reference()
        if reading is not None:
            reading.leave_for_exit()
    deadline = monotonic() + _EXIT_SECONDS
    for thread in list(readings.threads):
        if thread.is_alive():
            thread.join(max(0.0, deadline - monotonic()))
    for function in readings.functions:
        function(_EXIT_SECONDS)
