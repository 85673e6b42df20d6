"""A channel from worker threads to a task, and from a task to a thread: items per second."""

from __future__ import annotations

import asyncio
import queue as stdlib_queue
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread

from benchmarks.scenario import ITEM, OURS, Contender, Goal, Scenario, check
from callbridge import open_channel

__all__ = ["SCENARIOS", "callbridge_threads", "culsans_threads", "run"]

Pump: TypeAlias = Callable[[int, int, int], Awaitable[float]]
"""Sends so many items through such a capacity from so many threads; returns the seconds it took."""

ITEMS = 50_000


async def _pumped(items: int, threads: int, put: Callable[[int], object], get: Callable[[], Awaitable[int]]) -> float:
    """Start the threads, take what they send, check it."""

    def produce() -> None:
        for number in range(items // threads):
            put(number)

    producers = [threading.Thread(target=produce) for _ in range(threads)]
    expected = items // threads * threads
    total = 0
    began = perf_counter()
    for producer in producers:
        producer.start()
    for _ in range(expected):
        total += await get()
    seconds = perf_counter() - began
    for producer in producers:
        await asyncio.to_thread(producer.join)  # its last item may still have to be confirmed by this loop
    each = items // threads
    check("sum of the items received", total, threads * each * (each - 1) // 2)
    return seconds


async def callbridge_threads(items: int, capacity: int, threads: int) -> float:
    """`send_sync` in threads, `async for` in a task."""
    send, receive = open_channel(capacity)
    return await _pumped(items, threads, send.send_sync, receive.__anext__)


async def memory_stream(items: int, capacity: int, threads: int) -> float:
    """`send_nowait` in threads: it has no capacity."""
    from langchain_core.tracers.memory_stream import _MemoryStream  # noqa: PLC0415 - LangChain's own channel

    stream: Any = _MemoryStream(asyncio.get_running_loop())
    received = stream.get_receive_stream()
    return await _pumped(items, threads, stream.get_send_stream().send_nowait, partial(anext, aiter(received)))


async def janus_queue(items: int, capacity: int, threads: int) -> float:
    """`sync_q.put` in threads, `async_q.get` in a task."""
    import janus  # noqa: PLC0415 - a peer may be missing

    queue: Any = janus.Queue(capacity)
    try:
        return await _pumped(items, threads, queue.sync_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


async def culsans_threads(items: int, capacity: int, threads: int) -> float:
    """`sync_put` in threads, `async_get` in a task."""
    import culsans  # noqa: PLC0415 - a peer may be missing

    queue: Any = culsans.Queue(capacity)
    return await _pumped(items, threads, queue.sync_put, queue.async_get)


async def asyncio_queue(items: int, capacity: int, threads: int) -> float:
    """`run_coroutine_threadsafe(queue.put(item))`: the only bounded way that asyncio has."""
    queue: asyncio.Queue[int] = asyncio.Queue(capacity)
    loop = asyncio.get_running_loop()

    def put(number: int) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(number), loop).result()

    return await _pumped(items, threads, put, queue.get)


async def anyio_from_thread(items: int, capacity: int, threads: int) -> float:
    """`from_thread.run(send.send, item)` in anyio's worker threads."""
    send, receive = anyio.create_memory_object_stream[int](capacity)
    each = items // threads

    def produce() -> None:
        for number in range(each):
            anyio.from_thread.run(send.send, number)

    total = 0
    async with anyio.create_task_group() as group, send, receive:
        began = perf_counter()
        for _ in range(threads):
            group.start_soon(anyio.to_thread.run_sync, produce)
        for _ in range(each * threads):
            total += await receive.receive()
        seconds = perf_counter() - began
    check("sum of the items received", total, threads * each * (each - 1) // 2)
    return seconds


async def floor(items: int, capacity: int, threads: int) -> float:
    """Threads append to lists of their own, a task adds up what is in them afterwards: no channel, no waiting."""
    lists: list[list[int]] = [[] for _ in range(threads)]
    each = items // threads

    def produce(mine: list[int]) -> None:
        for number in range(each):
            mine.append(number)

    began = perf_counter()
    producers = [threading.Thread(target=produce, args=(mine,)) for mine in lists]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    total = sum(number for mine in lists for number in mine)
    seconds = perf_counter() - began
    check("sum of the items received", total, threads * each * (each - 1) // 2)
    return seconds


def run(pump: Pump, capacity: int, threads: int, items: int) -> float:
    """Return the seconds per item in a new loop."""

    async def main() -> float:
        return await pump(items, capacity, threads)

    return asyncio.run(main()) / items


def _to_loop(threads: int, goals: tuple[Goal, ...]) -> Scenario:
    made = partial(partial, run)
    capacity = 1024
    return Scenario(
        name=f"threads-{threads}",
        title=f"channel, {threads} thread{'s' * (threads > 1)} → loop, capacity {capacity}",
        what="Threads send integers, blocking when the buffer is full; a task adds them up.",
        unit=ITEM,
        contenders=(
            Contender(OURS, made(callbridge_threads, capacity, threads), ITEMS, "ours"),
            Contender("LangChain's _MemoryStream", made(memory_stream, capacity, threads), ITEMS // 5, "incumbent"),
            Contender("janus", made(janus_queue, capacity, threads), ITEMS // 5, needs=("janus",)),
            Contender("culsans", made(culsans_threads, capacity, threads), ITEMS // 5, needs=("culsans",)),
            Contender("asyncio.Queue", made(asyncio_queue, capacity, threads), ITEMS // 40),
            Contender("anyio.from_thread", made(anyio_from_thread, capacity, threads), ITEMS // 40),
            Contender("floor", made(floor, capacity, threads), ITEMS, "floor"),
        ),
        goals=goals,
    )


# -- from a task to a thread ----------------------------------------------------------------------------------------------


def _to_thread(items: int, produce: Callable[[], Awaitable[None]], get: Callable[[], int]) -> float:
    """Run the producer in a loop of a thread of its own, and take the items here."""

    async def main() -> None:
        await produce()

    producer = threading.Thread(target=asyncio.run, args=(main(),))
    total = 0
    began = perf_counter()
    producer.start()
    for _ in range(items):
        total += get()
    seconds = perf_counter() - began
    producer.join()
    check("sum of the items received", total, items * (items - 1) // 2)
    return seconds / items


def callbridge_to_thread(capacity: int, items: int) -> float:
    """`await send.send` in a task, `for` in a thread."""
    send, receive = open_channel(capacity)

    async def produce() -> None:
        for number in range(items):
            if send.push(number):
                await send.room()

    return _to_thread(items, produce, receive.__next__)


def culsans_to_thread(capacity: int, items: int) -> float:
    """`async_put` in a task, `sync_get` in a thread."""
    import culsans  # noqa: PLC0415 - a peer may be missing

    queue: Any = culsans.Queue(capacity)

    async def produce() -> None:
        for number in range(items):
            await queue.async_put(number)

    return _to_thread(items, produce, queue.sync_get)


def simple_queue(capacity: int, items: int) -> float:
    """`queue.SimpleQueue`, written in C and without a capacity: what a thread can do at best."""
    queue: stdlib_queue.SimpleQueue[int] = stdlib_queue.SimpleQueue()

    async def produce() -> None:
        for number in range(items):
            queue.put(number)

    return _to_thread(items, produce, queue.get)


def blocking_queue(capacity: int, items: int) -> float:
    """`queue.Queue.put` in the task, which blocks its loop: what is written by hand."""
    queue: stdlib_queue.Queue[int] = stdlib_queue.Queue(capacity)

    async def produce() -> None:
        for number in range(items):
            queue.put(number)

    return _to_thread(items, produce, queue.get)


TO_THREAD = Scenario(
    name="loop-to-thread",
    title="channel, loop → thread, capacity 1024",
    what="A task sends integers, a thread adds them up. `queue.Queue` blocks the task's loop while it is full.",
    unit=ITEM,
    contenders=(
        Contender(OURS, partial(callbridge_to_thread, 1024), ITEMS, "ours"),
        Contender("queue.Queue", partial(blocking_queue, 1024), ITEMS // 2, "incumbent"),
        Contender("culsans", partial(culsans_to_thread, 1024), ITEMS // 5, needs=("culsans",)),
        Contender("floor: queue.SimpleQueue", partial(simple_queue, 1024), ITEMS, "floor"),
    ),
)

SCENARIOS = (
    _to_loop(
        1,
        (
            Goal("janus", at_least=10),
            Goal("culsans", at_least=6),
            Goal("LangChain's _MemoryStream", at_least=15),
            Goal("anyio.from_thread", at_least=200),
        ),
    ),
    _to_loop(4, ()),
    TO_THREAD,
)
