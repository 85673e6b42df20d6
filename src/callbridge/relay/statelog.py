"""`StateLog`: the rules of a log, once, for engines that can hold a transaction open while Python decides.

An engine provides a `Store`, in which nobody else changes anything meanwhile, and reports when something has changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from time import monotonic
from typing import Protocol

from callbridge.relay.log import Claim, Refusal, Seen
from callbridge.relay.records import END, LIVE, Ending, Policy, Position, Record, RunState

__all__ = ["StateLog", "Store"]


class Store(Protocol):
    """The data that one transaction reads and changes."""

    def get(self, run: str) -> RunState | None:
        """Return the state of a run, expired or not."""
        ...

    def put(self, run: str, state: RunState) -> None:
        """Replace the state of a run."""
        ...

    def add(self, run: str, records: Sequence[Record]) -> None:
        """Add records behind the existing ones."""
        ...

    def drop_before(self, run: str, position: Position) -> None:
        """Delete the records of the position's attempt before it."""
        ...

    def delete(self, run: str) -> None:
        """Delete a run and its records."""
        ...

    def runs(self) -> Sequence[str]:
        """Return all ids."""
        ...

    def expired(self, now: float) -> Sequence[str]:
        """Return the runs that have expired."""
        ...

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        """Return records after a position."""
        ...


class StateLog(ABC):
    """A log by transactions.

    Args:
        url: Where it is.
        clock: Returns the time in seconds, the same for all users of the log.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.url = url
        self._clock = clock

    @abstractmethod
    def _transaction(self, *, write: bool = True) -> AbstractContextManager[Store]:
        """Return a context manager for a transaction. If the transaction writes, its end wakes waiting threads."""

    @abstractmethod
    def _pause(self, seconds: float) -> bool:
        """Wait until something has changed. Return False if something else ended the wait."""

    # -- announcing and publishing ------------------------------------------------------------------------------------

    def announce(self, run: str, owner: str, start_seconds: float, policy: Policy) -> RunState | None:
        """See `Log`."""
        with self._transaction() as store:
            now = self._clock()
            for expired in store.expired(now):
                store.delete(expired)
            known = store.get(run)
            if known is not None:
                return None if known.owner == owner else known
            life = max(start_seconds, 0) + policy.orphan_seconds
            state = RunState(owner=owner, announced_at=now, start_by=now + start_seconds, expires_at=now + life)
            store.put(run, state.with_policy(policy))
            return None

    def claim(self, run: str, owner: str, policy: Policy, *, restart: bool, dead_beat: int | None = None) -> Claim:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            if state is None:
                return Claim(None, is_granted=False)
            if state.status == "running":
                if state.owner == owner:
                    return Claim(state, is_granted=True)
                if not restart or state.beat != dead_beat:
                    return Claim(state, is_granted=False)
                state = self._ended(store, run, state, Ending("lost", state.count))
            elif state.status == "queued" and state.is_overdue:
                state = self._ended(store, run, state, Ending("lost", 0))
            if state.status != "queued" and (not restart or state.status == "stopped"):
                return Claim(state, is_granted=False)
            begun = replace(state.with_policy(policy), status="running", attempt=state.attempt + 1, owner=owner, count=0)
            begun = replace(begun, bytes=0, first=1, beat=0, renewed_at=state.now, stop=False)
            store.put(run, self._kept(begun))
            return Claim(begun, is_granted=True)

    def append(self, run: str, attempt: int, first: int, bodies: Sequence[str]) -> Refusal | None:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            refusal = _refusal(state, attempt)
            if state is None or refusal is not None:
                return refusal
            if first > state.count + 1:
                return "gap"
            fresh = bodies[state.count + 1 - first :]
            fitting = fresh if state.on_limit == "trim" else fresh[: _room(state, fresh)]
            store.add(run, [Record(attempt, state.count + number, body) for number, body in enumerate(fitting, 1)])
            state.count += len(fitting)
            state.bytes += sum(map(len, fitting))
            if len(fitting) < len(fresh):
                self._ended(store, run, state, Ending("limited", state.count))
                return "limited"
            if state.on_limit == "trim":
                self._trim(store, run, state)
            store.put(run, state)
            return None

    def finish(self, run: str, attempt: int, ending: Ending) -> Refusal | None:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            if state is not None and state.attempt == attempt and state.status == ending.status:
                return None  # it was done, and the reply was lost
            refusal = _refusal(state, attempt)
            if state is None or refusal is not None:
                return refusal
            if ending.events != state.count:
                return "gap"
            self._ended(store, run, state, ending)
            return None

    def beat(self, run: str, attempt: int) -> Refusal | bool:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            refusal = _refusal(state, attempt)
            if state is None or refusal is not None:
                return refusal or "unknown"
            store.put(run, self._kept(replace(state, beat=state.beat + 1, renewed_at=state.now)))
            return state.stop

    # -- stopping, losing, forgetting ---------------------------------------------------------------------------------

    def stop(self, run: str) -> bool:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            if state is None:
                return False
            if state.status == "queued":
                self._ended(store, run, state, Ending("stopped", 0))
            elif state.status == "running":
                store.put(run, replace(state, stop=True))
            return True

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        """See `Log`."""
        with self._transaction() as store:
            state = self._known(store, run)
            if state is None or state.attempt != attempt or state.beat != beat:
                return
            if state.status == "running" or (state.status == "queued" and state.is_overdue):
                self._ended(store, run, state, Ending("lost", state.count))

    def forget(self, run: str) -> bool:
        """See `Log`."""
        with self._transaction() as store:
            was_known = run in store.runs()
            store.delete(run)
            return was_known

    # -- reading ------------------------------------------------------------------------------------------------------

    def state(self, run: str) -> RunState | None:
        """See `Log`."""
        with self._transaction(write=False) as store:
            return self._known(store, run)

    def runs(self) -> Iterator[str]:
        """See `Log`."""
        with self._transaction(write=False) as store:
            return iter(store.runs())

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        """See `Log`."""
        with self._transaction(write=False) as store:
            return store.read(run, after, limit)

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        """See `Log`."""
        until = monotonic() + seconds
        while True:
            seen = self._look(after, published)
            left = until - monotonic()
            if seen.records or seen.stopped or left <= 0 or not self._pause(left):
                return seen

    def _look(self, after: Mapping[str, Position], published: Sequence[str]) -> Seen:
        with self._transaction(write=False) as store:
            found = {run: records for run, position in after.items() if (records := store.read(run, position, 256))}
            stopped = [run for run in published if (state := store.get(run)) is not None and state.stop]
        return Seen(found, stopped)

    # -- the rules ----------------------------------------------------------------------------------------------------

    def _known(self, store: Store, run: str) -> RunState | None:
        state = store.get(run)
        now = self._clock()
        if state is None or state.expires_at <= now:
            return None
        return replace(state, now=now)

    def _kept(self, state: RunState) -> RunState:
        """Return the state of a run that is now kept for as long as a run may stay silent."""
        return replace(state, expires_at=state.now + max(state.orphan_seconds, 2 * state.lease_seconds))

    def _ended(self, store: Store, run: str, state: RunState, ending: Ending) -> RunState:
        store.add(run, [Record(state.attempt, END, ending.written())])
        ended = replace(state, status=ending.status, expires_at=state.now + state.keep_seconds)
        store.put(run, ended)
        return ended

    def _trim(self, store: Store, run: str, state: RunState) -> None:
        """Drop the oldest events to make room, all but the newest one."""
        over = state.count - state.first + 1 - state.max_events
        while state.first < state.count and (over > 0 or state.bytes > state.max_bytes):
            oldest = store.read(run, Position(state.attempt, state.first - 1), 64)
            for record in oldest:
                if state.first >= state.count or (over <= 0 and state.bytes <= state.max_bytes):
                    break
                state.first += 1
                state.bytes -= len(record.body)
                over -= 1
            store.drop_before(run, Position(state.attempt, state.first))


def _refusal(state: RunState | None, attempt: int) -> Refusal | None:
    """Return why an attempt may not write; None if it may."""
    if state is None:
        return "unknown"
    if state.attempt == attempt and state.status == "limited":
        return "limited"
    return "fenced" if state.attempt != attempt or state.status not in LIVE else None


def _room(state: RunState, bodies: Sequence[str]) -> int:
    """Return how many events there is room for."""
    size = state.bytes
    for number, body in enumerate(bodies):
        size += len(body)
        if state.count + number >= state.max_events or size > state.max_bytes:
            return number
    return len(bodies)
