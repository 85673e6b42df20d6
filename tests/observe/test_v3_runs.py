"""Runs that are driven by version 3: their tokens, once each, with the bound, and their ends."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk

import callbridge as cb
from scripted import SCRIPTS, Scripted, answer_v3, model, needs_v3, quiet_beta, read_v3

pytestmark = [needs_v3, quiet_beta]

REPORTS = ["", "before", "after"]

SYNC_WAYS: dict[str, Callable[[Any], Any]] = {
    "v3": read_v3,
    "stream": lambda one: list(one.stream("hi")),
    "invoke": lambda one: one.invoke("hi"),
}


async def read_text(one: Any) -> list[str]:
    stream = await one.astream_events("hi", version="v3")
    return [piece async for piece in stream.text]


async def read_events(one: Any) -> list[Any]:
    stream = await one.astream_events("hi", version="v3")
    return [event async for event in stream]


async def read_output(one: Any) -> Any:
    return await (await one.astream_events("hi", version="v3")).output


ASYNC_WAYS: dict[str, Callable[[Any], Any]] = {
    "answer": answer_v3,
    "text": read_text,
    "events": read_events,
    "output": read_output,
}


def texts(events: list[Any]) -> list[str]:
    return [
        event["data"]["chunk"].text
        for event in events
        if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].text
    ]


def names(events: list[Any]) -> list[str]:
    return [event["event"] for event in events]


@pytest.mark.parametrize("reports", REPORTS)
@pytest.mark.parametrize("way", SYNC_WAYS)
def test_each_token_comes_once(way: str, reports: str) -> None:
    with cb.stream_call(SYNC_WAYS[way], model(reports=reports)) as stream:
        events = list(stream)
    assert texts(events) == ["Let", " me", " see."]
    assert names(events)[0] == "on_chat_model_start"
    assert names(events)[-1] == "on_chat_model_end"


@pytest.mark.anyio
@pytest.mark.parametrize("reports", REPORTS)
@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_each_token_comes_once_in_async_code(way: str, reports: str) -> None:
    async with cb.astream_call(ASYNC_WAYS[way], model(reports=reports), extended=True) as stream:
        events = [event async for event in stream]
    assert texts(events) == ["Let", " me", " see."]
    assert names(events)[-1] == "on_chat_model_end"


@pytest.mark.parametrize("script", SCRIPTS)
def test_text_comes_in_the_pieces_of_stream(script: str) -> None:
    with cb.stream_call(lambda: list(model(script).stream("hi"))) as stream:
        wanted = list(stream.text())
    with cb.stream_call(read_v3, model(script)) as stream:
        assert list(stream.text()) == wanted


def test_a_handler_that_is_attached_hears_tokens_too() -> None:
    handler = cb.EventStreamHandler()
    one = model()
    one.stream_events("hi", config={"callbacks": [handler]}, version="v3").output  # noqa: B018 - reads it
    assert texts(list(handler)) == ["Let", " me", " see."]


class Hears(BaseCallbackHandler):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_stream_event(self, event: Any, **_: Any) -> None:
        self.heard.append(event["event"])


def test_a_wrapped_handler_hears_protocol_events_as_when_attached_alone() -> None:
    alone, inside = Hears(), Hears()
    handler = cb.wrap_handler(inside)
    for attached in (alone, handler):
        model().stream_events("hi", config={"callbacks": [attached]}, version="v3").output  # noqa: B018
    assert inside.heard == alone.heard
    assert texts(list(handler)) == ["Let", " me", " see."]


def test_the_chunks_of_a_silent_model_bear_the_messages_id() -> None:
    with cb.stream_call(read_v3, model("usage")) as stream:
        events = list(stream)
    chunks = [event["data"]["chunk"] for event in events if "chunk" in event["data"]]
    assert {chunk.id for chunk in chunks} == {f"lc_run--{events[0]['run_id']}"}
    assert chunks[-1].usage_metadata["total_tokens"] == 5
    assert chunks[-1].chunk_position == "last"


def test_a_model_that_reports_is_heard_as_ever() -> None:
    """A model's own tokens are handed on as they are."""
    told: list[Any] = []

    class Records(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
            told.append(chunk.message)

    one = model("one tool call", reports="before")
    handler = cb.EventStreamHandler()
    one.stream_events("hi", config={"callbacks": [Records(), handler]}, version="v3").output  # noqa: B018
    found = [event["data"]["chunk"] for event in handler if "chunk" in event["data"]]
    assert len(found) == len(told)
    assert all(one is other for one, other in zip(found, told, strict=True))


def words(count: int) -> list[AIMessageChunk]:
    return [AIMessageChunk(content=f"{number} ") for number in range(count)]


@pytest.mark.parametrize("reports", REPORTS)
def test_a_reader_that_stops_stops_the_model(reports: str) -> None:
    one = model(words(500), reports=reports)
    with cb.stream_call(read_v3, one, capacity=8) as stream:
        next(iter(stream))
        while len(one.made) < 8:
            pass  # the bound is reached soon, however busy the machine is
        assert not _grows_beyond(one, 9)
    assert len(one.made) <= 10  # leaving lets it go to its next callback


@pytest.mark.parametrize("reports", REPORTS)
def test_a_reader_that_is_slow_to_leave_stops_the_model(reports: str) -> None:
    """Other threads get their turn in the midst of leaving, most of all on a busy machine."""
    one = model(words(500), reports=reports)
    stream = cb.stream_call(read_v3, one, capacity=8)
    next(iter(stream))
    with _slow_thread():
        stream.close()
    assert len(one.made) <= 10


@pytest.mark.parametrize("extended", [False, True])
def test_a_loop_in_another_thread_ends_quietly_when_the_stream_is_closed(extended: bool) -> None:
    begun = Event()
    events: list[Any] = []

    def read() -> None:
        for event in stream:
            events.append(event)
            begun.set()

    with cb.stream_call(read_v3, model(words(1000)), extended=extended) as stream, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        begun.wait()
        with _slow_thread():
            stream.close()
        reading.result()
    assert set(names(events)) <= {"on_chat_model_start", "on_chat_model_stream"}
    assert len(events) < 1000


@contextmanager
def _slow_thread() -> Iterator[None]:
    """Let other threads run before each line of this thread."""

    def pause(*_: Any) -> Any:
        time.sleep(0.0005)
        return pause

    before = sys.gettrace()
    sys.settrace(pause)
    try:
        yield
    finally:
        sys.settrace(before)


def _grows_beyond(one: Scripted, count: int) -> bool:
    for _ in range(20):
        if len(one.made) > count:
            return True
        asyncio.run(asyncio.sleep(0.005))
    return False


@pytest.mark.anyio
@pytest.mark.parametrize("reports", REPORTS)
async def test_a_reader_that_stops_stops_an_async_model(reports: str) -> None:
    one = model(words(500), reports=reports, pause=0.001)
    async with cb.astream_call(answer_v3, one, capacity=8) as stream:
        await anext(aiter(stream))
        await asyncio.sleep(0.05)
        assert len(one.made) <= 9
    assert one.closed, "the provider's generator was not closed"
    assert len(one.made) <= 10


def test_a_failing_model_gives_what_it_said_then_its_error() -> None:
    one = model(words(5), fails_after=2)
    events: list[Any] = []
    with cb.stream_call(read_v3, one, extended=True) as stream, pytest.raises(ConnectionError):
        events.extend(iter(stream))
    assert texts(events) == ["0 ", "1 "]
    assert events[-1]["event"] == "on_chat_model_error"


def test_a_message_that_was_complete_is_no_failure() -> None:
    """A reader of the text alone leaves when it ends. `asyncio.run` then cancels the task that was to report the end."""
    with cb.stream_call(lambda: asyncio.run(read_text(model("usage"))), extended=True) as stream:
        events = list(stream)
    assert names(events)[-1] == "on_chat_model_end"
    output = events[-1]["data"]["output"]
    assert output.text == "Yes."
    assert output.usage_metadata["total_tokens"] == 5


def test_a_message_that_was_cut_is_one() -> None:
    async def some() -> None:
        stream: Any = await model(words(5), pause=0.01).astream_events("hi", version="v3")  # type: ignore[misc]
        async for _ in stream.text:
            break

    with cb.stream_call(lambda: asyncio.run(some()), extended=True) as stream:
        last = list(stream)[-1]
    assert last["event"] == "on_chat_model_error"
    assert last["data"]["status"] == "cancelled"


def test_blocks_are_what_was_asked_for() -> None:
    encoder = cb.CallsToEvents(blocks=True)

    events: list[Any] = []

    class Feeds(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            events.extend(encoder.feed(cb.Call("on_chat_model_start", args, kwargs)))

        def on_stream_event(self, event: Any, **kwargs: Any) -> None:
            events.extend(encoder.feed(cb.Call("on_stream_event", (event,), kwargs)))

    model().stream_events("hi", config={"callbacks": [Feeds()]}, version="v3").output  # noqa: B018
    contents = [event["data"]["chunk"].content for event in events if "chunk" in event["data"]]
    assert contents[1] == [{"type": "text", "text": "Let", "index": 0}]


class TestStreamsThatNobodyReads:
    def test_a_model_stream_is_refused_with_the_cure(self) -> None:
        with (
            cb.stream_call(partial(model().stream_events, "hi", version="v3")) as stream,
            pytest.raises(cb.CallableTypeError) as e,
        ):
            list(stream)
        assert "model.stream_events(q, version='v3').output" in str(e.value)

    @pytest.mark.anyio
    async def test_an_async_one_too(self) -> None:
        async with cb.astream_call(partial(model().astream_events, "hi", version="v3")) as stream:
            with pytest.raises(cb.CallableTypeError, match="await"):
                _ = [event async for event in stream]

    def test_a_graphs_run_is_refused_as_well(self) -> None:
        graphs = pytest.importorskip("langgraph.graph")
        graph = graphs.StateGraph(dict).add_node("same", lambda state: state).add_edge("__start__", "same").compile()
        with cb.stream_call(partial(graph.stream_events, {}, version="v3")) as stream, pytest.raises(cb.CallableTypeError):
            list(stream)
        with cb.stream_call(lambda: graph.stream_events({"a": 1}, version="v3").output) as stream:
            list(stream)

    def test_one_that_was_read_is_a_result_like_any_other(self) -> None:
        def read() -> Any:
            stream = model().stream_events("hi", version="v3")
            assert stream.output
            return stream

        with cb.stream_call(read) as stream:
            assert list(stream.text()) == ["Let", " me", " see."]
        assert stream.result.output.text == "Let me see."

    def test_a_keyword_of_the_call_is_no_option_and_the_error_tells_what_to_do(self) -> None:
        with pytest.raises(cb.OptionError, match="output"):
            cb.astream_call(model().astream_events, "hi", version="v3")  # type: ignore[call-overload]


def test_stream_events_says_what_there_is_for_version_3() -> None:
    with pytest.raises(cb.VersionError, match="stream_messages"):
        cb.stream_events(model(), "hi", version="v3")
