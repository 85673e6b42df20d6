"""Memory use while nobody reads, measured in a process for each figure, and that of streams that wait for their models."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import callbridge
from benchmarks.processes import measure_once
from benchmarks.scenario import BYTES, KILOBYTES, OURS, Contender, Goal, Scenario, check
from benchmarks.scenarios.models import Silent, Talker
from benchmarks.scenarios.readers import astream_call_streaming

__all__ = ["INSIDE", "SCENARIOS"]

TOKENS = 1_000_000
QUIET_TURNS = 10_000
"""How many turns of the loop to give a run that waits for its reader."""


def _resident() -> int:
    """Return the bytes of memory that this process uses.

    The system's peak would be that of the imports. The memory measured here is kept, not freed.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    import resource  # noqa: PLC0415 - not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _stopped_after_the_first(events: AsyncIterator[Any], stands: Callable[[], bool]) -> None:
    """Read one event, then let the run go on as far as it can: until it has ended, or waits for the reader."""
    first = await anext(events)
    check("first event", first["event"], "on_chat_model_start")
    while not stands():  # noqa: ASYNC110 - nothing signals it, because the run itself is observed
        await asyncio.sleep(0)
    for _ in range(QUIET_TURNS):
        await asyncio.sleep(0)


async def ours(tokens: int) -> int:
    """Return the growth in bytes with callbridge's stream."""
    await astream_call_streaming(Talker(tokens=10), "tea")  # late imports do not count as growth
    before = _resident()
    async with callbridge.astream_events(Talker(tokens=tokens), "tea") as stream:
        await _stopped_after_the_first(stream, lambda: stream.statistics().channel.waiting_producers > 0)
        channel = stream.statistics().channel
        check("events buffered at most", channel.peak <= channel.capacity + 1, True)
    return _resident() - before


async def langchain(tokens: int) -> int:
    """Return the growth with LangChain's."""
    async for _ in Talker(tokens=10).astream_events("tea", version="v2"):
        pass
    before = _resident()
    events = Talker(tokens=tokens).astream_events("tea", version="v2")
    await _stopped_after_the_first(events, lambda: len(asyncio.all_tasks()) == 1)
    grown = _resident() - before
    await events.aclose()  # type: ignore[attr-defined]
    return grown


async def idle(tokens: int) -> int:
    """Return the growth while nothing runs."""
    before = _resident()
    for _ in range(QUIET_TURNS):
        await asyncio.sleep(0)
    return _resident() - before


def _inside(way: Any, tokens: int) -> float:
    return float(asyncio.run(way(tokens)))


def _other_process(name: str, tokens: int) -> float:
    return measure_once(sys.executable, INSIDE.name, name, tokens)


# -- idle streams ---------------------------------------------------------------------------------------------------------

STREAMS = 300
"""How many are open at once."""

IDLE_TURNS = 60
"""After so many turns of the loop, all of them wait for their models."""


async def _idle_streams(make: Callable[[], AsyncIterator[Any]], streams: int) -> float:
    """Return how many bytes of Python's objects each open stream has, whose model is silent after its first token."""

    async def read() -> None:
        async for _ in make():
            pass

    async def begin(number: int) -> list[asyncio.Task[None]]:
        tasks = [asyncio.ensure_future(read()) for _ in range(number)]
        for _ in range(IDLE_TURNS):
            await asyncio.sleep(0)
        gc.collect()
        return tasks

    tasks = await begin(20)  # caches
    tracemalloc.start()
    tasks += await begin(streams)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check("open streams", sum(not task.done() for task in tasks), len(tasks))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return size / streams


def _ours_idle() -> AsyncIterator[Any]:
    return callbridge.astream_events(Silent(), "tea")


def _langchains_idle() -> AsyncIterator[Any]:
    return Silent().astream_events("tea", version="v2")


def _plain_idle() -> AsyncIterator[Any]:
    return Silent().astream("tea")


def _of_idle_streams(make: Callable[[], AsyncIterator[Any]], streams: int) -> float:
    return asyncio.run(_idle_streams(make, streams))


_WAYS = {OURS: ours, "astream_events(v2)": langchain, "idle": idle}
_THEIRS = 100_000

INSIDE = Scenario(
    name="memory-inside",
    title="memory, measured in the process that starts the run",
    what="Used by `memory`.",
    unit=BYTES,
    contenders=tuple(Contender(name, partial(_inside, way), TOKENS, "peer") for name, way in _WAYS.items()),
)
"""The work of the processes that `memory` starts; not a scenario by itself."""

SCENARIOS = (
    Scenario(
        name="memory",
        title="peak memory, 1 000 000 tokens, reader stopped after the first event",
        what="Growth of the resident memory while a model talks and nobody reads. LangChain keeps all events and is spared: "
        f"its model says {_THEIRS:,} tokens, a tenth.",
        unit=BYTES,
        contenders=(
            Contender(OURS, partial(_other_process, OURS), TOKENS, "ours", quick=TOKENS, warms_up=False),
            Contender(
                "astream_events(v2)",
                partial(_other_process, "astream_events(v2)"),
                _THEIRS,
                "incumbent",
                quick=5000,
                warms_up=False,
            ),
            Contender("idle", partial(_other_process, "idle"), TOKENS, "floor", quick=TOKENS, warms_up=False),
        ),
        goals=(Goal(None, at_most=10),),
        rounds=3,
    ),
    Scenario(
        name="memory-idle",
        title="memory of an idle stream",
        what=f"The size of Python's objects for each of {STREAMS} open streams whose model is silent after its first token, "
        "less that of a plain `astream` of the model.",
        unit=KILOBYTES,
        contenders=(
            Contender(OURS, partial(_of_idle_streams, _ours_idle), STREAMS, "ours", quick=50),
            Contender("astream_events(v2)", partial(_of_idle_streams, _langchains_idle), STREAMS, "incumbent", quick=50),
            Contender("plain astream", partial(_of_idle_streams, _plain_idle), STREAMS, "floor", quick=50),
        ),
        goals=(Goal("astream_events(v2)", at_most=1.0, text="1"),),
        over="plain astream",
        rounds=3,
    ),
)
