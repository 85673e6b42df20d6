"""The state that both ends share: the buffer, the waiters, and how the channel closes. This is how `"block"` works.

`push` appends and never waits. A producer that may wait does so afterwards, while the buffer is above capacity. So an item is
delivered from the call on, whatever is cancelled: nothing is retried, no item is held by a waiter, and an end or an error from
a task that is already cancelled still gets in. The price is a higher bound: capacity, plus one for each concurrent producer.

An item passes without a lock. Two pairs of operations, each "write mine, then read yours" (Dekker), make this safe:

| writes, then reads | against |
|---|---|
| producer: appends the item, reads `alert` | reader: publishes its waiter in `slot`, reads the buffer |
| producer: publishes its waiter in `producers`, reads the buffer's length | reader: takes an item, reads `producers` |

Whichever side comes second sees the other, so no wake is lost. A waiter that turns out not to be needed is withdrawn.

**Waking the reader.** `alert` is the list `slot`, which contains the parked reader's waiter. The producer that pops it wakes
the reader. An empty slot costs nothing: there is one wake per idle period, and none while items keep coming.

**Waking producers.** When the buffer has fallen to `low` (half of capacity), the reader wakes all of them. It reads the length
again before each one, because a thread that was just woken may refill the buffer and park again during the sweep. A producer
parks only above capacity, so the reader need not look before the buffer is down to `low`; see `ReceiveEnd`.

**The mark.** `push` compares the length with one number: the highest length so far, which makes `peak` free. When it passes
capacity, it stays at capacity.

**Closing.** A function that refuses replaces `append`, and a tuple, which is always true, replaces `alert`. So a producer that
got past `append` just before comes to `_settle`, which decides under the lock. If the reader has not seen the end yet, it will
see the item first. If it has, the item was taken before the end, or it is taken back and `push` raises. So if `push` returns,
the item is delivered; if it raises, it is not. The reader also decides under the lock that it has seen the end.

**Re-entrance.** A finalizer may push or close inside any of this, in the same thread. The lock is re-entrant, and each step of
the paths without a lock is atomic with respect to finalizers.

**The interpreter lock.** All this relies on it: `append`, `pop`, `popleft`, `remove`, `len`, and reading and writing an
attribute must be atomic, and all threads must see them in one order. On a free-threaded build that still holds for deques and
lists. It does not hold for the plain attributes (`alert`, `append`, `shut`, `mark`) on every processor, so a variant that locks
`push` would be needed. `open_channel` warns there.
"""

from __future__ import annotations

import asyncio
from _thread import allocate_lock
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from itertools import repeat
from operator import length_hint
from threading import get_ident
from typing import Any, Generic, Literal, TypeVar

from callbridge.channel.policies import Policy
from callbridge.channel.statistics import ChannelStatistics, Overflow
from callbridge.channel.waiters import AsyncioWaiter, HandOver, Place, Waiter, withdraw
from callbridge.errors import ChannelClosedError

__all__ = ["ChannelState"]

T = TypeVar("T")

_CLOSED: tuple[None] = (None,)
"""The slot of a closed channel: a true value without a waiter."""


class ChannelState(Generic[T]):
    """The buffer, its waiters and counters.

    Args:
        policy: What to do when the buffer is full.
        overflow: The name of the policy.
        patient: Whether sync producers wait for a reader that has not begun yet.
    """

    def __init__(self, policy: Policy[T], overflow: Overflow, patient: bool) -> None:
        self.policy = policy
        self.overflow: Overflow = overflow
        self.patient = patient
        self.waits_for_room = policy.waits
        self.capacity = policy.capacity
        self.low = policy.capacity // 2
        self.mark = 0
        self.lock = policy.lock

        self.buffer = policy.buffer
        self.append = policy.appender()

        # At most one waiter: that of the parked reader. Removed to wake it, or by the reader when it gives up.
        self.slot: list[Waiter] = []
        self.alert: Collection[object] = self.slot
        # Parked producers, oldest first; removed by the reader's sweep, by closing, or by the producer when it gives up.
        self.producers: list[Waiter] = []
        self.hand_over = HandOver()
        self.met_full = False
        """Whether producers of the reader's own loop have met a full buffer since the reader last ran out of items."""
        self.parking = allocate_lock()
        """Held from just before the reader parks until it runs again."""

        self.reader: Place | None = None
        self.shut: Literal["", "sender", "receiver"] = ""
        self.ended = False
        self.left = False
        self.error: BaseException | None = None

        # Items taken: those granted to the reader's batches, minus the rest of the last batch.
        self.granted = 0
        self.tickets: repeat[tuple[()]] = repeat((), 0)
        self.spent = -1
        """How many items had been taken when a thread last gave up waiting."""
        self.peak = 0
        self.parks = 0
        self.waits = 0
        self.overruns = 0
        self.discarded = 0

    @property
    def received(self) -> int:
        """How many items the reader has taken."""
        return self.granted - length_hint(self.tickets)

    def rise(self) -> bool:
        """Called when the buffer is longer than ever or above capacity. Return whether to wait."""
        length = len(self.buffer)
        if length > self.peak:
            with self.lock:
                self.peak = max(length, self.peak)
                self.mark = min(self.peak, self.capacity)
        return length > self.capacity and self.waits_for_room

    def notify(self, item: T) -> None:
        """Called after `item` was appended while the reader was parked or the channel being closed.

        Raises:
            ChannelClosedError: The channel is closed, and the item is not delivered.
        """
        if self.alert is _CLOSED:
            self._settle(item)
            return
        try:
            waiter = self.slot.pop()
        except IndexError:  # another producer was faster
            return
        if waiter.thread == get_ident():
            waiter.wake()
        else:
            self.hand_over.wake(waiter)

    def notify_after(self, task: asyncio.Task[Any] | None, item: T) -> None:
        """Do what `notify` does, but after a task has ended, if the reader waits in the same loop.

        Args:
            task: The current task, which is about to end.
            item: The item.
        """
        waiter = next(iter(self.slot), None)
        if task is None or type(waiter) is not AsyncioWaiter or waiter.loop is not task.get_loop():
            self.notify(item)
        else:
            task.add_done_callback(partial(self._notify_late, waiter))

    def _notify_late(self, waiter: AsyncioWaiter, _: object) -> None:
        # If the waiter is not there or the buffer is empty, somebody else has woken the reader.
        if self.buffer and withdraw(self.slot, waiter):
            waiter.wake_here()

    def _settle(self, item: T) -> None:
        """Decide whether an item that was sent while the channel was being closed is delivered."""
        with self.lock:
            is_over = self.ended or self.left
            # If the item is no longer in the buffer, it was taken before the end.
            if not is_over or not self.policy.take_back(item):
                return
        raise ChannelClosedError(self.shut)

    def release_producers(self) -> None:
        """Wake waiting producers as long as there is room. Called by the reader."""
        while self.producers and len(self.buffer) <= self.low:
            try:
                waiter = self.producers.pop(0)
            except IndexError:  # it gave up in this moment
                return
            waiter.wake()

    def release_for_good(self) -> None:
        """Let no producer wait again."""
        self.waits_for_room = False  # first, because a producer that parks looks again
        while self.producers:
            with suppress(IndexError):  # it gave up in this moment
                self.producers.pop(0).wake()

    def count_overrun(self) -> None:
        """Count that the bound yields."""
        with self.lock:
            self.overruns += 1

    def count_wait(self) -> None:
        """Count that a producer waits."""
        with self.lock:
            self.waits += 1

    def finish(self) -> bool:
        """If the channel is closed and empty, note that the reader has seen the end. Return whether it has."""
        with self.lock:
            self.ended = self.ended or self.left or (bool(self.shut) and not self.buffer)
            return self.ended

    def close_sender(self, error: BaseException | None) -> None:
        """Close the sending end; see `SendEnd.close`."""
        with self.lock:
            if self.shut:
                return
            self.error = error
            self._shut_locked("sender")
        self._wake_all()

    def close_reader(self) -> None:
        """Close the receiving end; see `ReceiveEnd.close`."""
        with self.lock:
            if self.left:
                return
            self.left = True
            if not self.shut:
                self._shut_locked("receiver")
            self.error = None
            self.reader = None
            discarded = self.policy.clear()
            self.discarded += len(discarded)
        self._wake_all()
        del discarded  # here, because this may run finalizers, and they must not hold the lock

    def _shut_locked(self, by: Literal["sender", "receiver"]) -> None:
        # In this order: a producer that appends after `shut` is visible comes to `_settle`.
        self.append = partial(_refuse, by)
        self.alert = _CLOSED
        self.shut = by

    def _wake_all(self) -> None:
        for waiters in (self.slot, self.producers):
            while waiters:
                try:
                    waiter = waiters.pop(0)
                except IndexError:
                    break
                waiter.wake()

    def statistics(self) -> ChannelStatistics:
        """Return a snapshot of the counters."""
        policy = self.policy
        received = self.received
        buffered = len(self.buffer)
        return ChannelStatistics(
            capacity=self.capacity,
            overflow=self.overflow,
            buffered=buffered,
            peak=max(self.peak, buffered),
            sent=received + buffered + policy.dropped + policy.merged + self.discarded,
            received=received,
            waits=self.waits,
            parks=self.parks,
            overruns=self.overruns + policy.overruns,
            dropped=policy.dropped,
            merged=policy.merged,
            refused=policy.refused,
            discarded=self.discarded,
            waiting_producers=len(self.producers),
            waiting_reader=bool(self.slot),
        )

    def described(self) -> str:
        """Return the state in words, for debugging."""
        closed = "receiver" if self.left else self.shut
        state = f"closed by {closed}" if closed else "open"
        return f"{state} overflow={self.overflow!r} capacity={self.capacity} buffered={len(self.buffer)}"


def _refuse(by: str, _: object) -> None:
    """The `append` of a closed channel."""
    raise ChannelClosedError(by)
