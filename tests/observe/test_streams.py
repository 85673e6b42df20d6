"""What a reader of a stream relies on: the result, the error, the end, the bound, and that streams do not mix."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import Field

import callbridge as cb


class Counting(BaseChatModel):
    """A model that counts the words it has made; it fails at one if told."""

    words: int = 50
    fail_at: int | None = None
    made: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number in range(self.words):
            yield self._word(number)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for number in range(self.words):
            yield self._word(number)

    def _word(self, number: int) -> ChatGenerationChunk:
        if number == self.fail_at:
            raise ConnectionError("the provider hung up")
        self.made.append(number)
        return ChatGenerationChunk(message=AIMessageChunk(content=f"{number} "))


def chain(answer: str = "hello dear world") -> Any:
    model = GenericFakeChatModel(messages=iter([AIMessage(answer)]))
    return ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()


def kinds(events: list[Any]) -> list[str]:
    return [event["event"] for event in events]


@pytest.mark.anyio
async def test_result_is_the_very_object_that_the_call_returned() -> None:
    """For coroutine functions, sync functions and functions that return a coroutine."""
    answer = object()

    async def acall() -> object:
        return answer

    def call() -> object:
        return answer

    for observed in (acall, call, lambda: acall()):
        async with cb.astream_call(observed) as stream:
            assert [event async for event in stream] == []  # no run at all: it ends with the call
        assert stream.result is answer
    with cb.stream_call(call) as sync_stream:
        assert list(sync_stream) == []
    assert sync_stream.result is answer


@pytest.mark.anyio
@pytest.mark.parametrize("extended", [False, True])
async def test_error_comes_after_everything_before_it(extended: bool) -> None:
    """The reader gets every token that was made, then the very exception with the frame that raised it."""
    model = Counting(fail_at=3, made=[])
    seen: list[Any] = []
    stream = cb.astream_events(model, "hi", extended=extended)

    async def read() -> None:
        async with stream:
            async for event in stream:
                seen.append(event)

    with pytest.raises(ConnectionError, match="hung up") as raised:
        await read()
    words = [event["data"]["chunk"].content for event in seen if event["event"] == "on_chat_model_stream"]
    assert words == ["0 ", "1 ", "2 "]
    assert "_word" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    if extended:
        assert seen[-1]["event"] == "on_chat_model_error"
        assert seen[-1]["data"]["error"] is raised.value
    with pytest.raises(ConnectionError) as again:
        _ = stream.result
    assert again.value is raised.value


def test_sync_error_is_the_very_object() -> None:
    """The same across the thread in which the call runs."""
    error = ValueError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="mine") as raised, cb.stream_call(fail) as stream:
        list(stream)
    assert raised.value is error


@pytest.mark.anyio
async def test_text_is_read_once_whatever_streams_it_on() -> None:
    """Model, parser and chain report the same text; the reader sees it once. A second model is read, too."""
    async with cb.astream_call(chain().ainvoke, {"q": "x"}) as stream:
        assert [text async for text in stream.text()] == ["hello", " ", "dear", " ", "world"]
    assert stream.result == "hello dear world"

    async def two() -> str:
        first = await chain("one two").ainvoke({"q": "x"})
        second = await chain("three").ainvoke({"q": "x"})
        return first + second

    async with cb.astream_call(two) as stream_of_two:
        assert "".join([text async for text in stream_of_two.text()]) == "one twothree"
    with cb.stream_call(chain().invoke, {"q": "x"}, streaming=False) as quiet:
        assert list(quiet.text()) == ["hello dear world"]  # not streamed: at its end


@pytest.mark.anyio
async def test_reading_goes_on_after_a_pause() -> None:
    """A loop that was left by `break` can be taken up again as long as the stream is open."""
    async with cb.astream_events(chain(), {"q": "x"}) as stream:
        async for event in stream:
            assert event["event"] == "on_chain_start"
            break
        rest = [event async for event in stream]
    assert rest[-1]["event"] == "on_chain_end"


@pytest.mark.anyio
async def test_slow_reader_holds_the_model_back() -> None:
    """With a capacity of 2, a model cannot get further ahead than that and one in hand."""
    model = Counting(words=100, made=[])
    read = 0
    async with cb.astream_events(model, "hi", capacity=2, include_types=["chat_model"]) as stream:
        async for event in stream:
            if event["event"] == "on_chat_model_stream":
                read += 1
                assert len(model.made) <= read + 4  # two buffered, one in hand, one being made
    assert read >= 100
    assert stream.statistics().channel.peak <= 3


def test_slow_sync_reader_blocks_the_runs_thread() -> None:
    """The same for a sync call: its thread waits, nothing is lost and nothing overruns."""
    model = Counting(words=100, made=[])
    read = 0
    with cb.stream_call(lambda: list(model.stream("hi")), capacity=2) as stream:
        for event in stream:
            if event["event"] == "on_chat_model_stream":
                read += 1
                assert len(model.made) <= read + 4
    assert read >= 100
    channel = stream.statistics().channel
    assert (channel.peak <= 3, channel.overruns) == (True, 0)


@pytest.mark.anyio
async def test_hundred_streams_do_not_mix() -> None:
    """Concurrent streams see the events of their own call and of no other."""

    async def one(number: int) -> None:
        call = chain(f"answer {number}").ainvoke
        async with cb.astream_call(call, {"q": "x"}) as stream:
            events = [event async for event in stream]
        assert stream.result == f"answer {number}"
        roots = {event["run_id"] for event in events if not event["parent_ids"]}
        assert len(roots) == 1
        assert "".join(e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream") == stream.result

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, number)


@pytest.mark.anyio
async def test_nested_streams_neither_steal_nor_double() -> None:
    """A stream inside an observed call gets its events, and so does the one around it, once each."""
    inner_events: list[Any] = []

    async def outer(question: str) -> str:
        async with cb.astream_call(chain("inner").ainvoke, {"q": question}) as inner:
            inner_events.extend([event async for event in inner])
        return inner.result + await chain("outer").ainvoke({"q": question})

    async with cb.astream_call(outer, "x") as stream:
        events = [event async for event in stream]
    assert stream.result == "innerouter"
    assert kinds(events)[: len(inner_events)] == kinds(inner_events)
    assert kinds(events).count("on_chat_model_end") == 2
    assert kinds(inner_events).count("on_chat_model_end") == 1


@pytest.mark.anyio
async def test_handler_ends_with_its_root_and_not_with_the_first_model() -> None:
    """Two model calls in one run: events of both, one end."""

    def call_two(question: str, config: RunnableConfig) -> str:
        return str(chain("a").invoke({"q": question}, config) + chain("b").invoke({"q": question}, config))

    both = RunnableLambda(call_two)
    handler = cb.EventStreamHandler()
    task = asyncio.create_task(both.ainvoke("x", config={"callbacks": [handler]}))
    events = [event async for event in handler]
    assert await task == "ab"
    assert kinds(events).count("on_chat_model_end") == 2
    assert (kinds(events)[-1], handler.result) == ("on_chain_end", "ab")


@pytest.mark.anyio
async def test_handler_ends_when_the_run_fails_before_any_model() -> None:
    """An error in the prompt ends the iteration; it is raised where the run was called."""
    handler = cb.EventStreamHandler(extended=True)
    task = asyncio.create_task(chain().ainvoke({"wrong": "x"}, config={"callbacks": [handler]}))
    assert kinds([event async for event in handler])[-2:] == ["on_prompt_error", "on_chain_error"]
    with pytest.raises(KeyError):
        await task


def test_handler_counts_roots() -> None:
    """`roots=2` ends after the second run; `roots=None` after `finish()`."""
    two, endless = cb.EventStreamHandler(roots=2), cb.EventStreamHandler(roots=None)
    for _ in range(2):
        chain().invoke({"q": "x"}, config={"callbacks": [two, endless]})
    endless.finish()
    assert kinds(list(two)) == kinds(list(endless))
    assert two.statistics().runs == endless.statistics().runs == 0


def test_handler_serves_a_thread() -> None:
    """A worker thread's run is read by plain `for` in another."""
    handler = cb.EventStreamHandler(capacity=1, streaming=True)
    worker = threading.Thread(target=lambda: chain().invoke({"q": "x"}, config={"callbacks": [handler]}))
    worker.start()
    assert "".join(handler.text()) == "hello dear world"
    worker.join()


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.anyio
async def test_trio_observes_sync_code_and_refuses_langchains_async_api() -> None:
    """LangChain's async API runs on asyncio alone; its sync API can be observed from trio."""
    async with cb.astream_call(chain().invoke, {"q": "x"}) as stream:
        assert "".join([text async for text in stream.text()]) == "hello dear world"
    assert stream.result == "hello dear world"
    with pytest.raises(cb.EventLoopError, match="asyncio"):
        async with cb.astream_call(chain().ainvoke, {"q": "x"}) as refused:
            await anext(refused)


async def answer() -> str:
    """Ask what library it runs on, as whatever is built on anyio does."""
    await anyio.lowlevel.checkpoint()
    return "fine"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "call", [lambda: answer(), lambda: asyncio.run(answer()), lambda: anyio.run(answer), lambda: trio.run(answer)]
)
@pytest.mark.anyio
async def test_sync_code_may_run_loops_of_its_own(call: Callable[[], Any], anyio_backend: str) -> None:
    """In its thread; the reader's loop does not run there."""
    async with cb.astream_call(call) as stream:
        assert [event async for event in stream] == []
    assert stream.result == "fine"


@pytest.mark.anyio
async def test_last_token_is_not_lost_when_the_end_comes_in_the_same_tick() -> None:
    """What the classic iterator handler loses half of the time."""
    for _ in range(300):
        handler = cb.EventStreamHandler(streaming=True)
        task = asyncio.create_task(Counting(words=1, made=[]).ainvoke("hi", config={"callbacks": [handler]}))
        assert [text async for text in handler.text()] == ["0 "]
        await task


@pytest.mark.anyio
async def test_leaving_waits_no_longer_than_it_is_told() -> None:
    """Sync code in a long call cannot be stopped; it stops at its next callback, when it comes to that."""
    entered, gate = threading.Event(), threading.Event()

    def block(_: Any) -> str:
        entered.set()
        gate.wait()
        return "x"

    stream = cb.astream_call(RunnableLambda(block).invoke, "x")
    assert (await anext(stream))["event"] == "on_chain_start"
    await asyncio.to_thread(entered.wait)
    assert await stream.aclose(0.01) is False
    gate.set()
    assert await stream.aclose() is True


@pytest.mark.anyio
async def test_a_cancellation_while_leaving_is_raised_when_the_time_is_over() -> None:
    """The caller's own is never swallowed, however long leaving may take."""
    gate, at_work, cleaning = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        try:
            at_work.set()
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await gate.wait()

    stream = cb.astream_call(stubborn)

    async def leave() -> None:
        await stream.__aenter__()  # so that a read which is cancelled does not leave by itself
        reader = asyncio.ensure_future(anext(stream))
        await at_work.wait()
        reader.cancel()
        await stream.aclose(30)

    task = asyncio.create_task(leave())
    await cleaning.wait()
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
