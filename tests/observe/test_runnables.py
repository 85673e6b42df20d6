"""`astream_events` and `stream_events`: what the differential suite does not reach, refusals and leaving."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda

import callbridge as cb


class Talk:
    """A generator that yields one chunk, then waits for ever; it knows where it was ended."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.ended_by: type[BaseException] | None = None

    async def __call__(self, _: AsyncIterator[Any]) -> AsyncIterator[str]:
        try:
            yield "first"
            self.waits.set()
            await asyncio.Event().wait()
            yield "second"
        except BaseException as error:
            self.ended_by = type(error)
            raise


@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: each.with_config(tags=["a"])])
def test_runnable_without_events_in_langchain_is_refused(wrap: Any) -> None:
    """What `map()` makes raises `NotImplementedError`, as in LangChain, and the message names the way to read it."""
    each = RunnableLambda(lambda value: value + 1).map()
    with pytest.raises(NotImplementedError, match="astream_call") as caught:
        cb.astream_events(wrap(each), [1])
    assert isinstance(caught.value, cb.UnsupportedRunnableError)


@pytest.mark.anyio
async def test_leaving_cancels_the_users_code_where_it_waits() -> None:
    """Also if the reader leaves while a chunk is still on its way out of the generator."""
    talk = Talk()
    async with aclosing(cb.astream_events(RunnableGenerator(talk), 1)) as stream:
        async for event in stream:
            if event["event"] == "on_chain_stream":
                break
    assert talk.waits.is_set()
    assert talk.ended_by is asyncio.CancelledError


@pytest.mark.anyio
async def test_cancelled_read_outside_async_with_ends_the_run() -> None:
    """Without `async with` nothing else would end the run. It has ended when the reader has."""
    talk = Talk()
    stream = cb.astream_events(RunnableGenerator(talk), 1)

    async def read() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(read())
    await talk.waits.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert talk.ended_by is asyncio.CancelledError
    with pytest.raises(cb.StreamConsumedError):
        aiter(stream)


@pytest.mark.anyio
async def test_cancelled_read_inside_async_with_may_be_repeated() -> None:
    """A timeout around one read loses nothing; leaving the block ends the run."""
    go = asyncio.Event()

    async def slow(value: int) -> int:
        await go.wait()
        return value

    async with cb.astream_events(RunnableLambda(slow), 1) as stream:
        assert (await stream.__anext__())["event"] == "on_chain_start"
        with anyio.move_on_after(0) as scope:
            await stream.__anext__()
        assert scope.cancelled_caught
        go.set()
        assert [event["event"] async for event in stream] == ["on_chain_stream", "on_chain_end"]


def test_leaving_stops_an_endless_sync_generator() -> None:
    """It reports nothing but chunks, and is stopped at the next one."""
    closed: list[bool] = []

    def count(_: Iterator[Any]) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    with cb.stream_events(RunnableGenerator(count), 1, capacity=4) as stream:
        for event in stream:
            if event["event"] == "on_chain_stream":
                break
    assert closed == [True]


# -- runnables that run elsewhere ---------------------------------------------------------------------------------------

served = RunnableLambda(lambda text: text.upper(), name="served") | RunnableLambda(lambda text: f"{text}!", name="cry")


class Client(Runnable[Any, Any]):
    """What a client of a server does: it sends input and config as JSON, and reads chunks."""

    def sent(self, value: Any, config: Any) -> Any:
        plain = {name: each for name, each in (config or {}).items() if name != "callbacks"}
        return json.loads(json.dumps({"input": value, "config": plain}))["input"]

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return self._call_with_config(lambda value: served.invoke(self.sent(value, config)), input, config)

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in served.astream(self.sent(input, config)):
            yield chunk

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from served.stream(self.sent(input, config))


class EventClient(Client):
    """One that streams the events of its server, too, as LangServe's does."""

    async def astream_events(self, input: Any, config: Any = None, *, version: str = "v2", **kwargs: Any) -> Any:
        try:
            async for event in served.astream_events(self.sent(input, config), version=version, **kwargs):  # type: ignore[arg-type]
                yield event
        finally:
            await asyncio.sleep(0)
            self.is_closed = True

    is_closed = False


def without_ids(events: list[Any]) -> list[Any]:
    return [(event["event"], event["name"], event["data"]) for event in events]


@pytest.mark.anyio
@pytest.mark.parametrize("filters", [{}, {"include_names": ["cry"]}])
async def test_a_runnable_with_events_of_its_own_is_asked_for_them(filters: Any) -> None:
    """Bound or not, in async and sync code; the config is the caller's."""
    expected = without_ids([event async for event in EventClient().astream_events("tea", **filters)])
    for client in (EventClient(), EventClient().with_config(tags=["mine"])):
        async with cb.astream_events(client, "tea", **filters) as stream:
            assert without_ids([event async for event in stream]) == expected
        assert stream.result == (None if filters else "TEA!")
        events = await asyncio.to_thread(lambda client=client: list(cb.stream_events(client, "tea", **filters)))
        assert without_ids(events) == expected


@pytest.mark.anyio
async def test_leaving_closes_events_of_a_runnables_own() -> None:
    """Its generator is closed and awaited."""
    client = EventClient()
    async with cb.astream_events(client, "tea", capacity=1) as stream:
        await anext(stream)
    assert client.is_closed


def test_events_of_a_runnables_own_are_not_extended() -> None:
    """No callback comes from elsewhere, so nothing could keep that promise; the message says what to do."""
    with pytest.raises(cb.UnsupportedRunnableError, match="astream_call"):
        cb.astream_events(EventClient(), "tea", extended=True)


@pytest.mark.anyio
async def test_a_runnable_that_sends_its_config_gets_a_plain_one() -> None:
    """Nothing in it but what the caller put there, and callbacks."""
    async with cb.astream_events(Client(), "tea", {"metadata": {"user": "ann"}}) as stream:
        events = [event async for event in stream]
    assert events == []  # it calls no callback here
    with cb.stream_events(Client(), "tea") as sync_stream:
        assert list(sync_stream) == []
    async with cb.astream_call(Client().ainvoke, "tea", extended=True) as call:
        heard = [event["name"] async for event in call]
    assert heard[0] == heard[-1] == "Client"
    assert call.result == "TEA!"


class Streamed(Client):
    """A client that reports its own run."""

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from self._transform_stream_with_config(iter([input]), self._pieces, config)

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        async def given() -> AsyncIterator[Any]:
            yield input

        async for chunk in self._atransform_stream_with_config(given(), self._apieces, config):
            yield chunk

    def _pieces(self, given: Iterator[Any], config: Any) -> Iterator[Any]:
        for value in given:
            yield from self.sent(value, {})

    async def _apieces(self, given: AsyncIterator[Any], config: Any) -> AsyncIterator[Any]:
        async for value in given:
            for piece in self.sent(value, {}):
                yield piece


@pytest.mark.anyio
async def test_a_root_whose_id_is_not_known_before_it_begins() -> None:
    """Its chunks are its own, each once."""
    expected = ["on_chain_start", *["on_chain_stream"] * 3, "on_chain_end"]
    async with cb.astream_events(Streamed(), "tea") as stream:
        assert [event["event"] async for event in stream] == expected
    with cb.stream_events(Streamed(), "tea") as sync_stream:
        assert [event["event"] for event in sync_stream] == expected
    assert stream.result == sync_stream.result == "tea"


def test_a_stream_made_before_its_loop_is_as_one_made_inside() -> None:
    """What a run is, and the context it sees, are decided where it starts."""
    seen: list[Any] = []

    def call() -> Any:
        seen.append((threading.current_thread().name, where.get()))
        return where_am_i()

    async def where_am_i() -> Any:
        return asyncio.get_running_loop(), where.get()

    async def read(make: Any) -> Any:
        where.set("inside")
        async with make() as stream:
            async for _ in stream:
                pass
        return stream.result == (asyncio.get_running_loop(), "inside")

    made = cb.astream_call(call)
    assert asyncio.run(read(lambda: made))
    assert asyncio.run(read(lambda: cb.astream_call(call)))
    assert seen[0] == seen[1]


where: ContextVar[str] = ContextVar("where", default="outside")
