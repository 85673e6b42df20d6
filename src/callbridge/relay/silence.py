"""`Silence`: when a run whose lease is not renewed is given up. It is told what was seen, and neither looks nor asks the time.

A lease that has run out by the log's clock proves little: the server may have been restarted, or have stood still, and the
publisher had no way to renew it. So whoever gives a run up has to have watched it in vain, with the log answering all the
while, for as long as a healthy publisher needs to be heard of:

- for the whole lease time, or
- if the lease has run out by the log's clock, for a third of it, in which it is renewed once, and a second for the way.

What is written then holds only if the beat is still the one that was seen, so nobody gives up a run that has just been renewed.
"""

from __future__ import annotations

from typing import Final

from callbridge.relay.records import RunState

__all__ = ["LOOKS_SECONDS", "Silence"]

LOOKS_SECONDS: Final = 1.0
"""How often a silent run is looked at."""


class Silence:
    """What was seen of one run's lease."""

    def __init__(self) -> None:
        self._beat: tuple[int, int] | None = None
        self._seen_at = 0.0
        self._seconds = 0.0

    def heard(self) -> None:
        """Take note that the run was heard of, or that the log did not answer: the watch begins anew."""
        self._beat = None

    def is_over(self, state: RunState, now: float) -> bool:
        """Take note of a look at a run; return whether it is to be given up.

        Args:
            state: As it was seen.
            now: The time of the watch, in seconds.
        """
        if state.status == "queued":
            return state.is_overdue
        beat = (state.attempt, state.beat)
        if beat != self._beat:
            self._beat, self._seconds = beat, 0.0
        else:
            self._seconds += min(now - self._seen_at, 2 * LOOKS_SECONDS)  # a thread that was held up has not watched
        self._seen_at = now
        if self._seconds >= state.lease_seconds:
            return True
        return state.is_overdue and self._seconds >= state.lease_seconds / 3 + LOOKS_SECONDS
