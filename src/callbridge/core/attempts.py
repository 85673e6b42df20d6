"""`Attempts`: where a model begins to say again what another has broken off."""

from __future__ import annotations

from collections import deque

from callbridge.core.calls import Payload

__all__ = ["PARAGRAPH", "Attempts"]

PARAGRAPH = "\n\n"
"""What ends a text that is not gone on with: said before a tool call, or by an attempt that has failed."""


_REMEMBERED = 64
"""Model calls taken to have failed that may end after all, and must not be told again then."""


class Attempts:
    """Puts a blank line between what a failed attempt has said and what is said in its place, by a retry or a fallback.

    v2 events do not say that a model has failed. So a model is also taken to have failed that has said something, has not
    ended, and was silent since before the one started which begins to speak now. Models that speak at the same time are none
    of each other's attempts: they start before, or go on speaking.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._time = 0  # of what is told here
        self._started: dict[Payload, int] = {}  # model calls that are open and have said nothing yet
        self._spoken: dict[
            Payload, int
        ] = {}  # those that have, and when for the last time; removed when they end or are given up
        self._given_up: deque[Payload] = deque(maxlen=_REMEMBERED)  # those that were taken to have failed
        self._broken = False

    def start(self, run_id: Payload) -> None:
        """Say that a model call has started."""
        self._time += 1
        self._started[run_id] = self._time

    def say(self, run_id: Payload, text: str) -> str:
        """Return what a reader should see of what a model says: with a blank line before it if it is another attempt."""
        if not text:
            return text
        self._time += 1
        is_new = run_id not in self._spoken
        self._spoken[run_id] = self._time
        return PARAGRAPH + text if is_new and self._replaces(self._started.pop(run_id, 0)) else text

    def has_spoken(self, run_id: Payload) -> bool:
        """Return whether an open model call has said something."""
        return run_id in self._spoken or run_id in self._given_up

    def _replaces(self, start: int) -> bool:
        silent = [other for other, last in self._spoken.items() if last < start]
        for other in silent:
            del self._spoken[other]
            self._given_up.append(other)
        was_broken, self._broken = self._broken, False
        return was_broken or bool(silent)

    def end(self, run_id: Payload, *, failed: bool = False) -> None:
        """Say that a model call has ended; of one that is not open nothing changes."""
        self._started.pop(run_id, None)
        if run_id in self._given_up:
            self._given_up.remove(run_id)
        if self._spoken.pop(run_id, None) is not None and failed:
            self._broken = True

    def forget(self) -> None:
        """Forget all model calls: what comes next is another answer."""
        self._started.clear()
        self._spoken.clear()
        self._given_up.clear()
        self._broken = False
