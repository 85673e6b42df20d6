"""`Silence`: when to give up a run that does not renew its lease. Its caller passes in looks and times.

A lease that has run out by the log's clock proves little: the server may have restarted or stood still, so that the publisher
could not renew it. So before a process gives a run up, it must have watched the beat stand still, from the answer to one look
until it asks for another, while the log kept answering:

- for the whole lease time, in which a healthy publisher renews it three times; or
- if the lease has run out by the log's clock as well, for a third of it, in which it is renewed once, but for no less than a
  publisher needs to find out that its connection is dead, plus a second for the way. This is for a watcher that comes late.

A log that has not answered for a while has kept the publisher waiting, too. So earlier looks are void, and the whole lease time
begins anew with the first look that the log answers. The time when a look was asked counts, never the time of its answer: a
late answer shows the run at the moment when the server came back, before its publisher could reach it.

The log accepts the loss only if the beat is still the one that was seen, so nobody gives up a run that has just renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from callbridge.relay.records import RunState

__all__ = ["LOOKS_SECONDS", "Contact", "Silence"]

T = TypeVar("T")

LOOKS_SECONDS: Final = 1.0
"""The seconds between two looks at a silent run. If its lease is very short, they are fewer."""

ANSWER_SECONDS: Final = 5.0
"""The seconds after which a publisher takes its connection for dead and makes another one."""


class Contact:
    """The calls that one thread makes to a log, and how long it has had no answer.

    Args:
        on_gap: Called after each answer, with the seconds since the one before.
        clock: Tells the time.
    """

    def __init__(self, on_gap: Callable[[float], None], clock: Callable[[], float] = monotonic) -> None:
        self._on_gap = on_gap
        self._clock = clock
        self._answered_at = self.asked_at = clock()

    def ask(self, call: Callable[[], T]) -> T:
        """Return the answer of the log. An error is not an answer."""
        self.asked_at = self._clock()
        answer = call()
        now = self._clock()
        gap, self._answered_at = now - self._answered_at, now
        self._on_gap(gap)
        return answer

    @property
    def answered_at(self) -> float:
        """When the log last answered."""
        return self._answered_at


class Silence:
    """The observed lease of one run."""

    def __init__(self) -> None:
        self._beat: tuple[int, int] | None = None
        self._since = 0.0
        self._lease_seconds: float | None = None
        self._was_interrupted = False

    @property
    def look_seconds(self) -> float:
        """How long to wait between two looks."""
        return LOOKS_SECONDS if self._lease_seconds is None else min(LOOKS_SECONDS, self._lease_seconds / 6)

    def heard(self) -> None:
        """Note that the run gave a sign of life: the watch begins anew."""
        self._beat = None
        self._was_interrupted = False

    def missed(self, seconds: float) -> None:
        """Note that the log has not answered for so long. If that is longer than a healthy run can bear, the watch is void."""
        if self._lease_seconds is not None and seconds > self.look_seconds + self._lease_seconds / 4:
            self._beat = None
            self._was_interrupted = True

    def is_over(self, state: RunState, asked_at: float, answered_at: float) -> bool:
        """Note a look at a run. Return whether to give the run up.

        Args:
            state: The state that was seen.
            asked_at: When the log was asked, in seconds. All of its answers up to this one have been noted.
            answered_at: When it answered.
        """
        if state.status == "queued":
            return state.is_overdue
        self._lease_seconds = state.lease_seconds
        beat = (state.attempt, state.beat)
        if beat != self._beat:
            if self._beat is not None:
                self._was_interrupted = False
            self._beat, self._since = beat, answered_at
            return False
        return asked_at - self._since >= self._needed(state)

    def _needed(self, state: RunState) -> float:
        """Return how long to watch a beat that does not change."""
        lease = state.lease_seconds
        if self._was_interrupted or not state.is_overdue:
            return lease
        return min(lease, max(lease / 3, ANSWER_SECONDS) + LOOKS_SECONDS)
