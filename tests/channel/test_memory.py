"""The two ends of a channel: delivery, back-pressure, one reader, fairness and statistics."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from traffic import drain, fill, send_all, send_all_sync, thread

from callbridge.channel import memory
from callbridge.channel.memory import ChannelStatistics, ReceiveEnd, SendEnd, open_channel
from callbridge.errors import (
    CapacityError,
    ConcurrentReadError,
    EventLoopError,
    FreeThreadingWarning,
    OverflowPolicyError,
)

pytestmark = pytest.mark.anyio


class TestArguments:
    @pytest.mark.parametrize("capacity", [0, -1, True, 1.5, "3", None])
    def test_a_capacity_that_is_none_is_refused(self, capacity: Any) -> None:
        """The error names the value and what is allowed."""
        with pytest.raises(CapacityError) as caught:
            open_channel(capacity)
        assert (caught.value.name, caught.value.value) == ("capacity", capacity)
        assert "at least 1" in str(caught.value)

    @pytest.mark.parametrize("overflow", ["", "Block", None, []])
    def test_an_unknown_policy_is_refused(self, overflow: Any) -> None:
        """The error names the value and the policies there are."""
        with pytest.raises(OverflowPolicyError) as caught:
            open_channel(4, overflow=overflow)
        assert caught.value.value == overflow
        assert "'drop_oldest'" in str(caught.value)

    def test_the_default_capacity_is_256(self) -> None:
        """As the contract says."""
        send, _receive = open_channel()
        assert send.statistics().capacity == 256

    def test_an_interpreter_without_its_lock_is_warned_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The warning says what may fail there, and what to do. The channel opens all the same."""
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
        with pytest.warns(FreeThreadingWarning, match="PYTHON_GIL=1"):
            send, receive = open_channel()
        send.push(1)
        assert receive.receive_nowait() == 1

    def test_an_interpreter_with_its_lock_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Warnings are errors here."""
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
        open_channel()


class TestDelivery:
    @pytest.mark.parametrize("capacity", [1, 2, 3, 64, 65, 300])
    async def test_in_order_and_then_the_end(self, capacity: int) -> None:
        """Every item arrives once, in order; the end is told each time it is asked for."""
        send, receive = open_channel(capacity)
        async with anyio.create_task_group() as group:
            group.start_soon(send_all, send, 500)
            assert [item async for item in receive] == list(range(500))
        assert [item async for item in receive] == []
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await receive.receive()

    async def test_of_several_producers_each_in_its_order(self) -> None:
        """Producers interleave; what one sends stays in order."""
        send, receive = open_channel(3)

        async def produce(name: str) -> None:
            for number in range(50):
                await send.send((name, number))

        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(produce, name)
            items = [await receive.receive() for _ in range(150)]
        for name in "abc":
            assert [number for sender, number in items if sender == name] == list(range(50))

    async def test_falsy_items(self) -> None:
        """Nothing stands for the end but the end."""
        send, receive = open_channel(8)
        items = [None, 0, "", False, [], {}]
        for item in items:
            send.push(item)
        send.close()
        assert [item async for item in receive] == items

    def test_to_sync_code(self) -> None:
        """`for` reads as well, and the end is told each time."""
        send, receive = open_channel(4)
        receive.attach()
        with thread(send_all_sync, send, 500):
            assert list(receive) == list(range(500))
        assert list(receive) == []
        with pytest.raises(anyio.EndOfStream):
            receive.receive_sync()

    async def test_to_a_call(self) -> None:
        """`receive`, `receive_sync` and `receive_nowait` take one item each."""
        send, receive = open_channel(4)
        fill(send, 3)
        assert [await receive.receive(), receive.receive_sync(), receive.receive_nowait()] == [0, 1, 2]
        with pytest.raises(anyio.WouldBlock):
            receive.receive_nowait()
        send.close()
        with pytest.raises(anyio.EndOfStream):
            receive.receive_nowait()

    async def test_reading_on_after_a_pause(self) -> None:
        """A loop that was left can be entered again; nothing is lost in between."""
        send, receive = open_channel(16)
        fill(send, 10)
        send.close()
        first = []
        async for item in receive:
            first.append(item)
            if item == 3:
                break
        assert first + [item async for item in receive] == list(range(10))

    async def test_no_checkpoint_while_there_is_room_or_an_item(self) -> None:
        """A cancelled task can still send its end and read what there is."""
        send, receive = open_channel(4)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await send.send("last words")
            assert await receive.receive() == "last words"
            await receive.aclose()
        assert send.reader_left


class TestBackPressure:
    @pytest.mark.parametrize("capacity", [1, 2, 7, 64, 65, 100])
    @pytest.mark.parametrize("producers", [1, 4])
    async def test_producers_wait_at_capacity_and_one_each(self, capacity: int, producers: int) -> None:
        """The bound: capacity, and one item per concurrent producer, also before a reader has begun."""
        send, receive = open_channel(capacity)
        async with anyio.create_task_group() as group:
            for _ in range(producers):
                group.start_soon(send_all, send, 300, False)
            await anyio.wait_all_tasks_blocked()
            statistics = send.statistics()
            assert capacity < statistics.buffered <= capacity + producers
            assert statistics.waiting_producers == producers
            for _ in range(300 * producers):
                await receive.receive()
        statistics = send.statistics()
        assert statistics.peak <= capacity + producers
        assert (statistics.sent, statistics.received, statistics.overruns) == (300 * producers, 300 * producers, 0)

    async def test_push_says_when_to_wait(self) -> None:
        """It returns whether the buffer is above capacity."""
        send, receive = open_channel(2)
        assert [send.push(number) for number in range(4)] == [False, False, True, True]
        assert drain(receive) == [0, 1, 2, 3]
        assert send.push(4) is False

    async def test_producers_are_woken_at_half_of_capacity(self) -> None:
        """Neither for each item taken nor when all is taken: two tasks are switched once per half buffer."""
        send, receive = open_channel(10)
        receive.attach()
        async with anyio.create_task_group() as group:
            group.start_soon(send_all, send, 12)
            await anyio.wait_all_tasks_blocked()
            assert send.statistics().buffered == 11
            for taken in range(1, 6):
                await receive.receive()
                assert send.statistics().waiting_producers == 1, taken
            await receive.receive()
            assert send.statistics().buffered == 5
            assert send.statistics().waiting_producers == 0

    async def test_room_returns_at_once_while_there_is_room(self) -> None:
        """There is nothing to wait for."""
        send, _receive = open_channel(1)
        fill(send, 1)
        await send.room()
        send.room_sync()
        assert send.statistics().waits == 0

    async def test_waiting_outside_tasks_is_an_error(self) -> None:
        """There is nothing that could wake the code; the item is delivered all the same."""
        send, receive = open_channel(1)
        fill(send, 1)
        coroutine = send.send(1)
        with pytest.raises(EventLoopError), thread(coroutine.send, None):
            pass
        assert drain(receive) == [0, 1]
        reading = receive.receive()
        with pytest.raises(EventLoopError), thread(reading.send, None):
            pass


class TestOneReader:
    async def test_a_second_task_that_would_wait_is_refused(self) -> None:
        """The first one goes on waiting."""
        send, receive = open_channel(4)
        items: list[int] = []

        async def read() -> None:
            items.append(await receive.receive())

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ConcurrentReadError):
                await receive.receive()
            with pytest.raises(ConcurrentReadError):
                receive.receive_sync()
            send.push(1)
        assert items == [1]

    def test_a_second_thread_that_would_wait_is_refused(self, parked: threading.Semaphore) -> None:
        """The same for threads."""
        send, receive = open_channel(4)
        with thread(receive.receive_sync):
            parked.acquire()
            with pytest.raises(ConcurrentReadError):
                receive.receive_sync()
            send.push(1)

    async def test_another_task_may_read_after_the_first(self) -> None:
        """One at a time is fine, and so is one that finds an item."""
        send, receive = open_channel(4)
        fill(send, 2)
        assert await receive.receive() == 0
        items: list[int] = []

        async def read() -> None:
            items.append(await receive.receive())

        async with anyio.create_task_group() as group:
            group.start_soon(read)
        assert items == [1]


class TestFairness:
    def turns(self, anyio_backend: str) -> int:
        """Return how many turns in a row a task may have: trio shuffles those that can run."""
        return 1 if anyio_backend == "asyncio" else 2

    async def gaps(self, receive: ReceiveEnd[Any], between: Callable[[], None]) -> list[int]:
        """Read to the end beside another task; return how many items were read between its turns."""
        turns = [0]
        taken = 0

        async def other() -> None:
            while True:
                await checkpoint()
                turns.append(taken)

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            await checkpoint()
            async for _ in receive:
                taken += 1
                between()
            group.cancel_scope.cancel()
        turns.append(taken)
        return [after - before for before, after in itertools.pairwise(turns)]

    async def test_a_reader_that_never_waits_lets_others_run(self, anyio_backend: str) -> None:
        """After a number of items at the latest."""
        send, receive = open_channel(1000)
        fill(send, 1000)
        send.close()
        gaps = await self.gaps(receive, lambda: None)
        assert sum(gaps) == 1000
        assert max(gaps) <= (memory.FAIR_ITEMS + 1) * self.turns(anyio_backend)

    async def test_a_slow_reader_lets_others_run_by_the_clock(
        self, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
    ) -> None:
        """With a body of 1 ms per item, after 5 of them."""
        now = 0.0

        def work() -> None:
            nonlocal now
            now += 0.001

        monkeypatch.setattr(memory, "monotonic", lambda: now)
        send, receive = open_channel(1000)
        fill(send, 500)
        send.close()
        gaps = await self.gaps(receive, work)
        assert sum(gaps) == 500
        assert max(gaps) <= 6 * self.turns(anyio_backend)


class TestTheLastActOfATask:
    """The last act of a task wakes the reader after whoever awaits the task, and at once otherwise."""

    async def read_while(self, work: Callable[[SendEnd[str], list[str]], Awaitable[None]]) -> tuple[list[str], int]:
        """Read beside a coroutine that sends and notes what it does; return the notes, with what was read, and the wakes."""
        send, receive = open_channel(4)
        notes: list[str] = []

        async def read() -> None:
            async for item in receive:
                notes.append(f"read {item}")

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await work(send, notes)
            await anyio.wait_all_tasks_blocked()
            send.close()
        return notes, send.statistics().parks - 1

    async def step(self, send: SendEnd[str]) -> bool:
        return send.push("inner", sys._getframe())

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_who_awaits_the_task_is_first_and_sends_for_the_same_wake(self) -> None:
        async def work(send: SendEnd[str], notes: list[str]) -> None:
            await asyncio.create_task(self.step(send))
            notes.append("task has ended")
            send.push("outer")

        assert await self.read_while(work) == (["task has ended", "read inner", "read outer"], 1)

    async def test_a_task_that_goes_on_wakes_at_once(self) -> None:
        async def work(send: SendEnd[str], notes: list[str]) -> None:
            await self.step(send)
            await anyio.wait_all_tasks_blocked()
            notes.append("goes on")

        assert await self.read_while(work) == (["read inner", "goes on"], 1)

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_a_reader_in_another_loop_is_woken_at_once(self) -> None:
        async def work(send: SendEnd[str], notes: list[str]) -> None:
            await asyncio.to_thread(asyncio.run, self.step(send))

        assert await self.read_while(work) == (["read inner"], 1)


class TestStatistics:
    async def test_count_what_happened(self) -> None:
        """All of it, at both ends alike."""
        send, receive = open_channel(4)
        receive.attach()
        async with anyio.create_task_group() as group:
            group.start_soon(send_all, send, 7)
            await anyio.wait_all_tasks_blocked()
            expected = ChannelStatistics(
                capacity=4,
                overflow="block",
                buffered=5,
                peak=5,
                sent=5,
                received=0,
                waits=1,
                parks=0,
                overruns=0,
                dropped=0,
                merged=0,
                refused=0,
                discarded=0,
                waiting_producers=1,
                waiting_reader=False,
            )
            assert send.statistics() == receive.statistics() == expected
            assert [item async for item in receive] == list(range(7))
        statistics = send.statistics()
        assert (statistics.sent, statistics.received, statistics.buffered, statistics.peak) == (7, 7, 0, 5)

    async def test_count_items_within_a_batch(self) -> None:
        """Received is exact at any time, although a reader counts by batches."""
        send, receive = open_channel(100)
        fill(send, 80)
        for taken in range(1, 81):
            await receive.receive()
            statistics = send.statistics()
            assert (statistics.received, statistics.buffered, statistics.sent) == (taken, 80 - taken, 80)

    async def test_count_parks(self) -> None:
        """Each time the reader has to wait for an item."""
        send, receive = open_channel(4)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(receive.receive)
                await anyio.wait_all_tasks_blocked()
                assert receive.statistics().waiting_reader
                send.push(number)
                await anyio.wait_all_tasks_blocked()
        assert receive.statistics().parks == 3


def test_the_ends_show_what_the_channel_is_doing() -> None:
    """Open or closed, by whom, and how full."""
    send, receive = open_channel(4)
    send.push(1)
    assert repr(send) == "<SendEnd open overflow='block' capacity=4 buffered=1>"
    send.close()
    assert repr(receive) == "<ReceiveEnd closed by sender overflow='block' capacity=4 buffered=1>"
    receive.close()
    assert repr(send) == "<SendEnd closed by receiver overflow='block' capacity=4 buffered=0>"
