"""The overflow policies: a class for each decides about items that are sent while the buffer is full.

A policy owns the buffer, and decides how items get in and out. `"block"` uses the deque directly, so nothing is locked. The
others look at the buffer before they append, and take the lock for it. If they remove items from the middle, the reader takes
the lock as well.

An item whose kind is `None` is never dropped or merged. If the buffer contains nothing else, the bound yields, which is
counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import RLock
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar, get_args

from callbridge.channel.statistics import Overflow
from callbridge.errors import ArgumentError, CapacityError, ChannelOverflow, OverflowPolicyError

__all__ = ["Kind", "Merge", "Policy", "check_arguments", "event_kind", "make_policy"]

T = TypeVar("T")

Kind: TypeAlias = Callable[[T], "Hashable | None"]
Merge: TypeAlias = Callable[[Sequence[T]], T]


_NO_EVENT: Final = "no event"


def event_kind(item: object) -> Hashable | None:
    """Tell what an overflow policy may do to an item, for v2 events and anything else.

    Returns:
        `None` for events that must arrive: starts, ends, errors, custom events. `(event, run_id)` for chunks. The same key
        for everything that is not an event.
    """
    if not isinstance(item, Mapping) or "event" not in item:
        return _NO_EVENT
    event = item["event"]
    return (event, item.get("run_id")) if isinstance(event, str) and event.endswith("_stream") else None


class Policy(Generic[T]):
    """`"block"`: the producer waits.

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
        """Re-entrant, because a finalizer may push while this thread holds it."""
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
        """Take an item out again, if it is there. Called with the lock held, when nobody reads any more."""
        for index in range(len(self.buffer)):
            if self.buffer[index] is item:
                del self.buffer[index]
                return True
        return False

    def clear(self) -> list[Any]:
        """Take all items out. Called with the lock held."""
        taken = []
        while self.buffer:
            taken.append(self.buffer.popleft())
        return taken


class _Locked(Policy[T]):
    """Base of the policies that look at the buffer before they append. Nobody waits, and everybody takes the lock."""

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
                # An error here would drop the item silently, because LangChain swallows the errors of callbacks.
                if self.kind(item) is not None:
                    self.refused += 1
                    raise ChannelOverflow(self.capacity)
                self.overruns += 1
            self.buffer.append(item)


class _DropOldest(_Locked[T]):
    """`"drop_oldest"`: drops the oldest item that may be dropped, perhaps the new one."""

    def __init__(self, capacity: int, kind: Kind[T]) -> None:
        super().__init__(capacity, kind)
        # How many items at the front are known to be undroppable, so that their kind is asked only once.
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
    """`"drop_newest"`: drops the new item. If that must arrive, drops the newest droppable one in the buffer."""

    def __init__(self, capacity: int, kind: Kind[T]) -> None:
        super().__init__(capacity, kind)
        # How many items at the back are known to be undroppable.
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
    """One place in the buffer: items of the same kind that will be merged when they are taken."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: Hashable | None, items: list[T]) -> None:
        self.kind = kind
        self.items = items


class _Coalesce(_Locked[T]):
    """`"coalesce"`: merges items of the same kind, if no item that must arrive is between them.

    So chunks keep their order within their run, and with respect to starts, ends and errors. Chunks of other runs do not stand
    in the way: a chain repeats each chunk of its model as its own, so chunks of one run are hardly ever neighbours.

    The buffer consists of groups. The reader merges a group once, as a whole: merging message chunks in pairs costs ten times
    as much.
    """

    def __init__(self, capacity: int, kind: Kind[T], merge: Merge[T]) -> None:
        super().__init__(capacity, kind)
        self._merge = merge
        # {kind: its last group} for the groups since the last item that must arrive; removed when taken.
        self._latest: dict[Hashable, _Group[T]] = {}
        # How many groups arrived while there was an earlier group of their kind, which may have been taken since.
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
        """Merge the groups that arrived while there was room."""
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
            except (IndexError, StopIteration) as error:  # the reader would take it for an empty buffer
                raise RuntimeError(f"merging {len(group.items)} items failed: {error!r}") from error
        return group.items[0]

    def _split(self, group: _Group[T]) -> _Group[T]:
        """Called with a group that cannot be merged. Put its second half back and return the first."""
        half = len(group.items) // 2
        with self.lock:
            self.merged -= 1
            # Without a kind, so that no later item joins it.
            self.buffer.appendleft(_Group(None, group.items[half:]))
        return _Group(None, group.items[:half])


def check_arguments(capacity: object, overflow: object) -> None:
    """Check the capacity and the policy's name.

    Raises:
        CapacityError: The capacity is not an `int`, or it is below 1.
        OverflowPolicyError: There is no such policy.
    """
    if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
        raise CapacityError("capacity", capacity, "an int of at least 1")
    if overflow not in get_args(Overflow):
        raise OverflowPolicyError("overflow", overflow, f"one of {', '.join(map(repr, get_args(Overflow)))}")


def make_policy(overflow: Overflow, capacity: int, kind: Kind[T], merge: Merge[T] | None) -> Policy[T]:
    """Make the policy of a channel.

    Raises:
        ArgumentError: `"coalesce"` without `merge`.
    """
    if overflow == "coalesce":
        if merge is None:
            raise ArgumentError("merge", merge, "a function that merges several items into one: overflow='coalesce' needs it")
        return _Coalesce(capacity, kind, merge)
    policies: dict[str, type[Policy[T]]] = {
        "block": Policy,
        "fail": _Fail,
        "drop_oldest": _DropOldest,
        "drop_newest": _DropNewest,
    }
    return policies[overflow](capacity, kind)
