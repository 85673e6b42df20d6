"""`Log`: what every engine can do. Blocking calls, safe in any thread; each happens completely or not at all.

| call | allowed while the run is | then it is |
|---|---|---|
| `announce` | unknown | queued |
| `claim` | queued, or over and `restart` | running, attempt n + 1 |
| `append`, `beat` | running, by the attempt that asks | the same |
| `finish` | running, by the attempt that asks | ended, failed, stopped |
| `append` beyond the limit | running | limited, unless the oldest events give way |
| `stop` | queued / running / over | stopped / running, and its publisher is told / the same |
| `declare_lost` | queued and late; running, and the beat is the one that was seen | lost |

What is not allowed is an outcome and no error, because whoever asks knows what to say. Each call may be made again after its
reply was lost: it finds that it was done, and does nothing.

The reference is `StateLog`, which `memory` and `sqlite` are; what `redis` does in Lua is held to it by the same tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from callbridge.errors import CallbridgeError
from callbridge.relay.records import Ending, Policy, Position, Record, RunState

__all__ = ["Claim", "Log", "LogAwayError", "Refusal", "Seen"]

Refusal: TypeAlias = Literal["unknown", "fenced", "limited", "gap"]
"""Why nothing was written: the run is not there; another attempt publishes it, or it is over; its log is full; events before
these are missing in it."""


class LogAwayError(CallbridgeError):
    """The engine cannot be reached now; the call may be made again. Never leaves this package."""


class Claim(NamedTuple):
    """What came of asking to publish a run."""

    state: RunState | None
    """The run's: as it is now, and as it was if it was refused; None: it is unknown."""

    is_granted: bool


class Seen(NamedTuple):
    """What `wait` has seen."""

    records: Mapping[str, Sequence[Record]]
    """New ones, by run."""

    stopped: Sequence[str]
    """Runs that are asked to stop."""


class Log(Protocol):
    """An engine."""

    @property
    def url(self) -> str:
        """Where it is, secrets hidden."""
        ...

    def open(self) -> None:
        """Connect.

        Raises:
            RelayConnectionError: That is not possible.
        """
        ...

    def close(self) -> None:
        """Leave; whoever waits is woken. Idempotent."""
        ...

    def announce(self, run: str, owner: str, start_seconds: float, policy: Policy) -> RunState | None:
        """Make a run known. Returns what it is if it was known before, to another owner; else None."""
        ...

    def claim(self, run: str, owner: str, policy: Policy, *, restart: bool, dead_beat: int | None = None) -> Claim:
        """Begin an attempt.

        Args:
            run: Its id.
            owner: Who asks.
            policy: How it will be kept.
            restart: Whether it may be over already.
            dead_beat: The beat with which the lease of the attempt that is on was seen to run out; then it is lost.
        """
        ...

    def append(self, run: str, attempt: int, first: int, bodies: Sequence[str]) -> Refusal | None:
        """Write events, all of them or none; those that are there already are left out."""
        ...

    def finish(self, run: str, attempt: int, ending: Ending) -> Refusal | None:
        """Write the end of an attempt."""
        ...

    def beat(self, run: str, attempt: int) -> Refusal | bool:
        """Renew the lease of a run and its life; returns whether it is asked to stop."""
        ...

    def stop(self, run: str) -> bool:
        """Ask a run to stop; returns whether it is known."""
        ...

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        """Say that a run is lost, unless it has moved since it was seen like that."""
        ...

    def forget(self, run: str) -> bool:
        """Delete a run; returns whether it was known."""
        ...

    def state(self, run: str) -> RunState | None:
        """Return what is known of a run."""
        ...

    def runs(self) -> Iterator[str]:
        """Return the ids of all runs, in no order."""
        ...

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        """Return the next records after a position."""
        ...

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        """Wait for records after positions, by run, and for runs to be stopped; return when there are any, or on `wake`.

        One thread at a time.
        """
        ...

    def wake(self) -> None:
        """Let `wait` return: the one that is on, or the next one."""
        ...
