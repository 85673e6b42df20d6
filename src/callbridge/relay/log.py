"""`Log`: what every engine can do. Its calls block and are safe in any thread. Each happens completely or not at all.

| call | allowed while the run is | then it is |
|---|---|---|
| `announce` | unknown | queued |
| `claim` | queued, or over and `restart` | running, attempt n + 1 |
| `append`, `beat` | running, by the attempt that asks | the same |
| `finish` | running, by the attempt that asks | ended, failed, stopped |
| `append` beyond the limit | running | limited, unless the oldest events give way |
| `stop` | queued / running / over | stopped / running, and its publisher is told / the same |
| `declare_lost` | queued and late; running, and the beat is the one that was seen | lost |

A call that is not allowed returns an outcome and does not raise, because the caller knows what to say. If a reply was lost, you
can make the call again: it finds that it was done, and does nothing.

The reference is `StateLog`; `memory` and `sqlite` are built on it. The same tests hold the Lua of `redis` to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from callbridge.errors import CallbridgeError
from callbridge.relay.records import Ending, Policy, Position, Record, RunState

__all__ = ["Claim", "Log", "LogAwayError", "Refusal", "Seen"]

Refusal: TypeAlias = Literal["unknown", "fenced", "limited", "gap"]
"""Why nothing was written: the run does not exist; another attempt publishes it, or it is over; its log is full; the log lacks
events before these.
"""


class LogAwayError(CallbridgeError):
    """The engine cannot be reached now. The call may be made again. This error never leaves the package."""


class Claim(NamedTuple):
    """The outcome of asking to publish a run."""

    state: RunState | None
    """The state of the run: as it is now, or as it was if the claim was refused. None: the run is unknown."""

    is_granted: bool


class Seen(NamedTuple):
    """What `wait` has seen."""

    records: Mapping[str, Sequence[Record]]
    """New records, by run."""

    stopped: Sequence[str]
    """The runs that are asked to stop."""


class Log(Protocol):
    """An engine."""

    @property
    def url(self) -> str:
        """Where it is, with secrets hidden."""
        ...

    def open(self) -> None:
        """Connect.

        Raises:
            RelayConnectionError: The engine cannot connect.
        """
        ...

    def close(self) -> None:
        """Disconnect, and wake a waiting thread. Idempotent."""
        ...

    def announce(self, run: str, owner: str, start_seconds: float, policy: Policy) -> RunState | None:
        """Announce a run. Returns its state if another owner had announced it before; else None."""
        ...

    def claim(self, run: str, owner: str, policy: Policy, *, restart: bool, dead_beat: int | None = None) -> Claim:
        """Begin an attempt.

        Args:
            run: Its id.
            owner: The caller's id.
            policy: How the run will be kept.
            restart: Accept a run that is over.
            dead_beat: The beat with which the lease of the current attempt was seen to run out; then that attempt is lost.
        """
        ...

    def append(self, run: str, attempt: int, first: int, bodies: Sequence[str]) -> Refusal | None:
        """Write events, all of them or none. Those that the log has already are left out."""
        ...

    def finish(self, run: str, attempt: int, ending: Ending) -> Refusal | None:
        """Write the end of an attempt."""
        ...

    def beat(self, run: str, attempt: int) -> Refusal | bool:
        """Renew the lease of a run and its life. Returns whether the run is asked to stop."""
        ...

    def stop(self, run: str) -> bool:
        """Ask a run to stop. Returns whether the run is known."""
        ...

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        """Declare a run lost, unless it has moved since it was seen like that."""
        ...

    def forget(self, run: str) -> bool:
        """Delete a run. Returns whether it was known."""
        ...

    def state(self, run: str) -> RunState | None:
        """Return the state of a run; None if the run is unknown."""
        ...

    def runs(self) -> Iterator[str]:
        """Return the ids of all runs, in no order."""
        ...

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        """Return the next records after a position."""
        ...

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        """Wait for records after positions, by run, and for requests to stop. Returns when there are any, or on `wake`.

        One thread at a time.
        """
        ...

    def wake(self) -> None:
        """Make the current `wait` return, or the next one."""
        ...
