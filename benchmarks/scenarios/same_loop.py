"""A channel between two tasks of one loop: items per second, for several capacities."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias

import anyio

from benchmarks.scenario import ITEM, OURS, Contender, Goal, Scenario, check
from callbridge import open_channel

__all__ = ["PUMPS", "SCENARIOS", "Pump", "on_asyncio", "on_trio"]

Pump: TypeAlias = Callable[[int, int], Awaitable[float]]
"""Sends so many items through a channel of such a capacity, in order; returns the seconds it took."""

ITEMS = 50_000


async def _pumped(items: int, produce: Callable[[], Awaitable[None]], consume: Callable[[], Awaitable[int]]) -> float:
    """Run both tasks; return the seconds that passed until the consumer had all."""
    began = perf_counter()
    producer = asyncio.ensure_future(produce())
    total = await consume()
    seconds = perf_counter() - began
    await producer
    check("sum of the items received", total, items * (items - 1) // 2)
    return seconds


async def callbridge_send(items: int, capacity: int) -> float:
    """`await send.send(item)` and `async for`."""
    send, receive = open_channel(capacity)

    async def produce() -> None:
        for number in range(items):
            await send.send(number)
        send.close()

    async def consume() -> int:
        total = 0
        async for number in receive:
            total += number
        return total

    return await _pumped(items, produce, consume)


async def callbridge_push(items: int, capacity: int) -> float:
    """`push`, and `await room()` if told to: what the handlers do."""
    send, receive = open_channel(capacity)

    async def produce() -> None:
        for number in range(items):
            if send.push(number):
                await send.room()
        send.close()

    async def consume() -> int:
        total = 0
        async for number in receive:
            total += number
        return total

    return await _pumped(items, produce, consume)


async def asyncio_queue(items: int, capacity: int) -> float:
    """`await queue.put(item)` and `await queue.get()`."""
    queue: asyncio.Queue[int] = asyncio.Queue(capacity)

    async def produce() -> None:
        for number in range(items):
            await queue.put(number)

    async def consume() -> int:
        total = 0
        for _ in range(items):
            total += await queue.get()
        return total

    return await _pumped(items, produce, consume)


async def anyio_stream(items: int, capacity: int) -> float:
    """`await send.send(item)` and `async for`."""
    send, receive = anyio.create_memory_object_stream[int](capacity)

    async def produce() -> None:
        async with send:
            for number in range(items):
                await send.send(number)

    async def consume() -> int:
        total = 0
        async with receive:
            async for number in receive:
                total += number
        return total

    return await _pumped(items, produce, consume)


async def memory_stream(items: int, capacity: int) -> float:
    """`await send.send(item)` and `async for`; it has no capacity, so nobody ever waits for room."""
    from langchain_core.tracers.memory_stream import _MemoryStream  # noqa: PLC0415 - LangChain's own channel

    stream: Any = _MemoryStream(asyncio.get_running_loop())
    send = stream.get_send_stream()

    async def produce() -> None:
        for number in range(items):
            await send.send(number)
        await send.aclose()

    async def consume() -> int:
        total = 0
        async for number in stream.get_receive_stream():
            total += number
        return total

    return await _pumped(items, produce, consume)


async def janus_queue(items: int, capacity: int) -> float:
    """`await queue.async_q.put(item)` and `get()`."""
    import janus  # noqa: PLC0415 - a peer may be missing

    queue: Any = janus.Queue(capacity)

    async def produce() -> None:
        for number in range(items):
            await queue.async_q.put(number)

    async def consume() -> int:
        total = 0
        for _ in range(items):
            total += await queue.async_q.get()
        return total

    try:
        return await _pumped(items, produce, consume)
    finally:
        await queue.aclose()


async def culsans_queue(items: int, capacity: int) -> float:
    """`await queue.async_put(item)` and `async_get()`."""
    import culsans  # noqa: PLC0415 - a peer may be missing

    queue: Any = culsans.Queue(capacity)

    async def produce() -> None:
        for number in range(items):
            await queue.async_put(number)

    async def consume() -> int:
        total = 0
        for _ in range(items):
            total += await queue.async_get()
        return total

    return await _pumped(items, produce, consume)


async def floor(items: int, capacity: int) -> float:
    """A coroutine awaited to append, an async generator's step to take: what is left without any channel or switch."""
    buffer: deque[int] = deque()

    async def send(number: int) -> None:
        buffer.append(number)

    async def received() -> AsyncIterator[int]:
        for number in range(items):
            await send(number)
            yield buffer.popleft()

    began = perf_counter()
    total = 0
    async for number in received():
        total += number
    seconds = perf_counter() - began
    check("sum of the items received", total, items * (items - 1) // 2)
    return seconds


async def _trio_pumped(items: int, send: Any, receive: Any, close: Callable[[], Any]) -> float:
    import trio  # noqa: PLC0415 - a peer may be missing

    async def produce() -> None:
        for number in range(items):
            await send.send(number)
        close()

    total = 0
    began = perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async for number in receive:
            total += number
    seconds = perf_counter() - began
    check("sum of the items received", total, items * (items - 1) // 2)
    return seconds


async def callbridge_trio(items: int, capacity: int) -> float:
    """`await send.send(item)` and `async for`, in trio."""
    send, receive = open_channel(capacity)
    return await _trio_pumped(items, send, receive, send.close)


async def trio_channel(items: int, capacity: int) -> float:
    """The same on trio's own channel."""
    import trio  # noqa: PLC0415 - a peer may be missing

    send, receive = trio.open_memory_channel[int](capacity)
    return await _trio_pumped(items, send, receive, send.close)


def on_asyncio(pump: Pump, capacity: int, items: int) -> float:
    """Return the seconds per item of a pump in a new asyncio loop."""
    return asyncio.run(_coroutine(pump, items, capacity)) / items


def on_trio(pump: Pump, capacity: int, items: int) -> float:
    """Do the same in trio."""
    import trio  # noqa: PLC0415 - a peer may be missing

    seconds: float = trio.run(_coroutine, pump, items, capacity)
    return seconds / items


async def _coroutine(pump: Pump, items: int, capacity: int) -> float:
    return await pump(items, capacity)


PUMPS: dict[str, Pump] = {
    OURS: callbridge_push,
    f"{OURS}, await send": callbridge_send,
    "asyncio.Queue": asyncio_queue,
    "LangChain's _MemoryStream": memory_stream,
    "anyio memory stream": anyio_stream,
    "janus": janus_queue,
    "culsans": culsans_queue,
    "floor": floor,
}
"""The contenders on asyncio by name."""


def _contenders(capacity: int) -> tuple[Contender, ...]:
    run = partial(partial, on_asyncio)
    trio = partial(partial, on_trio)
    awaited = f"{OURS}, await send"
    return (
        Contender(OURS, run(callbridge_push, capacity), ITEMS, "ours"),
        Contender(awaited, run(callbridge_send, capacity), ITEMS, "peer"),
        Contender("LangChain's _MemoryStream", run(memory_stream, capacity), ITEMS // 5, "incumbent"),
        Contender("asyncio.Queue", run(asyncio_queue, capacity), ITEMS),
        Contender("anyio memory stream", run(anyio_stream, capacity), ITEMS // 5),
        Contender("janus", run(janus_queue, capacity), ITEMS // 5, needs=("janus",)),
        Contender("culsans", run(culsans_queue, capacity), ITEMS // 5, needs=("culsans",)),
        Contender(f"{OURS}, trio", trio(callbridge_trio, capacity), ITEMS, needs=("trio",)),
        Contender("trio memory channel", trio(trio_channel, capacity), ITEMS // 5, needs=("trio",)),
        Contender("floor", run(floor, capacity), ITEMS, "floor"),
    )


def _scenario(capacity: int) -> Scenario:
    return Scenario(
        name=f"same-loop-{capacity}",
        title=f"channel, one loop, capacity {capacity}",
        what="One task sends integers, another one adds them up. `callbridge` is `push`, and `room()` when told to.",
        unit=ITEM,
        contenders=_contenders(capacity),
        goals=(
            Goal("anyio memory stream", at_least=15),
            Goal("asyncio.Queue", at_least=2),
            Goal("LangChain's _MemoryStream", at_least=10),
        ),
    )


SCENARIOS = (_scenario(64), _scenario(1024))
