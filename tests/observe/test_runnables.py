"""`astream_events` and `stream_events`: what the differential suite does not reach, refusals and leaving."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from langchain_core.runnables import RunnableGenerator, RunnableLambda

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
    """Whoever iterates a bare stream has nothing else that would end it; the run has ended when the reader has."""
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
