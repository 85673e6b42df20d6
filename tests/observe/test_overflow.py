"""Each overflow policy through each way of reading a run, with a reader that comes late.

A late reader takes one event, and the next when the run has ended (where the policy lets it): by then the buffer has been full
for as long as the run lasted.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial, reduce
from operator import add
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel

import callbridge as cb
from callbridge.errors import ChannelOverflow
from callbridge.observe.reading import StreamStatistics
from chunks import messages
from scenarios.models import Flaw, ScriptedChatModel, StreamingLLM, text_chunks, tool_call_chunks

CAPACITY = 4
WORDS = [f"w{number} " for number in range(30)]


# -- runs -------------------------------------------------------------------------------------------------------------


def named(chunks: list[Any]) -> list[Any]:
    """Give all chunks one id, so that answers of two runs are equal."""
    return [chunk.model_copy(update={"id": "msg_1"}) for chunk in chunks]


def scripted(chunks: list[Any], **options: Any) -> ScriptedChatModel:
    return ScriptedChatModel(scripts=[named(chunks)], **options)


def usage(made: int) -> dict[str, Any]:
    return {"input_tokens": 1, "output_tokens": made, "total_tokens": 1 + made}


def blocks() -> list[AIMessageChunk]:
    """Reasoning, then text, as lists."""
    reasoning = [{"type": "reasoning", "reasoning": word, "index": 0} for word in WORDS]
    text = [{"type": "text", "text": word, "index": 1} for word in WORDS]
    return [AIMessageChunk(content=[block]) for block in reasoning + text]


def with_usage(chunks: list[AIMessageChunk]) -> list[AIMessageChunk]:
    return [*chunks, AIMessageChunk(content="", usage_metadata=usage(len(chunks)))]


RUNS: dict[str, Callable[[], Any]] = {
    "chat model": lambda: scripted(with_usage(text_chunks(*WORDS))),
    "tool calls": lambda: scripted(with_usage(tool_call_chunks("search", *WORDS))),
    "blocks": lambda: scripted(blocks()),
    "string model": lambda: StreamingLLM(tokens=WORDS),
    "chain": lambda: scripted(text_chunks(*WORDS)) | StrOutputParser(),
    "dicts": lambda: RunnableParallel(one=scripted(text_chunks(*WORDS)) | StrOutputParser(), two=scripted(text_chunks(*WORDS))),
}
"""`astream_events` tells more of these than `invoke` does; whatever is told must be told by every policy."""


# -- ways of reading --------------------------------------------------------------------------------------------------


def shown(chunk: Any) -> str:
    """Show a chunk; of dicts, whose keys come in the order in which branches began, in one order."""
    return repr(sorted(chunk.items())) if isinstance(chunk, dict) else repr(chunk)


class Late(NamedTuple):
    """What a late reader saw."""

    events: list[Any]
    error: BaseException | None
    statistics: StreamStatistics
    raised: BaseException | None
    """In the run."""

    def __repr__(self) -> str:
        # `asyncio.run` has its task shown, result and all, to `signal.signal`, which throws that away.
        return f"<Late: {len(self.events)} events>"

    @property
    def chunks(self) -> list[Any]:
        return [one for one in self.events if one["event"].endswith("_stream")]

    @property
    def others(self) -> Counter[Any]:
        """What must arrive."""
        return Counter((one["event"], one["name"]) for one in self.events if not one["event"].endswith("_stream"))

    def sums(self) -> list[Any]:
        """The chunks of each run, added up, in the order in which the runs began to stream."""
        runs: dict[str, list[Any]] = {}
        for one in self.chunks:
            runs.setdefault(one["run_id"], []).append(copy.deepcopy(one["data"]["chunk"]))
        return sorted(shown(reduce(add, chunks)) for chunks in runs.values())


class End:
    """Knows when a run has ended, and how."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.raised: BaseException | None = None

    def watch(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except BaseException as error:
            self.raised = error
            raise
        finally:
            self.happened.set()

    async def awatch(self, run: Callable[[], Any]) -> Any:
        try:
            return await run()
        except BaseException as error:
            self.raised = error
            raise
        finally:
            self.happened.set()

    async def wait(self) -> None:
        while not self.happened.is_set():  # noqa: ASYNC110 - it may happen in another thread
            await asyncio.sleep(0)


def read_rest(stream: Any, events: list[Any]) -> BaseException | None:
    try:
        events.extend(stream)
    except Exception as error:
        return error
    return None


async def aread_rest(stream: Any, events: list[Any]) -> BaseException | None:
    try:
        async for event in stream:
            events.append(event)
    except Exception as error:
        return error
    return None


def consume(runnable: Any, value: Any, config: Any = None) -> Any:
    """Stream, so that models of every kind do."""
    return list(runnable.stream(value, config))[-1]


async def aconsume(runnable: Any, value: Any, config: Any = None) -> Any:
    return [piece async for piece in runnable.astream(value, config)][-1]


def by_handler(make: Callable[..., Any], runnable: Any, value: Any, end: End, **options: Any) -> Late:
    handler = make(streaming=True, **options)
    with suppress(Exception):
        end.watch(partial(consume, runnable, value, {"callbacks": [handler]}))
    events: list[Any] = []
    error = read_rest(handler, events)
    return Late(events, error, handler.statistics(), end.raised)


def by_ahandler(make: Callable[..., Any], runnable: Any, value: Any, end: End, **options: Any) -> Late:
    async def main() -> Late:
        handler = make(streaming=True, **options)
        with suppress(Exception):
            await end.awatch(partial(aconsume, runnable, value, {"callbacks": [handler]}))
        events: list[Any] = []
        error = await aread_rest(handler, events)
        return Late(events, error, handler.statistics(), end.raised)

    return asyncio.run(main())


def late(stream: Any, end: End, waits: bool) -> Late:
    with stream:
        events = [next(stream)]
        if not waits:
            assert end.happened.wait(30)
        error = read_rest(stream, events)
        return Late(events, error, stream.statistics(), end.raised)


async def alate(stream: Any, end: End, waits: bool) -> Late:
    async with stream:
        events = [await stream.__anext__()]
        if not waits:
            await end.wait()
        error = await aread_rest(stream, events)
        return Late(events, error, stream.statistics(), end.raised)


def by_call(runnable: Any, value: Any, end: End, **options: Any) -> Late:
    return late(cb.stream_call(end.watch, partial(consume, runnable, value), **options), end, options["overflow"] == "block")


def by_acall(runnable: Any, value: Any, end: End, **options: Any) -> Late:
    stream = cb.astream_call(end.awatch, partial(aconsume, runnable, value), **options)
    return asyncio.run(alate(stream, end, options["overflow"] == "block"))


class Ends(BaseCallbackHandler):
    """Tells when the root has ended. It is called before our handler, so only for runs that never wait."""

    def __init__(self, end: End) -> None:
        self.end = end

    def _ended(self, *args: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        if parent_run_id is None:
            self.end.happened.set()

    on_chain_end = on_llm_end = _ended

    def on_chain_error(self, error: BaseException, *, parent_run_id: Any = None, **kwargs: Any) -> None:
        if parent_run_id is None:
            self.end.raised = error
            self.end.happened.set()

    on_llm_error = on_chain_error


class AsyncEnds(Ends, AsyncCallbackHandler):
    """The same on the loop."""

    async def _aended(self, *args: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        self._ended(parent_run_id=parent_run_id)

    on_chain_end = on_llm_end = _aended  # type: ignore[assignment]

    async def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:  # type: ignore[override]
        super().on_chain_error(error, **kwargs)

    on_llm_error = on_chain_error  # type: ignore[assignment]


def by_events(runnable: Any, value: Any, end: End, **options: Any) -> Late:
    return late(cb.stream_events(runnable, value, {"callbacks": [Ends(end)]}, **options), end, options["overflow"] == "block")


def by_aevents(runnable: Any, value: Any, end: End, **options: Any) -> Late:
    stream = cb.astream_events(runnable, value, {"callbacks": [AsyncEnds(end)]}, **options)
    return asyncio.run(alate(stream, end, options["overflow"] == "block"))


def wrapped(**options: Any) -> Any:
    return cb.wrap_handler(BaseCallbackHandler(), **options)


WAYS: dict[str, Callable[..., Late]] = {
    "handler": partial(by_handler, cb.EventStreamHandler),
    "handler, async": partial(by_ahandler, cb.EventStreamHandler),
    "wrapped": partial(by_handler, wrapped),
    "wrapped, async": partial(by_ahandler, wrapped),
    "call": by_call,
    "call, async": by_acall,
    "events": by_events,
    "events, async": by_aevents,
}

each_way = pytest.mark.parametrize("way", WAYS)
each_run = pytest.mark.parametrize("run", RUNS)


def read(way: str, run: str, **options: Any) -> Late:
    return WAYS[way](RUNS[run](), "tea", End(), **{"capacity": CAPACITY, **options})


def texts(seen: Late) -> list[str]:
    """What the chunks say, without what differs from run to run."""
    chunks = [one["data"]["chunk"] for one in seen.chunks]
    return [chunk.content if isinstance(chunk, AIMessageChunk) else getattr(chunk, "text", chunk) for chunk in chunks]


@cache
def everything(way: str, run: str) -> Late:
    """What a reader sees that misses nothing."""
    return read(way, run, capacity=10_000, overflow="block")


# -- what each policy does --------------------------------------------------------------------------------------------


@each_way
@each_run
def test_block_delivers_every_event(way: str, run: str) -> None:
    """In their order. Producers that may wait do; a run that nobody reads yet must not, and that is counted."""
    seen = read(way, run, overflow="block")
    whole = everything(way, run)
    assert seen.others == whole.others
    assert len(seen.events) == len(whole.events)
    assert seen.sums() == whole.sums()
    counted = seen.statistics.channel
    assert (counted.dropped, counted.merged, counted.refused) == (0, 0, 0)
    if counted.overruns == 0:
        assert counted.peak <= CAPACITY + 3  # one for each producer: the two branches of "dicts", and what joins them
    assert (counted.overruns > 0) == ("handler" in way or "wrapped" in way)


@each_way
@each_run
def test_coalesce_loses_nothing_and_never_waits(way: str, run: str) -> None:
    """Text, tool calls, usage and the whole message add up to what the unmerged chunks do."""
    whole = everything(way, run)
    seen = read(way, run, overflow="coalesce")
    assert seen.others == whole.others
    assert seen.sums() == whole.sums()
    counted = seen.statistics.channel
    assert (counted.waits, counted.dropped, counted.refused) == (0, 0, 0)
    assert counted.merged == len(whole.events) - len(seen.events) > len(WORDS) // 2
    assert seen.error is seen.raised is None


@each_way
@each_run
@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_dropping_drops_chunks_alone_and_says_how_many(way: str, run: str, overflow: str) -> None:
    """Every start and end arrives, with the whole output; the reader can see what is missing."""
    whole = everything(way, run)
    seen = read(way, run, overflow=overflow)
    assert seen.others == whole.others
    counted = seen.statistics.channel
    assert counted.dropped == len(whole.events) - len(seen.events) > len(WORDS) // 2
    assert (counted.waits, counted.merged, counted.refused) == (0, 0, 0)
    assert seen.error is seen.raised is None
    # What arrives is a part of what was said, in its order.
    if run != "dicts":  # whose branches come in any order
        said = iter(texts(whole))
        assert all(text in said for text in texts(seen))


def test_dropping_the_oldest_keeps_the_last_words() -> None:
    """And dropping the newest keeps the first."""
    assert texts(read("handler", "string model", overflow="drop_newest")) == WORDS[:2]
    assert texts(read("handler", "string model", overflow="drop_oldest")) == WORDS[-2:]


@each_way
@each_run
def test_fail_raises_in_the_run_and_for_the_reader(way: str, run: str) -> None:
    """The run fails where it said too much; the reader gets all that fitted, how the runs ended, and the error."""
    whole = everything(way, run)
    seen = read(way, run, overflow="fail", extended=True)
    assert isinstance(seen.error, ChannelOverflow)
    if way == "events, async" and run in ("chain", "dicts"):
        # LangChain does not hand on to the steps of a sequence what is thrown into it; they hear that nobody reads them.
        assert isinstance(seen.raised, (ChannelOverflow, GeneratorExit))
    else:
        assert isinstance(seen.raised, ChannelOverflow)
        assert seen.error is seen.raised or "handler" in way or "wrapped" in way
    counted = seen.statistics.channel
    assert counted.refused >= 1
    assert (counted.waits, counted.dropped, counted.merged) == (0, 0, 0)
    starts = {one["run_id"] for one in seen.events if one["event"].endswith("_start")}
    ends = [one["run_id"] for one in seen.events if one["event"].endswith(("_end", "_error"))]
    assert sorted(ends) == sorted(starts)
    assert len(seen.chunks) < len(whole.chunks)


def rescued() -> Any:
    """A model with a fallback, called as a whole: what is streamed already could not be taken back."""
    runnable = scripted(text_chunks(*WORDS)).with_fallbacks([RunnableLambda(lambda _: "rescued")])

    async def acall(value: str, config: RunnableConfig) -> Any:
        return await runnable.ainvoke(value, config)

    return RunnableLambda(lambda value, config: runnable.invoke(value, config), acall)


@each_way
def test_a_run_that_survives_an_overflow_still_tells_its_reader(way: str) -> None:
    """A fallback may rescue the run; an event is missing all the same."""
    seen = WAYS[way](rescued(), "tea", End(), capacity=CAPACITY, overflow="fail", exclude_types=["parser"])
    assert isinstance(seen.error, ChannelOverflow)
    answers = [one["data"]["output"] for one in seen.events if one["event"] == "on_chain_end"]
    assert answers[0] == "rescued"


def test_nothing_overflows_a_reader_that_keeps_up() -> None:
    """The policy is for a full buffer and for nothing else."""

    async def main(overflow: Any) -> list[Any]:
        async with cb.astream_events(RUNS["chain"](), "tea", capacity=64, overflow=overflow) as stream:
            events = [event async for event in stream]
            counted = stream.statistics().channel
        assert (counted.dropped, counted.merged, counted.refused, counted.overruns) == (0, 0, 0, 0)
        return [(one["event"], one["name"]) for one in events]

    seen = [asyncio.run(main(overflow)) for overflow in ("block", "coalesce", "drop_oldest", "drop_newest", "fail")]
    assert all(one == seen[0] for one in seen)


@each_way
@pytest.mark.parametrize("overflow", ["block", "coalesce", "drop_oldest", "drop_newest"])
def test_the_runs_own_error_arrives_whatever_is_full(way: str, overflow: str) -> None:
    """After what was kept of the chunks."""
    runnable = scripted(text_chunks(*WORDS), fail_at=20) | StrOutputParser()
    seen = WAYS[way](runnable, "tea", End(), capacity=CAPACITY, overflow=overflow, extended=True)
    failed = {one["name"] for one in seen.events if one["event"].endswith("_error")}
    assert failed == {"RunnableSequence", "ScriptedChatModel"} | ({"StrOutputParser"} & failed)
    if "handler" not in way and "wrapped" not in way:
        assert isinstance(seen.error, Flaw)


@pytest.mark.parametrize("way", [way for way in WAYS if "handler" in way or "wrapped" in way])
def test_only_an_overflow_is_raised_in_the_run(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fail` does not make other errors of the handler errors of the run."""

    def broken(*_: Any, **__: Any) -> Any:
        raise Flaw

    monkeypatch.setattr("callbridge.core.encode.CallsToEvents.on_llm_new_token", broken)
    assert read(way, "chat model", overflow="fail", capacity=100).raised is None


@settings(max_examples=15, deadline=None)
@given(script=messages(usage=False), capacity=st.integers(1, 4), way=st.sampled_from(list(WAYS)))
def test_merged_answers_equal_unmerged_ones(script: list[Any], capacity: int, way: str) -> None:
    """Whatever a model says, in whatever pieces."""
    runnable = ScriptedChatModel(scripts=[script]) | RunnableLambda(lambda x: x)
    whole, seen = (
        WAYS[way](runnable, "tea", End(), capacity=size, overflow=overflow)
        for size, overflow in ((10_000, "block"), (capacity, "coalesce"))
    )
    assert seen.sums() == whole.sums()
    assert seen.others == whole.others


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_reader_that_stands_still_costs_no_memory(overflow: Any) -> None:
    """However much the model says."""

    def peak(words: int) -> int:
        handler, run_id = cb.EventStreamHandler(overflow=overflow, capacity=64), uuid4()
        handler.on_chat_model_start({}, [[]], run_id=run_id)
        tracemalloc.start()
        for number in range(words):
            handler.on_llm_new_token(f"w{number} ", run_id=run_id)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(5_000) < peak(200) + 100_000


def test_text_of_a_merged_stream_is_the_whole_text() -> None:
    """The view of it as text needs no chunk of its own for each token."""
    end = End()
    runnable = RUNS["chain"]()

    def run(value: str, config: RunnableConfig | None = None) -> Any:
        return end.watch(partial(runnable.invoke, value))

    with cb.stream_call(run, "tea", capacity=2, overflow="coalesce") as stream:
        texts = iter(stream.text())
        first = next(texts)
        assert end.happened.wait(30)
        assert first + "".join(texts) == "".join(WORDS)
    assert stream.result == "".join(WORDS)
    assert stream.statistics().channel.merged > 0
