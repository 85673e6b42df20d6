"""Whether an event costs the same if there are many events in one run, or many runs at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

import callbridge
from benchmarks.scenario import EVENT, OURS, Contender, Goal, Scenario, check
from benchmarks.scenarios.models import Talker
from benchmarks.scenarios.readers import is_token

__all__ = ["SCENARIOS"]

RUNS = 1000
TOKENS_PER_RUN = 20


class Echo(Talker):
    """Yields the same object again and again, to measure the stream and not the memory of a model."""

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> AsyncIterator[Any]:
        chunk = ChatGenerationChunk(message=AIMessageChunk(content="tok "))
        for _ in range(self.tokens):
            yield chunk


async def _count(events: AsyncIterator[Any]) -> int:
    number = 0
    async for event in events:
        number += is_token(event) if isinstance(event, dict) else event.content != ""
    return number


def _ours(model: Talker) -> AsyncIterator[Any]:
    return callbridge.astream_events(model, "tea")


def _theirs(model: Talker) -> AsyncIterator[Any]:
    return model.astream_events("tea", version="v2")


def _plain(model: Talker) -> AsyncIterator[Any]:
    return model.astream("tea")


def one_run(read: Callable[[Talker], AsyncIterator[Any]], tokens: int) -> float:
    """Return the seconds per token of one run."""

    async def main() -> float:
        # As many runs of this length as a measurable time needs.
        runs = max(5000 // tokens, 1)
        began = perf_counter()
        for _ in range(runs):
            check("tokens read", await _count(read(Echo(tokens=tokens))), tokens)
        return (perf_counter() - began) / runs

    return asyncio.run(main()) / tokens


def many_runs(read: Callable[[Talker], AsyncIterator[Any]], at_once: int, runs: int) -> float:
    """Return the seconds per token of a number of runs, with a number of them active at any time."""

    async def main() -> float:
        model = Talker(tokens=TOKENS_PER_RUN, waits=True)
        left = iter(range(runs))

        async def worker() -> int:
            return sum([await _count(read(model)) for _ in left])

        began = perf_counter()
        counts = await asyncio.gather(*(worker() for _ in range(at_once)))
        seconds = perf_counter() - began
        check("tokens read", sum(counts), runs * TOKENS_PER_RUN)
        return seconds

    return asyncio.run(main()) / (runs * TOKENS_PER_RUN)


LENGTHS = (1_000, 10_000, 100_000, 1_000_000)

_WAYS: dict[str, tuple[Any, Any]] = {
    OURS: (_ours, "ours"),
    "astream_events(v2)": (_theirs, "incumbent"),
    "plain astream": (_plain, "floor"),
}


def _length(name: str, tokens: int) -> Contender:
    read, role = _WAYS[name]
    rounds = {100_000: 3, 1_000_000: 2}.get(tokens)
    return Contender(
        name, partial(one_run, read), tokens, role, at=tokens, quick=tokens if tokens <= 10_000 else 0, rounds=rounds
    )


EVENTS = Scenario(
    name="growth-events",
    title="cost per event, 10³ to 10⁶ events in one run",
    what="The time per token of a model's whole run, LangChain's own part included. The model says the same chunk each time.",
    unit=EVENT,
    contenders=tuple(_length(name, tokens) for tokens in LENGTHS for name in _WAYS if name == OURS or tokens < LENGTHS[-1]),
    goals=(Goal(OURS, at_most=1.2, ours_at=1_000_000, against_at=1_000),),
    axis="events in the run",
    rounds=5,
)


def _crowd(name: str, at_once: int) -> Contender:
    read, role = _WAYS[name]
    many = partial(many_runs, read, at_once)
    return Contender(name, many, RUNS, role, at=at_once, quick=RUNS // 5, units=TOKENS_PER_RUN)


CONCURRENT = Scenario(
    name="growth-runs",
    title="cost per event, 1 to 1 000 concurrent runs",
    what=f"{RUNS:,} short runs of a model that lets others go first at each token; so many of them under way at once.",
    unit=EVENT,
    contenders=tuple(_crowd(name, at_once) for at_once in (1, 10, 100, 1000) for name in _WAYS),
    goals=(
        Goal("plain astream", at_most=1.0, ours_at=1000, against_at=1000, grown_from=1, processor=True, text="1"),
        Goal("plain astream", at_most=1.0, ours_at=1000, against_at=1000, grown_from=1, text="1"),
    ),
    axis="runs at once",
    rounds=7,
    processor=True,
)

SCENARIOS = (EVENTS, CONCURRENT)
