"""Threads, loops and tasks that interrupt each other wherever they can.

The interpreter switches threads every microsecond here instead of every 5 ms. Faults that no other test had found came up so:
a sweep that woke producers which refilled the buffer behind its back, a wake that reached a trio task after it had given up,
a send that raised although its item had been taken just before the end. So what is checked is what must hold whatever happens:
conservation, order, the bound, nobody left behind.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from traffic import run_asyncio, run_trio, thread

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel
from callbridge.errors import ChannelClosedError

Item = tuple[str, int]

CAPACITIES = [1, 2, 3, 7, 20]
COUNT = 60
"""Items that each producer sends."""


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def produce_in_thread(send: SendEnd[Item], name: str) -> None:
    """Send from sync code."""
    for number in range(COUNT):
        send.send_sync((name, number))


async def produce(send: SendEnd[Item], name: str) -> None:
    """Send from a task."""
    for number in range(COUNT):
        await send.send((name, number))


async def produce_cancelled(send: SendEnd[Item], name: str, seed: int) -> None:
    """Send from tasks that are cancelled after a while; what they began to send counts."""
    source = random.Random(seed)
    for number in range(COUNT):
        async with anyio.create_task_group() as group:
            group.start_soon(send.send, (name, number))
            for _ in range(source.randrange(1, 4)):
                await checkpoint()
            group.cancel_scope.cancel()


async def produce_cancelled_natively(send: SendEnd[Item], name: str, seed: int) -> None:
    """Do the same as `asyncio.timeout` does it."""
    source = random.Random(seed)
    for number in range(COUNT):
        task = asyncio.ensure_future(send.send((name, number)))
        for _ in range(source.randrange(1, 4)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


async def read_interrupted(receive: ReceiveEnd[Item], taken: list[Item], seed: int) -> None:
    """Read to the end in tasks that are cancelled after a while."""
    source = random.Random(seed)

    async def read() -> None:
        async for item in receive:
            taken.append(item)

    while not receive.ended:
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            for _ in range(source.randrange(20)):
                await checkpoint()
            if source.randrange(2):
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


async def read_interrupted_natively(receive: ReceiveEnd[Item], taken: list[Item], seed: int) -> None:
    """Do the same as `asyncio.timeout` does it."""
    source = random.Random(seed)

    async def read() -> None:
        async for item in receive:
            taken.append(item)

    while not receive.ended:
        task = asyncio.ensure_future(read())
        for _ in range(source.randrange(20)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


async def read_all(receive: ReceiveEnd[Item], taken: list[Item], _: int) -> None:
    """Read to the end."""
    async for item in receive:
        taken.append(item)


async def tasks(*functions: Callable[[], Awaitable[object]]) -> None:
    """Run coroutine functions at the same time."""
    async with anyio.create_task_group() as group:
        for function in functions:
            group.start_soon(function)


def run_producers(send: SendEnd[Item], seed: int, cancel: bool) -> list[str]:
    """Run every kind of producer at the same time; close when all have finished. Return their names."""
    names = []

    def name(kind: str) -> str:
        names.append(kind)
        return kind

    asyncio_tasks = [partial(produce, send, name(f"asyncio {number}")) for number in range(2)]
    trio_tasks = [partial(produce, send, name(f"trio {number}")) for number in range(2)]
    if cancel:
        asyncio_tasks.append(partial(produce_cancelled, send, name("asyncio, cancelled"), seed))
        asyncio_tasks.append(partial(produce_cancelled_natively, send, name("asyncio, cancelled natively"), seed))
        trio_tasks.append(partial(produce_cancelled, send, name("trio, cancelled"), seed))
    with ExitStack() as running:
        for number in range(2):
            running.enter_context(thread(produce_in_thread, send, name(f"thread {number}")))
        running.enter_context(thread(run_asyncio, tasks(*asyncio_tasks)))
        running.enter_context(thread(run_trio, tasks(*trio_tasks)))
    send.close()
    return names


def check_delivery(taken: list[Item], names: list[str]) -> None:
    """Every item of every producer, once, in order."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for name, number in taken:
        by_name[name].append(number)
    assert by_name == {name: list(range(COUNT)) for name in names}


READERS = {
    "asyncio": lambda *args: run_asyncio(read_all(*args)),
    "trio": lambda *args: run_trio(read_all(*args)),
    "asyncio, cancelled": lambda *args: run_asyncio(read_interrupted(*args)),
    "asyncio, cancelled natively": lambda *args: run_asyncio(read_interrupted_natively(*args)),
    "trio, cancelled": lambda *args: run_trio(read_interrupted(*args)),
    "thread": lambda receive, taken, _: taken.extend(receive),
}


@pytest.mark.parametrize("cancel", [False, True], ids=["", "cancelling"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_any_mix_of_producers(capacity: int, reader: str, cancel: bool) -> None:
    """Threads and tasks of two loops send to a reader in another thread."""
    send, receive = open_channel(capacity)
    taken: list[Item] = []
    names: list[str] = []
    with thread(lambda: names.extend(run_producers(send, capacity, cancel))):
        READERS[reader](receive, taken, capacity)
    check_delivery(taken, names)
    statistics = send.statistics()
    assert statistics.sent == statistics.received == len(taken)
    assert (statistics.overruns, statistics.waiting_producers, statistics.waiting_reader) == (0, 0, False)
    if not cancel:  # who is cancelled sends the next one without having waited
        assert statistics.peak <= capacity + len(names)


@pytest.mark.parametrize("run", [run_asyncio, run_trio])
def test_producers_on_the_readers_loop_and_off_it(run: Callable[[Any], Any]) -> None:
    """Wakes within a loop and from outside meet in the same deque."""

    async def main(capacity: int) -> None:
        send, receive = open_channel(capacity)
        receive.attach()
        taken: list[Item] = []

        async def read() -> None:
            taken.extend([await receive.receive() for _ in range(4 * COUNT)])

        with thread(produce_in_thread, send, "c"), thread(produce_in_thread, send, "d"):
            await tasks(partial(produce, send, "a"), partial(produce_cancelled, send, "b", capacity), read)
        check_delivery(taken, ["a", "b", "c", "d"])

    for capacity in CAPACITIES:
        run(main(capacity))


@pytest.mark.parametrize("run", [run_asyncio, run_trio])
def test_an_item_sent_while_the_sender_closes_is_delivered_or_refused(run: Callable[[Any], Any]) -> None:
    """What `push` accepted arrives before the end, and nothing else does."""
    for seed in range(60):
        source = random.Random(seed)
        send, receive = open_channel(source.choice(CAPACITIES))
        accepted: dict[str, list[int]] = {"a": [], "b": []}
        barrier = threading.Barrier(4)

        def push(
            name: str,
            send: SendEnd[Item] = send,
            accepted: dict[str, list[int]] = accepted,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            for number in range(1000):
                try:
                    send.push((name, number))
                except ChannelClosedError:
                    return
                accepted[name].append(number)

        def close(send: SendEnd[Item] = send, barrier: threading.Barrier = barrier, delay: int = source.randrange(40)) -> None:
            barrier.wait()
            for _ in range(delay):
                send.statistics()
            send.close()

        taken: list[Item] = []
        with thread(push, "a"), thread(push, "b"), thread(close):
            barrier.wait()
            run(read_all(receive, taken, 0))
        for name, numbers in accepted.items():
            assert [number for sender, number in taken if sender == name] == numbers
        assert send.statistics().sent == len(taken)


@pytest.mark.parametrize("run", [run_asyncio, run_trio])
def test_nobody_is_left_waiting_when_the_reader_leaves(run: Callable[[Any], Any]) -> None:
    """Producers that are about to park while the reader closes are not forgotten."""

    async def read_some(receive: ReceiveEnd[Item], count: int) -> None:
        for _ in range(count):
            await receive.receive()
        receive.close()

    async def produce_until_closed(send: SendEnd[Item], name: str) -> None:
        with pytest.raises(ChannelClosedError):
            await produce(send, name)

    def produce_in_thread_until_closed(send: SendEnd[Item], name: str) -> None:
        with pytest.raises(ChannelClosedError):
            produce_in_thread(send, name)

    for seed in range(40):
        source = random.Random(seed)
        send, receive = open_channel(source.choice(CAPACITIES))
        with (
            thread(produce_in_thread_until_closed, send, "a"),
            thread(produce_in_thread_until_closed, send, "b"),
            thread(run_asyncio, produce_until_closed(send, "c")),
            thread(run_trio, produce_until_closed(send, "d")),
        ):
            run(read_some(receive, source.randrange(40)))
        statistics = send.statistics()
        assert (statistics.buffered, statistics.waiting_producers) == (0, 0)


@pytest.mark.parametrize("run", [run_asyncio, run_trio])
def test_no_wake_is_lost_between_two_that_wait_for_each_other(run: Callable[[Any], Any]) -> None:
    """Question and answer, one item at a time: each lost wake would stop it."""
    ask, questions = open_channel(1)
    reply, answers = open_channel(1)

    def answer() -> None:
        for number in questions:
            reply.push(number)

    async def main() -> None:
        for number in range(1000):
            ask.push(number)
            assert await answers.receive() == number
        ask.close()

    with thread(answer):
        run(main())
