"""When the interpreter exits, callbridge leaves all streams that are still being read.

Before the interpreter ends, it joins the threads of pools (`concurrent.futures`). If such a thread waited for room in a channel
that nobody reads any more, the program would never end.

callbridge's own threads are daemons, so that nobody waits for their models. But if the interpreter ends a thread inside
compiled code, such as pydantic's, the process may crash ("FATAL: exception not rethrown"). Threads whose reader has left stop
at their next callback, most of them at once; the exit gives them a moment for that.
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
"""How long the exit of the interpreter waits for all stopped threads together."""


class _Reading(Protocol):
    def leave_for_exit(self) -> None:
        """Leave, and do not wait for the run. Any thread; idempotent."""
        ...


def leave_at_exit(reading: _Reading) -> None:
    """Leave a stream or a handler when the interpreter exits, if it is still alive."""
    _being_read()[id(reading)] = reading


def is_exiting() -> bool:
    """Return whether the interpreter exits, and everything has been left."""
    return _being_read().are_left


def end_at_exit(thread: threading.Thread) -> None:
    """When the interpreter exits, give a daemon thread a moment to end after its reader has left."""
    _being_read().threads.add(thread)


def call_at_exit(function: Callable[[float], object]) -> None:
    """Call a function when the interpreter exits, after the threads. Its argument is the number of seconds that it may take."""
    _being_read().functions.append(function)


class _Readings(WeakValueDictionary[int, _Reading]):
    """The streams and handlers to leave, by identity, because handlers may be unhashable."""

    are_left = False

    def __init__(self) -> None:
        super().__init__()
        self.threads: WeakSet[threading.Thread] = WeakSet()
        self.functions: list[Callable[[float], object]] = []


@cache
def _being_read() -> _Readings:
    """Return the streams and handlers to leave. The first reader makes this, because importing callbridge changes nothing."""
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
