"""Leaving what is still being read when the interpreter exits, so that it need not wait for runs that wait for their reader.

Before it ends, the interpreter joins the threads of pools (`concurrent.futures`). One that waits for room in a channel nobody
reads any more would be waited for for ever.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Protocol
from weakref import WeakValueDictionary

__all__ = ["is_exiting", "leave_at_exit"]


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


class _Readings(WeakValueDictionary[int, _Reading]):
    """What is to be left, by identity: handlers may be unhashable."""

    are_left = False


@cache
def _being_read() -> _Readings:
    """Return what is to be left; made by the first reader, because importing callbridge changes nothing."""
    readings = _Readings()
    # No public name, but the one hook that runs before threads of pools are joined; `concurrent.futures` uses it. Where there
    # is none, such a program waits at its end, as it does with any other pool whose threads wait for something.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_leave_all, readings)
    return readings


def _leave_all(readings: _Readings) -> None:
    readings.are_left = True
    for reference in readings.valuerefs():
        reading = reference()
        if reading is not None:
            reading.leave_for_exit()
