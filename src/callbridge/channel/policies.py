"""What becomes of an item that is sent while the buffer is full: a class for each overflow policy.

A policy owns the buffer, and says how an item gets in and out. `"block"` is the deque itself, so nothing is locked. The others
look at what is buffered before they append; they and, where they remove what is in the middle, the reader take the lock.

An item whose kind is `None` is never dropped nor merged. If nothing else is in the buffer, the bound yields, which is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import RLock
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from callbridge.channel.statistics import Overflow
from callbridge.errors import ArgumentError, ChannelOverflow

__all__ = ["Kind", "Merge", "Policy", "event_kind", "make_policy"]

T = TypeVar("T")

Kind: TypeAlias = Callable[[T], "Hashable | None"]
Merge: TypeAlias = Callable[[Sequence[T]], T]


_NO_EVENT: Final = "no event"


def event_kind(item: object) -> Hashable | None:
    """Tell what an overflow policy may do to an item, for v2 events and anything else.

    Returns:
        `None` for events that must arrive: starts, ends, errors, custom events. `(event, run_id)` for chunks. One key for
        everything that is no event.
    """
    if not isinstance(item, Mapping) or "event" not in item:
        return _NO_EVENT
    event = item["event"]
    return (event, item.get("run_id")) if isinstance(event, str) and event.endswith("_stream") else None


class Policy(Generic[T]):
    """`"block"`: whoever sends waits.

    Args:
        capacity: Items the buffer may hold.
        kind: What may be done to an item; see `open_channel`.
    """

    waits: ClassVar[bool] = True
    """Whether producers wait for room."""

    def __init__(self, capacity: int, kind: Kind[T]) -> None:
        self.capacity = capacity
        self.kind = kind
        self.buffer: deque[Any] = deque()
        self.lock = RLock()
        """Re-entrant, since a finalizer may push while this thread holds it."""
        self.dropped = 0
        self.merged = 0
        self.refused = 0
        self.overruns = 0

    def appender(self) -> Callable[[T], None]:
        """Return the function that puts an item in."""
        return self.buffer.append

    def taker(self) -> Callable[[], T]:
        """Return the function that takes the oldest item out; it raises `IndexError` if there is none."""
        return self.buffer.popleft

    def take_back(self, item: T) -> bool:
        """Take an item out again, if it is there. Called with the lock held, and when nobody reads any more."""
        for index in range(len(self.buffer)):
            if self.buffer[index] is item:
                del self.buffer[index]
                return True
        return False

    def clear(self) -> list[Any]:
        """Take everything out. Called with the lock held."""
        taken = []
        while self.buffer:
            taken.append(self.buffer.popleft())
        return taken


class _Locked(Policy[T]):
    """What looks at the buffer before it appends: nobody waits, and everybody takes the lock."""

    waits = False

    def appender(self) -> Callable[[T], None]:
        return self._append

    def taker(self) -> Callable[[], T]:
        return self._take

    def _append(self, item: T) -> None:
        raise NotImplementedError

    def _take(self) -> T:
        item: T = self.buffer.popleft()
        return item


class _Fail(_Locked[T]):
    """`"fail"`: sending raises."""

    def _append(self, item: T) -> None:
        with self.lock:
            if len(self.buffer) >= self.capacity:
                # An error raised in a callback is swallowed by LangChain, so it would be as good as dropping the item.
                if self.kind(item) is not None:
                    self.refused += 1
                    raise ChannelOverflow(self.capacity)
                self.overruns += 1
            self.buffer.append(item)


class _DropOldest(_Locked[T]):
    """`"drop_oldest"`: the oldest item that may be dropped makes room; it may be the one sent."""

    def __init__(self, capacity: int, kind: Kind[T]) -> None:
        super().__init__(capacity, kind)
        # Items at the front known to be such that must arrive: no need to ask again.
        self._kept = 0

    def _append(self, item: T) -> None:
        with self.lock:
            while len(self.buffer) >= self.capacity and self._drop_locked():
                pass
            if len(self.buffer) >= self.capacity:
                if self.kind(item) is not None:
                    self.dropped += 1
                    return
                self.overruns += 1
            self.buffer.append(item)

    def _drop_locked(self) -> bool:
        for index in range(self._kept, len(self.buffer)):
            if self.kind(self.buffer[index]) is not None:
                del self.buffer[index]
                self.dropped += 1
                return True
            self._kept = index + 1
        return False

    def _take(self) -> T:
        with self.lock:
            item: T = self.buffer.popleft()
            self._kept = max(0, self._kept - 1)
            return item


class _DropNewest(_Locked[T]):
    """`"drop_newest"`: the item sent is dropped, or the newest in the buffer if that one must arrive."""

    def __init__(self, capacity: int, kind: Kind[T]) -> None:
        super().__init__(capacity, kind)
        # Items at the back known to be such that must arrive.
        self._kept = 0

    def _append(self, item: T) -> None:
        with self.lock:
            if len(self.buffer) < self.capacity:
                self._kept = 0
            elif self.kind(item) is not None:
                self.dropped += 1
                return
            else:
                while len(self.buffer) >= self.capacity and self._drop_locked():
                    pass
                self.overruns += len(self.buffer) >= self.capacity
                self._kept += 1
            self.buffer.append(item)

    def _drop_locked(self) -> bool:
        last = len(self.buffer) - 1
        for index in range(last - self._kept, -1, -1):
            if self.kind(self.buffer[index]) is not None:
                del self.buffer[index]
                self.dropped += 1
                return True
            self._kept = last - index + 1
        return False

    def _take(self) -> T:
        with self.lock:
            item: T = self.buffer.popleft()
            self._kept = min(self._kept, len(self.buffer))
            return item


class _Group(Generic[T]):
    """A place in the buffer: items of one kind that will be merged when they are taken."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: Hashable | None, items: list[T]) -> None:
        self.kind = kind
        self.items = items


class _Coalesce(_Locked[T]):
    """`"coalesce"`: items of one kind merge, if no item that must arrive is between them.

    So chunks keep their order with respect to starts, ends and errors, and within their run. Chunks of other runs are no
    barrier: a chain repeats each chunk of its model as its own, so chunks of one run are hardly ever neighbours.

    The buffer consists of groups. Merging is done once for a group, by the reader: pairwise merging of message chunks costs ten
    times as much.
    """

    def __init__(self, capacity: int, kind: Kind[T], merge: Merge[T]) -> None:
        super().__init__(capacity, kind)
        self._merge = merge
        # {kind: last group of it} for the groups since the last item that must arrive; removed when taken.
        self._latest: dict[Hashable, _Group[T]] = {}
        # Groups that had an earlier one of their kind to merge with when they came. Some of those may have been taken since.
        self._loose = 0

    def take_back(self, item: T) -> bool:
        for index in range(len(self.buffer)):
            group: _Group[T] = self.buffer[index]
            for position in range(len(group.items)):
                if group.items[position] is item:
                    if len(group.items) > 1:
                        del group.items[position]
                        self.merged -= 1
                    else:
                        del self.buffer[index]
                        self._latest.clear()
                    return True
        return False

    def clear(self) -> list[Any]:
        self._latest.clear()
        return super().clear()

    def _append(self, item: T) -> None:
        kind = self.kind(item)
        with self.lock:
            earlier = None if kind is None else self._latest.get(kind)
            if len(self.buffer) >= self.capacity:
                if earlier is not None:
                    earlier.items.append(item)
                    self.merged += 1
                    return
                self._compact_locked()
                self.overruns += len(self.buffer) >= self.capacity
            group = _Group(kind, [item])
            if kind is None:
                self._latest.clear()
            else:
                self._loose += earlier is not None
                self._latest[kind] = group
            self.buffer.append(group)

    def _compact_locked(self) -> None:
        """Merge what came while there was room."""
        if not self._loose:
            return
        self._loose = 0
        self._latest.clear()
        for _ in range(len(self.buffer)):
            group: _Group[T] = self.buffer.popleft()
            earlier = None if group.kind is None else self._latest.get(group.kind)
            if earlier is not None:
                earlier.items += group.items
                self.merged += 1
                continue
            if group.kind is None:
                self._latest.clear()
            else:
                self._latest[group.kind] = group
            self.buffer.append(group)

    def _take(self) -> T:
        with self.lock:
            group: _Group[T] = self.buffer.popleft()
            if group.kind is not None and self._latest.get(group.kind) is group:
                del self._latest[group.kind]
        while len(group.items) > 1:
            try:
                return self._merge(group.items)
            except TypeError:
                group = self._split(group)
            except (IndexError, StopIteration) as error:  # which would tell the reader that there is nothing to take
                raise RuntimeError(f"merging {len(group.items)} items failed: {error!r}") from error
        return group.items[0]

    def _split(self, group: _Group[T]) -> _Group[T]:
        """Called with a group that cannot be merged: put its second half back and return the first."""
        half = len(group.items) // 2
        with self.lock:
            self.merged -= 1
            # Of no kind any more, so that no later item joins it.
            self.buffer.appendleft(_Group(None, group.items[half:]))
        return _Group(None, group.items[:half])


def make_policy(overflow: Overflow, capacity: int, kind: Kind[T], merge: Merge[T] | None) -> Policy[T]:
    """Make the policy of a channel.

    Raises:
        ArgumentError: `"coalesce"` without `merge`.
    """
    if overflow == "coalesce":
        if merge is None:
            raise ArgumentError("merge", merge, "a function that makes one item of several, which overflow='coalesce' needs")
        return _Coalesce(capacity, kind, merge)
    policies: dict[str, type[Policy[T]]] = {
        "block": Policy,
        "fail": _Fail,
        "drop_oldest": _DropOldest,
        "drop_newest": _DropNewest,
    }
    return policies[overflow](capacity, kind)
