"""`MemoryLog`: the log of one process. Relays of one name share it for as long as one of them is open."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from time import monotonic
from weakref import WeakValueDictionary

from callbridge.relay.records import Position, Record, RunState
from callbridge.relay.statelog import StateLog, Store

__all__ = ["MemoryLog"]


@dataclass
class _Memory:
    """The data that all relays of one name share. It is a `Store` while `changed` is held."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    version: int = 0
    states: dict[str, RunState] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)

    def get(self, run: str) -> RunState | None:
        state = self.states.get(run)
        return None if state is None else replace(state)

    def put(self, run: str, state: RunState) -> None:
        self.states[run] = state

    def add(self, run: str, records: Sequence[Record]) -> None:
        self.records.setdefault(run, []).extend(records)

    def drop_before(self, run: str, position: Position) -> None:
        kept = self.records.get(run, [])
        self.records[run] = [each for each in kept if each.attempt != position.attempt or each.position >= position]

    def delete(self, run: str) -> None:
        self.states.pop(run, None)
        self.records.pop(run, None)

    def runs(self) -> Sequence[str]:
        return list(self.states)

    def expired(self, now: float) -> Sequence[str]:
        return [run for run, state in self.states.items() if state.expires_at <= now]

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        records = self.records.get(run, [])
        begin = bisect_right(records, after, key=lambda record: record.position)
        return records[begin : begin + limit]


@cache
def _memories() -> WeakValueDictionary[str, _Memory]:
    return WeakValueDictionary()


class MemoryLog(StateLog):
    """A log in the memory of this process.

    Args:
        name: The name of the log.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(f"memory:{name}", monotonic)
        self._name = name
        self._memory: _Memory | None = None
        self._seen = -1
        self._is_woken = False

    def open(self) -> None:
        """See `Log`."""
        self._memory = _memories().setdefault(self._name, _Memory())

    def close(self) -> None:
        """See `Log`."""
        self.wake()

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Store]:
        memory = self._opened()
        with memory.changed:
            yield memory
            if write:
                memory.version += 1
                memory.changed.notify_all()

    def _pause(self, seconds: float) -> bool:
        memory = self._opened()
        with memory.changed:
            memory.changed.wait_for(lambda: self._is_woken or memory.version != self._seen, seconds)
            self._seen = memory.version
            woken, self._is_woken = self._is_woken, False
            return not woken

    def wake(self) -> None:
        """See `Log`."""
        if self._memory is not None:
            with self._memory.changed:
                self._is_woken = True
                self._memory.changed.notify_all()

    def _opened(self) -> _Memory:
        assert self._memory is not None
        return self._memory
