"""Reading a running run, end to end: what reading adds to a run, tokens per second, time to the first event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from langchain_core.runnables import Runnable

from benchmarks.counting import counted
from benchmarks.scenario import LATENCY, OURS, TOKEN, Contender, Goal, Scenario, check
from benchmarks.scenarios.models import Talker, agent, chain, graph
from benchmarks.scenarios.readers import (
    READERS,
    astream_call_streaming,
    astream_call_v3,
    astream_messages,
    plain_v3,
    seconds_per_token,
)
from callbridge.compat import HAS_V3

__all__ = ["SCENARIOS", "tokens_per_run"]

TOKENS = 200
"""In each answer, where nothing else is said."""

LENGTHS = (200, 1000, 3000)
"""Of answers, for what reading adds."""

RUNS = 10
QUESTION = {"messages": [("user", "How do I make tea?")]}

_ROLES = {OURS: "ours", "astream_events(v2)": "incumbent", "plain astream": "floor"}
_NEEDS = {"AsyncIteratorCallbackHandler": ("langchain_classic",)}

Making = Callable[[int], Runnable[Any, Any]]


def tokens_per_run(reader: Any, make: Making, value: Any, items: int) -> float:
    """Return the seconds per token of as many runs as the number of tokens allows."""
    tokens = min(items, TOKENS)
    return seconds_per_token(reader, make(tokens), value, tokens, max(items // tokens, 1))


def _model(tokens: int) -> Runnable[Any, Any]:
    return Talker(tokens=tokens)


def _contenders(make: Making, value: Any, readers: dict[str, Any], needs: tuple[str, ...] = ()) -> tuple[Contender, ...]:
    return tuple(
        Contender(
            name,
            partial(tokens_per_run, reader, make, value),
            TOKENS * RUNS,
            _ROLES.get(name, "peer"),  # type: ignore[arg-type]
            needs=(*needs, *_NEEDS.get(name, ())),
            quick=TOKENS,
        )
        for name, reader in readers.items()
    )


def _run_at_length(reader: Any, make: Making, value: Any, tokens: int, items: int) -> float:
    tokens = min(items, tokens)
    return seconds_per_token(reader, make(tokens), value, tokens, max(items // tokens, 1))


def _added(kind: str, make: Making, value: Any) -> Scenario:
    """What reading adds, per token."""
    read = {name: READERS[name] for name in (OURS, "astream_events(v2)", "plain astream")}
    read["callbridge, astream_call"] = astream_call_streaming
    return Scenario(
        name=f"reading-adds-{kind}",
        title=f"what reading events adds to {kind}.astream",
        what=f"The time per token of reading events of a {kind}, less that of its plain `astream`. Counted, not timed, with "
        "nothing taken off, for a token: calls of Python functions, entries in the loop's queue, futures made, and by how many "
        "blocks of memory the process has grown at the most.",
        unit=TOKEN,
        contenders=tuple(
            Contender(
                name,
                partial(_run_at_length, reader, make, value, tokens),
                max(tokens, 1000),
                _ROLES.get(name, "peer"),  # type: ignore[arg-type]
                at=tokens,
                quick=tokens,
                counts=partial(counted, reader, make, value) if tokens == TOKENS else None,
            )
            for tokens in LENGTHS
            for name, reader in read.items()
        ),
        goals=tuple(
            Goal("astream_events(v2)", at_most=0.25, text="1/4", ours_at=tokens, against_at=tokens, processor=processor)
            for tokens in LENGTHS
            for processor in (True, False)
        ),
        over="plain astream",
        axis="tokens in the answer",
        rounds=15,
        processor=True,
    )


def _end_to_end(kind: str, make: Making, value: Any, readers: dict[str, Any], needs: tuple[str, ...] = ()) -> Scenario:
    return Scenario(
        name=f"tokens-{kind}",
        title=f"{kind}, end to end",
        what=f"The time per token of a {kind} that talks without waiting, read in each of these ways.",
        unit=TOKEN,
        contenders=_contenders(make, value, readers, needs),
        rounds=7,
    )


# -- the first event ------------------------------------------------------------------------------------------------------


def first_event(reader: Any, value: Any, runs: int) -> float:
    """Return the median time from the call to the first item, in seconds."""
    tokens = 20

    async def main() -> float:
        reads = [await reader(chain(tokens, waits=True), value) for _ in range(runs)]
        for read in reads:
            check("tokens read", read.tokens, tokens)
        return median(read.first for read in reads)

    return asyncio.run(main())


FIRST_EVENT = Scenario(
    name="first-event",
    title="time to the first event of a chain",
    what="From the call to the first thing read; the model lets the loop go on before each token. For plain `astream` and the "
    "classic handler that is the first token; the events that the chain, the prompt and the model have started come before it.",
    unit=LATENCY,
    contenders=tuple(
        Contender(
            name,
            partial(first_event, reader, {"drink": "tea"}),
            40,
            _ROLES.get(name, "peer"),  # type: ignore[arg-type]
            needs=_NEEDS.get(name, ()),
        )
        for name, reader in READERS.items()
    ),
)

# The classic handler ends with the first model call, so it cannot read an agent.
_AGENT_READERS = {name: reader for name, reader in READERS.items() if name not in _NEEDS} | {"plain astream": astream_messages}

_V3_READERS = {
    OURS: astream_call_v3,
    "callbridge, v2 events": astream_call_streaming,
    "astream_events(v2)": READERS["astream_events(v2)"],
    "plain version 3": plain_v3,
    "plain astream": READERS["plain astream"],
}

UNDER_V3 = Scenario(
    name="tokens-under-v3",
    title="a model under version 3, end to end",
    what="The time per token of reading the events of a model that is driven by version 3, beside v2 events of the same model.",
    unit=TOKEN,
    contenders=_contenders(_model, "How do I make tea?", _V3_READERS),
    goals=(Goal("astream_events(v2)", at_most=1.0, text="1"),),
    rounds=7,
)

SCENARIOS = (
    _added("model", _model, "How do I make tea?"),
    _added("chain", chain, {"drink": "tea"}),
    _end_to_end("model", _model, "How do I make tea?", READERS),
    _end_to_end("chain", chain, {"drink": "tea"}, READERS),
    _end_to_end("agent", agent, QUESTION, _AGENT_READERS, ("langchain.agents",)),
    _end_to_end("graph", graph, QUESTION, READERS | {"plain astream": astream_messages}, ("langgraph",)),
    *((UNDER_V3,) if HAS_V3 else ()),
    FIRST_EVENT,
)
