"""Whatever is cancelled, and whenever: every item sent arrives once, in order, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from traffic import drain, fill

from callbridge.channel.memory import open_channel

pytestmark = pytest.mark.anyio


class TestCancellation:
    async def cancel_parked(self, function: Callable[..., Awaitable[object]], before: Callable[[], None]) -> None:
        """Park a call in a task, call `before`, then cancel the task in the same tick."""
        async with anyio.create_task_group() as group:
            group.start_soon(function)
            await anyio.wait_all_tasks_blocked()
            before()
            group.cancel_scope.cancel()

    async def test_a_cancelled_receive_loses_nothing(self) -> None:
        """The next read continues where the cancelled one waited."""
        send, receive = open_channel(4)
        await self.cancel_parked(receive.receive, lambda: None)
        assert not receive.statistics().waiting_reader
        fill(send, 2)
        assert [await receive.receive(), await receive.receive()] == [0, 1]

    async def test_a_receive_cancelled_after_it_was_woken_loses_nothing(self) -> None:
        """The wake carries no item, so there is none to lose."""
        send, receive = open_channel(4)
        await self.cancel_parked(receive.receive, lambda: fill(send, 1))
        assert drain(receive) in ([], [0])  # a scope that sees the task as woken lets it have its item
        fill(send, 1, begin=1)
        assert await receive.receive() == 1

    async def test_a_wake_for_a_wait_that_was_cancelled_disturbs_the_next_one_at_most(self) -> None:
        """A thread took the waiter, the reader was cancelled and waits again, and only then does the thread wake it."""
        send, receive = open_channel(4)
        taken: list[Any] = []
        await self.cancel_parked(receive.receive, lambda: taken.append(send._state.slot.pop()))
        got: list[object] = []

        async def read() -> None:
            got.append(await receive.receive())

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            taken[0].wake()
            await anyio.wait_all_tasks_blocked()
            assert got == []
            assert len(send._state.slot) == 1
            send.push("item")
        assert got == ["item"]
        assert not receive.statistics().waiting_reader

    async def test_an_item_is_still_there_after_native_cancellation(self) -> None:
        """`asyncio.timeout`, `wait_for` and `TaskGroup` cancel like this; anyio's memory streams lose the item."""

        async def main() -> None:
            send, receive = open_channel(4)
            task = asyncio.create_task(receive.receive())
            await asyncio.sleep(0)
            send.push("item")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await receive.receive() == "item"
            assert receive.statistics().received == 1

        await anyio.to_thread.run_sync(asyncio.run, main())

    async def test_a_cancelled_send_is_delivered(self) -> None:
        """The call is the point of no return; the wait for room is only the price."""
        send, receive = open_channel(1)
        fill(send, 1)
        await self.cancel_parked(lambda: send.send(1), lambda: None)
        assert send.statistics().waiting_producers == 0
        assert drain(receive) == [0, 1]

    async def test_a_producer_cancelled_after_it_was_woken_leaves_no_other_waiting(self) -> None:
        """A wake that comes to nothing is not missed: room is told to all."""
        send, receive = open_channel(1)
        fill(send, 1)
        async with anyio.create_task_group() as group:
            group.start_soon(send.send, 1)
            await anyio.wait_all_tasks_blocked()
            await self.cancel_parked(lambda: send.send(2), lambda: [drain(receive)])
            assert drain(receive) == []
            await send.send(3)
        assert send.statistics().waiting_producers == 0
        assert drain(receive) == [3]

    async def test_a_reader_cancelled_while_it_lets_others_run_loses_nothing(self) -> None:
        """Being fair is a cancellation point, before an item is taken."""
        send, receive = open_channel(1000)
        fill(send, 500)
        taken: list[int] = []

        async def read() -> None:
            async for item in receive:
                taken.append(item)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await checkpoint()
            group.cancel_scope.cancel()
        assert 0 < len(taken) < 500
        assert taken + drain(receive) == list(range(500))

    @pytest.mark.parametrize("delay", range(12))
    async def test_of_both_sides_at_every_tick(self, delay: int) -> None:
        """Whenever either is cancelled, every item sent arrives, once and in order."""
        send, receive = open_channel(2)
        sent: list[int] = []
        taken: list[int] = []

        async def produce(first: int) -> None:
            for number in range(first, first + 20):
                sent.append(number)
                await send.send(number)

        async def read() -> None:
            async for item in receive:
                taken.append(item)

        for side in ("reader", "producer"):
            async with anyio.create_task_group() as group:
                tasks = {"reader": read, "producer": lambda: produce(len(sent))}
                scopes: dict[str, anyio.CancelScope] = {}

                async def run(name: str, tasks: dict[str, Any] = tasks, scopes: dict[str, anyio.CancelScope] = scopes) -> None:
                    with anyio.CancelScope() as scopes[name]:
                        await tasks[name]()

                for name in tasks:
                    group.start_soon(run, name)
                for _ in range(delay):
                    await checkpoint()
                if side in scopes:
                    scopes[side].cancel()
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        taken += drain(receive)
        assert taken == sent
        statistics = send.statistics()
        assert (statistics.waiting_producers, statistics.waiting_reader) == (0, False)
