"""`open_channel`: a bounded channel between producers anywhere and one reader, async or sync."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Sequence
from enum import Enum
from itertools import repeat, starmap
from operator import length_hint
from threading import Event, get_ident
from time import monotonic
from types import FrameType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import anyio

from callbridge.channel.policies import check_arguments, event_kind, make_policy
from callbridge.channel.state import ChannelState
from callbridge.channel.statistics import ChannelStatistics, Overflow
from callbridge.channel.waiters import (
    Loop,
    Place,
    ThreadWaiter,
    Waiter,
    async_waiter,
    current_task,
    in_event_loop,
    is_pool_worker,
    may_be_waited_for,
    pause,
    unpark,
    withdraw,
)
from callbridge.core.arguments import check_error
from callbridge.errors import (
    ConcurrentReadError,
    EventLoopError,
    FreeThreadingWarning,
)
from callbridge.internals import is_free_threaded, task_of

__all__ = ["ChannelStatistics", "Overflow", "ReceiveEnd", "SendEnd", "open_channel"]

T = TypeVar("T")
D = TypeVar("D")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

POOL_PATIENCE = 0.25
"""Seconds that a thread waits for room, if the reader's loop may need that thread. Then the bound yields."""

LOOP_PATIENCE = 1.0
"""After how many seconds a waiting producer asks the reader's loop, if it is another one, to answer; and in how many."""

FAIR_ITEMS: Final = 64
"""After this many items, a reader that never had to wait lets other tasks run."""

FAIR_SECONDS: Final = 0.005
"""After this many seconds, it does so, too."""


class _Signal(Enum):
    """The type of values that are returned in place of an item."""

    EMPTY = "empty"
    END = "end"


_Empty: TypeAlias = Literal[_Signal.EMPTY]
_End: TypeAlias = Literal[_Signal.END]

_FREE_THREADING = (
    "this interpreter runs without its global lock, on which channels between threads rely: a thread may never be woken. "
    "Read and write the channel in one thread, set PYTHON_GIL=1, or use the standard build of CPython"
)


def open_channel(
    capacity: int = 256,
    *,
    overflow: Overflow = "block",
    kind: Callable[[T], Hashable | None] = event_kind,
    merge: Callable[[Sequence[T]], T] | None = None,
    patient: bool = True,
) -> tuple[SendEnd[T], ReceiveEnd[T]]:
    """Open a channel.

    | `overflow` | an item sent while the buffer is full |
    |---|---|
    | `"block"` | is accepted, and its producer waits until the reader has made room |
    | `"coalesce"` | merges with the last buffered one of its kind, if there is one; nobody waits, nothing is lost |
    | `"drop_oldest"` | pushes out the oldest item that may be dropped |
    | `"drop_newest"` | is dropped |
    | `"fail"` | is refused with `ChannelOverflow` |

    Args:
        capacity: Items the buffer may hold, at least 1. With `"block"` every concurrent producer may have one more in it.
            Between threads a small buffer is costly: each time it runs full and empty, two threads are woken.
        overflow: The policy.
        kind: Returns the key of an item. `None`: the item must arrive, so it is never dropped, merged or refused. If nothing
            else can give way, the buffer exceeds its bound, which counts as an overrun. Any other key: the item may be dropped,
            or merged with items of equal key if no item that must arrive is between them. The default is made for v2 events:
            chunks are of the kind `(event, run_id)`, other events must arrive, and items that are not events share one kind.
        merge: Merges several items of one kind, oldest first, into one, for `"coalesce"`. The reader calls it once for all
            items that become one. If it raises `TypeError`, they cannot be merged: each half of them is then tried, and so on,
            down to items that are delivered as they are.
        patient: If true, sync producers wait for a reader that has not begun (see `ReceiveEnd.attach`), as coroutines do. If
            false, the buffer may exceed its bound until then, for a producer that itself may keep the reader from beginning.

    Returns:
        The sending end, for any number of producers, and the receiving end, for one reader.

    Raises:
        CapacityError: `capacity` is not an `int`, or it is below 1.
        OverflowPolicyError: There is no such policy.
        ArgumentError: `"coalesce"` without `merge`.

    Warns:
        FreeThreadingWarning: The interpreter runs without its global lock.

    Example:
        ```python
        send, receive = callbridge.open_channel(2)
        send.push("tea")
        send.close()
        print(list(receive))
        #> ['tea']
        ```
    """
    check_arguments(capacity, overflow)
    if is_free_threaded():
        warnings.warn(_FREE_THREADING, FreeThreadingWarning, stacklevel=2)
    state = ChannelState(make_policy(overflow, capacity, kind, merge), overflow, patient)
    return SendEnd(state), ReceiveEnd(state)


class SendEnd(Generic[T_contra]):
    """The sending end of a channel. Made by `open_channel`.

    Threads: everything may be called from any thread, also from finalizers.
    """

    __slots__ = ("__weakref__", "_state")

    def __init__(self, state: ChannelState[T_contra]) -> None:
        self._state = state

    def push(self, item: T_contra, step: FrameType | None = None) -> bool:
        """Accept an item at once, without waiting. From then on it is delivered, whatever is cancelled.

        Args:
            item: The item.
            step: The frame of a coroutine that does nothing more, unless it waits for room that others have taken. If the task
                runs nothing else and the reader waits in its loop, the reader is woken when the task has ended. So code that
                awaits the task is first, and may send more for the same wake.

        Returns:
            True if the buffer is above capacity. A producer that can wait should then wait for `room`.

        Raises:
            ChannelClosedError: The channel is closed, at either end; the item is not delivered.
            ChannelOverflow: The buffer is full and the policy is `"fail"`.
        """
        state = self._state
        state.append(item)
        if state.alert:
            state.notify(item) if step is None else state.notify_after(task_of(step), item)
        if len(state.buffer) > state.mark:
            return state.rise()
        return False

    async def send(self, item: T_contra) -> None:
        """Send an item, then wait while the buffer is above capacity.

        Raises:
            ChannelClosedError: The channel is closed, at either end; the item is not delivered.
            ChannelOverflow: The buffer is full and the policy is `"fail"`.

        Cancellation: the item is delivered from the call on, also if the wait is cancelled. No checkpoint while there is room.
        """
        if self.push(item):
            await self.room()

    def send_sync(self, item: T_contra) -> None:
        """Send an item from sync code, then wait while the buffer is above capacity; see `room_sync`.

        Raises:
            ChannelClosedError: The channel is closed, at either end; the item is not delivered.
            ChannelOverflow: The buffer is full and the policy is `"fail"`.
        """
        if self.push(item):
            self.room_sync()

    async def room(self) -> None:
        """Wait while the buffer is above capacity, until the reader has made room or either end is closed.

        - The reader is this very task, or sync code of this thread, or its loop is closed or is another one in this thread:
          returns at once, which counts as an overrun, because the wait would never end.
        - The reader's loop is one in another thread: waits provided that it runs. It may be blocked by sync code that waits for
          this very task. As in `room_sync`, a loop that does nothing for `LOOP_PATIENCE` seconds is taken for blocked until it
          does something; nobody waits for it meanwhile, which counts as overruns.
        - Any other reader: waits as long as it takes.

        Raises:
            EventLoopError: There is no task of asyncio or trio here, and waiting is necessary.

        Cancellation: nothing is lost; what was pushed is delivered.
        """
        state = self._state
        if not _is_above(state):
            return
        loop, task = current_task()
        reader = state.reader
        if reader is not None and _is_hopeless(reader, loop, task):
            state.count_overrun()
            return
        state.count_wait()
        if reader is not None and reader.loop is loop:
            state.met_full = True
            if state.capacity <= FAIR_ITEMS:
                # The reader can run and will empty the buffer within one turn. That is cheaper for both sides than parking.
                await pause(loop)
                if not _is_above(state):
                    return
        elif reader is not None and reader.loop is not None:
            await _wait_for_another_loop(state, loop)
            return
        waiter = async_waiter(loop)
        try:
            if _parks(state, waiter):
                await waiter.wait()
        except BaseException:
            withdraw(state.producers, waiter)
            raise

    def room_sync(self) -> None:
        """Block the thread while the buffer is above capacity, unless blocking it might be a deadlock.

        - The reader is in this thread, or its loop is closed, or this thread runs an event loop, or no reader has begun and the
          channel is not patient: returns at once, which counts as an overrun.
        - The reader is async, or not known, and this thread is a worker of a pool, any one, so the reader's loop may need it:
          waits for `POOL_PATIENCE` seconds, then returns, which counts as an overrun. If the reader has taken nothing meanwhile
          and a job may be waiting for this thread, nobody waits again until the reader has taken something.
        - Any other thread waits as long as it takes, provided that the reader's loop, if it has one, runs: it may be blocked by
          sync code that waits for this very thread. A loop that does nothing for `LOOP_PATIENCE` seconds is taken for blocked
          until it does something; nobody waits for it meanwhile, which counts as overruns.

        Raises:
            KeyboardInterrupt: In the main thread, while it waits; what was pushed is delivered.
        """
        state = self._state
        if not _is_above(state):
            return
        if _patience(state) == 0:
            state.count_overrun()
            return
        state.count_wait()
        waiter = ThreadWaiter()
        try:
            woken = not _parks(state, waiter) or waiter.wait(POOL_PATIENCE)
            # Not asked earlier, because a pool registers a worker only after it has begun.
            while not woken and _patience(state) is None and (state.reader is None or state.reader.gets_on(LOOP_PATIENCE)):
                woken = waiter.wait(LOOP_PATIENCE)
        except BaseException:
            withdraw(state.producers, waiter)
            raise
        if not woken and withdraw(state.producers, waiter):
            state.spent = state.received
            state.count_overrun()

    def never_wait(self) -> None:
        """Let no producer wait for room any more, and wake all that do: the bound yields. Idempotent; any thread."""
        self._state.release_for_good()

    def close(self, error: BaseException | None = None) -> None:
        """Close the channel: no more items come. Idempotent, the first call counts.

        Args:
            error: The reader raises this very object after all buffered items.

        Raises:
            ArgumentError: It is not an exception.
        """
        check_error(error)
        self._state.close_sender(error)

    @property
    def closed(self) -> bool:
        """Whether either end is closed, so that nothing more can be sent."""
        return bool(self._state.shut)

    @property
    def finished(self) -> bool:
        """Whether this end was closed before the reader left, if it left at all."""
        return self._state.shut == "sender"

    @property
    def reader_left(self) -> bool:
        """Whether the receiving end is closed."""
        return self._state.left

    def statistics(self) -> ChannelStatistics:
        """Return the counters. Those of the reader are as of its last batch."""
        return self._state.statistics()

    def __repr__(self) -> str:
        return f"<SendEnd {self._state.described()}>"


def _is_above(state: ChannelState[Any]) -> bool:
    """Return whether a producer has to wait."""
    return len(state.buffer) > state.capacity and not state.shut and state.waits_for_room


def _parks(state: ChannelState[Any], waiter: Waiter) -> bool:
    """Show a producer's waiter to the reader, then check again, and return whether to wait."""
    state.producers.append(waiter)
    return _is_above(state) or not withdraw(state.producers, waiter)


def _is_hopeless(reader: Place, loop: object, task: object) -> bool:
    """Return whether a task that waited for this reader would wait for ever."""
    if reader.loop is loop:
        return reader.is_task(task)
    return reader.thread == get_ident() or reader.is_over or reader.is_stuck


async def _wait_for_another_loop(state: ChannelState[Any], loop: Loop | None) -> None:
    """Wait in a task of `loop` for a reader in another loop while that runs. Each slice but the first asks the other loop."""
    asked: tuple[Place, Event] | None = None
    while _parks(state, waiter := async_waiter(loop)):
        try:
            await waiter.wait_at_most(LOOP_PATIENCE)
        except BaseException:
            withdraw(state.producers, waiter)
            raise
        if not withdraw(state.producers, waiter):
            return
        if asked is not None and not asked[0].has_answered(asked[1]):
            state.count_overrun()
            return
        reader = state.reader
        asked = None if reader is None else (reader, reader.ask())


def _patience(state: ChannelState[Any]) -> float | None:
    """Return for how many seconds sync code may wait for room; `None` means as long as it takes."""
    reader = state.reader
    if in_event_loop() or (reader is None and not state.patient):
        return 0
    if reader is not None:
        if reader.thread == get_ident() or reader.is_over or reader.is_stuck:
            return 0
        if reader.loop is None:
            return None
    if not is_pool_worker():
        return None
    return 0 if state.spent == state.received and may_be_waited_for() else POOL_PATIENCE


class ReceiveEnd(Generic[T_co]):
    """The receiving end of a channel, for one reader: an iterator, an async iterator, or calls. Made by `open_channel`.

    A reader that never has to wait still lets other tasks run after `FAIR_ITEMS` items or `FAIR_SECONDS`. Otherwise taking an
    item is not a checkpoint. Dropping this end closes it.

    At the end of the channel, each read raises `StopAsyncIteration`, `StopIteration` or `anyio.EndOfStream`. The sender's error
    is raised once, as by a generator, and followed by the end.
    """

    # Everything but taking an item, such as waking producers, counting and being fair, is done once for each batch. `_batch` is
    # an iterator in C that takes as many items out of the buffer as were granted.

    __slots__ = ("__weakref__", "_batch", "_is_quick", "_state", "_take", "_turn_began", "_turn_ends")

    def __init__(self, state: ChannelState[T_co]) -> None:
        self._state = state
        self._take = state.policy.taker()
        self._batch: Iterator[T_co] = iter(())
        # A turn is what the reader takes without letting other tasks run: its start, in seconds, and its end, in granted items.
        self._turn_began = 0.0
        self._turn_ends = FAIR_ITEMS
        # Whether a turn's items fit into its time. As long as that is unknown, a batch has one item.
        self._is_quick = False

    def ready(self, default: D) -> T_co | D:
        """Take the oldest item if it was already granted to this reader, else return `default`.

        For wrappers of this reader: ask here first, and only then make a coroutine that may wait.
        """
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        return default

    async def receive(self) -> T_co:
        """Take the oldest item, waiting until there is one.

        Raises:
            anyio.EndOfStream: The channel has ended: the sender closed it and all is taken, or this end is closed.
            ConcurrentReadError: Another reader is waiting.
            BaseException: The error with which the sender closed the channel, this very object.

        Cancellation: nothing is lost; an item is taken only when it is returned.
        """
        try:
            for item in self._batch:  # as in `take`, but without another coroutine
                return item
        except IndexError:
            self._revoke()
        taken: T_co | _End = await self.take(_Signal.END)
        if taken is _Signal.END:
            raise anyio.EndOfStream
        return taken

    async def __anext__(self) -> T_co:
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        try:
            taken: T_co | _End = await self.take(_Signal.END)
        except StopAsyncIteration as error:
            raise RuntimeError("the sender closed the channel with StopAsyncIteration") from error
        if taken is _Signal.END:
            raise StopAsyncIteration
        return taken

    def receive_sync(self) -> T_co:
        """Take the oldest item, blocking the thread until there is one.

        Raises:
            anyio.EndOfStream: The channel has ended: the sender closed it and all is taken, or this end is closed.
            ConcurrentReadError: Another reader is waiting.
            KeyboardInterrupt: In the main thread, while it waits; nothing is lost.
            BaseException: The error with which the sender closed the channel, this very object.
        """
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        taken = self._receive_sync()
        if taken is _Signal.END:
            raise anyio.EndOfStream
        return taken

    def __next__(self) -> T_co:
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        try:
            taken = self._receive_sync()
        except StopIteration as error:
            raise RuntimeError("the sender closed the channel with StopIteration") from error
        if taken is _Signal.END:
            raise StopIteration
        return taken

    def receive_nowait(self) -> T_co:
        """Take the oldest item.

        Raises:
            anyio.WouldBlock: There is none now.
            anyio.EndOfStream: The channel has ended: the sender closed it and all is taken, or this end is closed.
            BaseException: The error with which the sender closed the channel, this very object.
        """
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        taken = self._take_first()
        if taken is _Signal.EMPTY:
            raise anyio.WouldBlock
        if taken is _Signal.END:
            raise anyio.EndOfStream
        return taken

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self

    def __iter__(self) -> Iterator[T_co]:
        return self

    def attach(self) -> None:
        """Note that a reader begins here: in this task, or in sync code of this thread.

        From now on producers wait for it, except those that would wait for themselves. Receiving does this, too.
        """
        self._state.reader = Place(*current_task())

    @property
    def attached(self) -> bool:
        """Whether a reader has begun."""
        return self._state.reader is not None

    @property
    def ended(self) -> bool:
        """Whether the reader has received the end or the sender's error, or this end is closed."""
        return self._state.ended or self._state.left

    def close(self) -> None:
        """Close this end: the reader wants no more items. Idempotent; from any thread, also from a finalizer.

        Buffered items are discarded, and all waiting producers wake up. From now on sending raises `ChannelClosedError`, and
        receiving raises the end.
        """
        self._state.close_reader()

    async def aclose(self) -> None:
        """Close this end, as `close` does. This is not a checkpoint, so it also works in a cancelled task."""
        self._state.close_reader()

    def __del__(self) -> None:
        self._state.close_reader()

    def statistics(self) -> ChannelStatistics:
        """Return the channel's counters."""
        return self._state.statistics()

    def __repr__(self) -> str:
        return f"<ReceiveEnd {self._state.described()}>"

    def _attach(self) -> Place:
        """Note that the current task reads.

        Raises:
            EventLoopError: There is no task.
        """
        loop, task = current_task()
        if loop is None:
            raise EventLoopError("a task of asyncio or trio", "no task")
        self._state.reader = reader = Place(loop, task)
        return reader

    def _take_first(self) -> T_co | _Empty | _End:
        """Take an item after the end of a batch, wake producers if necessary, and begin the next batch."""
        state = self._state
        if not state.buffer:
            return self._tell_end() if state.shut or state.producers else _Signal.EMPTY
        try:
            item = self._take()
        except IndexError:  # a policy dropped the item at this moment
            return self._tell_end()
        if not state.buffer and not state.producers:  # the reader keeps up
            state.granted += 1
            return item
        size = len(state.buffer)
        if size <= state.low and state.producers:
            state.release_producers()
            size = len(state.buffer)
        if size > state.low:
            # The batch ends one item short of `low`: the item that brings the buffer down to `low` comes through here, to wake
            # producers. No producer is parked at or below `low`. A producer that parks during the batch does so above capacity,
            # and the batch is at most half of that, so it ends above `low`.
            size -= state.low + 1
        if size:
            limit = self._turn_ends - state.granted - 1 if self._is_quick else 1
            if size > limit:
                size = limit
        if size <= 0:
            state.granted += 1
            return item
        state.granted += size + 1
        state.tickets = repeat((), size)
        self._batch = starmap(self._take, state.tickets)
        return item

    def _tell_end(self) -> _Empty | _End:
        """Called when there is no item. Raise the sender's error if there is one and everything before it was read."""
        state = self._state
        if state.producers:
            state.release_producers()
        if not state.shut or not state.finish():
            return _Signal.EMPTY
        error, state.error = state.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # breaks a cycle: error, traceback, this frame
        return _Signal.END

    def _revoke(self) -> None:
        """Called when the buffer had fewer items than granted: a policy dropped some, or this end was closed."""
        state = self._state
        state.granted -= length_hint(state.tickets) + 1
        state.tickets = repeat((), 0)
        self._batch = iter(())

    async def take(self, default: D, end: Callable[[BaseException | None], Awaitable[D]] | None = None) -> T_co | D:
        """Take the oldest item, waiting until there is one.

        For wrappers of this reader: each item costs one coroutine, which a reader that keeps up pays for each item.

        Args:
            default: Returned at the end.
            end: If given, awaited at the end instead, and before any error or cancellation goes on. Errors: as in `receive`.
        """
        try:
            for item in self._batch:
                return item
        except IndexError:
            self._revoke()
        state = self._state
        try:
            reader = state.reader
            if reader is None or not reader.is_here():
                reader = self._attach()
            if state.buffer and self._is_turn_over():
                await pause(reader.loop)
                self._begin_turn()
            # Only if there may be items: a reader that keeps up finds none, and parks for each item.
            taken = self._take_first() if state.buffer or state.shut or state.producers else _Signal.EMPTY
            while taken is _Signal.EMPTY:
                if state.met_full:
                    # The producers of this loop can run, so one yield is enough.
                    state.met_full = False
                    await pause(reader.loop)
                else:
                    waiter = reader.waiter
                    woken = waiter.renew()
                    if self._parks(waiter):
                        try:
                            await woken
                        finally:
                            if state.slot or waiter.running is not None:
                                unpark(state.slot, waiter)
                            state.parking.release()
                self._turn_ends = state.granted + FAIR_ITEMS
                self._turn_began = monotonic()
                taken = self._take_first()
        except BaseException as error:
            if end is not None:
                await end(error)
            raise
        if taken is _Signal.END:
            return default if end is None else await end(None)
        return taken

    def _receive_sync(self) -> T_co | _End:
        """Block the thread until there is an item and take it; return `END` at the end."""
        # Threads take turns by themselves.
        self._turn_ends, self._is_quick = self._state.granted + FAIR_ITEMS, True
        reader = self._state.reader
        if reader is None or reader.loop is not None or reader.thread != get_ident():
            self._state.reader = Place(None, None)
        while (taken := self._take_first()) is _Signal.EMPTY:
            if self._parks(waiter := ThreadWaiter()):
                try:
                    waiter.wait()
                finally:
                    if self._state.slot or waiter.running is not None:
                        unpark(self._state.slot, waiter)
                    self._state.parking.release()
        return taken

    def _parks(self, waiter: Waiter) -> bool:
        """Show the waiter to producers, then check again, and return whether to wait.

        Raises:
            ConcurrentReadError: Another reader is waiting.
        """
        state = self._state
        if not state.parking.acquire(False):
            raise ConcurrentReadError
        state.slot.append(waiter)
        if state.buffer or state.shut:
            withdraw(state.slot, waiter)
            state.parking.release()
            return False
        state.parks += 1
        return True

    def _is_turn_over(self) -> bool:
        """Return whether to let other tasks run. This also judges the reader's pace, which includes its own waits."""
        items = FAIR_ITEMS - self._turn_ends + self._state.granted  # taken in this turn
        if not items:
            self._begin_turn()
            return False
        if items < FAIR_ITEMS and self._is_quick:
            return False
        used = monotonic() - self._turn_began
        self._is_quick = used * FAIR_ITEMS <= FAIR_SECONDS * items
        return items >= FAIR_ITEMS or used >= FAIR_SECONDS

    def _begin_turn(self) -> None:
        self._turn_ends = self._state.granted + FAIR_ITEMS
        self._turn_began = monotonic()
