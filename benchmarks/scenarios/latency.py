"""The time of one item from a thread to a waiting task, in a quiet process and next to a thread that computes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread

from benchmarks.scenario import LATENCY, OURS, Contender, Goal, Scenario, check
from callbridge import open_channel

__all__ = ["SCENARIOS"]

Connection: TypeAlias = "tuple[Callable[[float], object], Callable[[], Awaitable[float]]]"
"""How a thread sends a time, and how a task receives it."""

QUIET_BETWEEN = 0.001
"""Seconds between two items: long enough for the task to wait again."""

COMPUTES_FOR = 0.008
"""Seconds for which the thread computes after each item: longer than the interpreter's switch interval of 5 ms."""


def callbridge_channel() -> Connection:
    """`send_sync` and `receive`."""
    send, receive = open_channel(1024)
    return send.send_sync, receive.receive


def asyncio_queue() -> Connection:
    """`call_soon_threadsafe(queue.put_nowait, item)` and `get`."""
    queue: asyncio.Queue[float] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    return partial(loop.call_soon_threadsafe, queue.put_nowait), queue.get


def memory_stream() -> Connection:
    """`send_nowait` and `async for`."""
    from langchain_core.tracers.memory_stream import _MemoryStream  # noqa: PLC0415 - LangChain's own channel

    stream: Any = _MemoryStream(asyncio.get_running_loop())
    return stream.get_send_stream().send_nowait, aiter(stream.get_receive_stream()).__anext__


def janus_queue() -> Connection:
    """`sync_q.put` and `async_q.get`."""
    import janus  # noqa: PLC0415 - a peer may be missing

    queue: Any = janus.Queue(1024)
    return queue.sync_q.put, queue.async_q.get


def culsans_queue() -> Connection:
    """`sync_put` and `async_get`."""
    import culsans  # noqa: PLC0415 - a peer may be missing

    queue: Any = culsans.Queue(1024)
    return queue.sync_put, queue.async_get


def anyio_from_thread() -> Connection:
    """`from_thread.run(send.send, item)` and `receive`."""
    send, receive = anyio.create_memory_object_stream[float](1024)
    return partial(anyio.from_thread.run, send.send), receive.receive


def future() -> Connection:
    """`call_soon_threadsafe` with a future's `set_result`: it wakes the loop once, and does nothing else."""
    loop = asyncio.get_running_loop()
    early: deque[float] = deque()
    waiting: deque[asyncio.Future[float]] = deque()

    def arrive(sent: float) -> None:
        if waiting:
            waiting.popleft().set_result(sent)
        else:
            early.append(sent)

    async def receive() -> float:
        if early:
            return early.popleft()
        waiting.append(loop.create_future())
        return await waiting[0]

    return partial(loop.call_soon_threadsafe, arrive), receive


async def _latencies(connect: Callable[[], Connection], items: int, computes: bool) -> list[float]:
    send, receive = connect()
    waits = threading.Event()

    def produce() -> None:
        for _ in range(items):
            if not computes:  # otherwise the task is waiting again already
                waits.wait()
                waits.clear()
                time.sleep(QUIET_BETWEEN)
            send(perf_counter())
            done = perf_counter() + COMPUTES_FOR * computes
            while perf_counter() < done:
                pass

    took = []
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, produce)
        for _ in range(items):
            waits.set()
            sent = await receive()
            took.append(perf_counter() - sent)
    check("items received", len(took), items)
    return took


def run(connect: Callable[[], Connection], computes: bool, items: int) -> float:
    """Return the median time of an item, in seconds."""
    return median(asyncio.run(_latencies(connect, items, computes)))


def _scenario(name: str, title: str, what: str, computes: bool, items: int, goal: Goal) -> Scenario:
    def contender(name: str, connect: Callable[[], Connection], role: Any = "peer", needs: tuple[str, ...] = ()) -> Contender:
        return Contender(name, partial(run, connect, computes), items, role, needs=needs, quick=items // 4)

    return Scenario(
        name=name,
        title=title,
        what=what,
        unit=LATENCY,
        contenders=(
            contender(OURS, callbridge_channel, "ours"),
            contender("LangChain's _MemoryStream", memory_stream, "incumbent"),
            contender("asyncio.Queue, call_soon_threadsafe", asyncio_queue),
            contender("janus", janus_queue, needs=("janus",)),
            contender("culsans", culsans_queue, needs=("culsans",)),
            contender("anyio.from_thread", anyio_from_thread),
            contender("floor: one wake", future, "floor"),
        ),
        goals=(goal,),
        rounds=7,
    )


SCENARIOS = (
    _scenario(
        "latency-idle",
        "latency of one item, thread → parked task",
        "The median time from `send` in a thread to the task that waits for it; the thread rests in between.",
        False,
        200,
        Goal("asyncio.Queue, call_soon_threadsafe", at_most=1.1),
    ),
    _scenario(
        "latency-busy",
        "latency of one item, from a thread that computes",
        "The same, from a thread that computes for 8 ms after each item and so keeps the interpreter lock.",
        True,
        20,
        Goal("asyncio.Queue, call_soon_threadsafe", at_most=0.1, text="1/10"),
    ),
)
