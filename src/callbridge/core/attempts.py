"""`Attempts`: finds where a model starts over after another model has failed in the middle of its text."""

from __future__ import annotations

from collections import deque

from callbridge.core.calls import Payload

__all__ = ["PARAGRAPH", "Attempts"]

PARAGRAPH = "\n\n"
"""Ends a text that will not continue: one before a tool call, or one of an attempt that has failed."""


_REMEMBERED = 64
"""How many model calls that were taken for failed are kept. If one ends after all, its text must not come a second time."""


class Attempts:
    """Puts a blank line between the text of a failed attempt and that of the retry or fallback that replaces it.

    v2 events do not say that a model has failed. So when a model begins to speak, every other open model that has spoken counts
    as failed if it has been silent since before the new one started. Models that speak at the same time are not taken for
    attempts: they started earlier, or they go on speaking.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._time = 0  # counts the reports to this object
        self._started: dict[Payload, int] = {}  # open model calls that have said nothing yet
        self._spoken: dict[Payload, int] = {}  # those that have spoken, and when last; removed when they end or count as failed
        self._given_up: deque[Payload] = deque(maxlen=_REMEMBERED)  # those that count as failed
        self._broken = False

    def start(self, run_id: Payload) -> None:
        """Note that a model call has started."""
        self._time += 1
        self._started[run_id] = self._time

    def say(self, run_id: Payload, text: str) -> str:
        """Return the text that a reader should see: with a blank line before it if this is another attempt."""
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
        """Note that a model call has ended. If it is not open, nothing changes."""
        self._started.pop(run_id, None)
        if run_id in self._given_up:
            self._given_up.remove(run_id)
        if self._spoken.pop(run_id, None) is not None and failed:
            self._broken = True

    def forget(self) -> None:
        """Forget all model calls: the next text belongs to another answer."""
        self._started.clear()
        self._spoken.clear()
        self._given_up.clear()
        self._broken = False
