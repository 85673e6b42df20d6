"""Slow readers: the overflow policies, the capacity, and the memory use."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from time import perf_counter
from typing import Any

import callbridge
from benchmarks.scenario import BYTES, ITEM, OURS, Contender, Scenario, check
from benchmarks.scenarios.models import Talker
from benchmarks.scenarios.same_loop import asyncio_queue, callbridge_push, on_asyncio
from benchmarks.scenarios.threads import callbridge_threads, culsans_threads, run
from callbridge import open_channel

__all__ = ["SCENARIOS"]

ITEMS = 50_000
BURST = 1000
CAPACITIES = (1, 4, 16, 64, 256, 1024, 8192)


def _event(number: int) -> dict[str, Any]:
    return {"event": "on_chat_model_stream", "run_id": f"run-{number % 2}", "data": {"chunk": "tok "}}


def _merge(events: Any) -> Any:
    return events[0] | {"data": {"chunk": "".join(event["data"]["chunk"] for event in events)}}


def policy(overflow: str, items: int) -> float:
    """Return the seconds per item of bursts that are four times as long as the buffer."""
    overflowing: Any = overflow

    async def main() -> float:
        send, receive = open_channel(BURST // 4, overflow=overflowing, merge=_merge)
        events = [_event(number) for number in range(items)]

        async def produce() -> None:
            for number, event in enumerate(events):
                if send.push(event):
                    await send.room()
                if not number % BURST:
                    await asyncio.sleep(0)
            send.close()

        began = perf_counter()
        producer = asyncio.ensure_future(produce())
        received = 0
        async for _ in receive:
            received += 1
        seconds = perf_counter() - began
        await producer
        counters = receive.statistics()
        check("items accounted for", received + counters.dropped + counters.merged, items)
        check("items buffered at most", counters.peak <= counters.capacity + 1, True)
        return seconds

    return asyncio.run(main()) / items


def dropping_deque(items: int) -> float:
    """Return the same for a `deque(maxlen=...)`, which drops the oldest item without looking at it."""
    buffer: deque[Any] = deque(maxlen=BURST // 4)
    events = [_event(number) for number in range(items)]
    received = 0
    began = perf_counter()
    for number, event in enumerate(events):
        buffer.append(event)
        if not number % BURST:
            while buffer:
                buffer.popleft()
                received += 1
    seconds = perf_counter() - began
    check("items received", received > items // BURST, items > BURST)
    return seconds / items


POLICIES = Scenario(
    name="policies",
    title="overflow policies, bursts of four times the capacity",
    what="A task sends chunks of two runs in bursts, another one takes what is left of them.",
    unit=ITEM,
    contenders=(
        Contender(OURS, partial(policy, "block"), ITEMS, "ours"),
        *(Contender(name, partial(policy, name), ITEMS) for name in ("coalesce", "drop_oldest", "drop_newest")),
        Contender("floor: deque(maxlen)", dropping_deque, ITEMS, "floor", quick=ITEMS),
    ),
)


# -- a slow reader --------------------------------------------------------------------------------------------------------


async def _slowly(events: AsyncIterator[Any]) -> None:
    """Read a run to its end, so slowly that the model is always ahead."""
    async for _ in events:
        for _ in range(3):
            await asyncio.sleep(0)


def slow_reader(read: Any, tokens: int) -> float:
    """Return the peak memory of Python objects, in bytes above the level before the run."""
    model = Talker(tokens=tokens, waits=True)
    tracemalloc.start()
    try:
        asyncio.run(_slowly(read(model)))
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def _ours(capacity: int, model: Talker) -> AsyncIterator[Any]:
    return callbridge.astream_events(model, "tea", capacity=capacity)


def _theirs(model: Talker) -> AsyncIterator[Any]:
    return model.astream_events("tea", version="v2")


def _bare(model: Talker) -> AsyncIterator[Any]:
    return model.astream("tea")


SLOW = Scenario(
    name="slow-reader",
    title="peak memory of a run whose reader is slow, 5 000 tokens",
    what="Python objects at most, while a reader takes one event in the time in which the model makes three. LangChain's model "
    "remembers its own chunks until its run has ended; that much is in all of them.",
    unit=BYTES,
    contenders=(
        Contender(OURS, partial(slow_reader, partial(_ours, 256)), 5000, "ours"),
        Contender("callbridge, capacity=16", partial(slow_reader, partial(_ours, 16)), 5000),
        Contender("astream_events(v2)", partial(slow_reader, _theirs), 5000, "incumbent"),
        Contender("plain astream", partial(slow_reader, _bare), 5000, "floor"),
    ),
    rounds=3,
)


# -- capacity -------------------------------------------------------------------------------------------------------------


def _sweep(name: str, title: str, ours: Any, peer: str, theirs: Any, needs: tuple[str, ...]) -> Scenario:
    contenders = []
    for capacity in CAPACITIES:
        # Switching threads for nearly every item is slow.
        items = ITEMS if capacity >= 64 or not needs else 4000
        contenders += [
            Contender(OURS, partial(ours, capacity), items, "ours", at=capacity),
            Contender(peer, partial(theirs, capacity), items // 5, at=capacity, needs=needs),
        ]
    return Scenario(
        name=name,
        title=title,
        what="The time per item for several capacities.",
        unit=ITEM,
        contenders=tuple(contenders),
        axis="capacity",
        rounds=5,
    )


def _same_loop(pump: Any, capacity: int, items: int) -> float:
    return on_asyncio(pump, capacity, items)


def _from_thread(pump: Any, capacity: int, items: int) -> float:
    return run(pump, capacity, 1, items)


SCENARIOS = (
    POLICIES,
    SLOW,
    _sweep(
        "capacity-same-loop",
        "capacity, one loop",
        partial(_same_loop, callbridge_push),
        "asyncio.Queue",
        partial(_same_loop, asyncio_queue),
        (),
    ),
    _sweep(
        "capacity-threads",
        "capacity, thread → loop",
        partial(_from_thread, callbridge_threads),
        "culsans",
        partial(_from_thread, culsans_threads),
        ("culsans",),
    ),
)
