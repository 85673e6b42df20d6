"""How the tests of streams' lives open a stream, and the ways in which they leave it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeAlias

import anyio
import pytest

import callbridge as cb
from lives import Run

Open: TypeAlias = Callable[[], Any]
"""Opens a stream of the run at hand."""


class ReaderError(Exception):
    """Raised by readers."""


# -- the calls --------------------------------------------------------------------------------------------------------


async def in_pool(pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any) -> Any:
    """Run sync code as applications do: in a thread of a pool, with the caller's context."""
    return await asyncio.get_running_loop().run_in_executor(pool, copy_context().run, call, *args)


def by_astream_events(run: Run, config: Any, pool: Any, **options: Any) -> Any:
    return cb.astream_events(run.runnable, run.value, config, **options)


def by_coroutine_function(run: Run, config: Any, pool: Any, **options: Any) -> Any:
    return cb.astream_call(run.runnable.ainvoke, run.value, config, **options)


def by_lambda(run: Run, config: Any, pool: Any, **options: Any) -> Any:
    return cb.astream_call(lambda: run.runnable.ainvoke(run.value, config), **options)


def by_sync_function(run: Run, config: Any, pool: Any, **options: Any) -> Any:
    return cb.astream_call(run.runnable.invoke, run.value, config, **options)


def by_pool(run: Run, config: Any, pool: Any, **options: Any) -> Any:
    return cb.astream_call(in_pool, pool, run.runnable.invoke, run.value, config, **options)


CALLS = [by_astream_events, by_coroutine_function, by_lambda, by_sync_function, by_pool]
SYNC_CALLEES = (by_sync_function, by_pool)


def by_stream_events(run: Run, config: Any, **options: Any) -> Any:
    return cb.stream_events(run.runnable, run.value, config, **options)


def by_stream_call(run: Run, config: Any, **options: Any) -> Any:
    return cb.stream_call(run.runnable.invoke, run.value, config, **options)


def by_stream_call_of_coroutine(run: Run, config: Any, **options: Any) -> Any:
    return cb.stream_call(run.runnable.ainvoke, run.value, config, **options)


SYNC_CALLS = [by_stream_events, by_stream_call, by_stream_call_of_coroutine]

# -- the ways to leave ------------------------------------------------------------------------------------------------


async def read(stream: Any, count: int) -> None:
    """Read so many events, or all if there are fewer."""
    if count:
        async for _ in stream:
            count -= 1
            if not count:
                return


async def break_out_of_async_with(open_stream: Open, count: int) -> Any:
    async with open_stream() as stream:
        await read(stream, count)
    return stream


async def aclose(open_stream: Open, count: int) -> Any:
    stream = open_stream()
    await read(stream, count)
    await stream.aclose()
    await stream.aclose()
    return stream


async def raise_in_the_loop(open_stream: Open, count: int) -> Any:
    with pytest.raises(ReaderError):
        async with open_stream() as stream:
            await read(stream, count)
            raise ReaderError
    return stream


async def cancel_the_task(open_stream: Open, count: int) -> Any:
    streams: list[Any] = []
    has_read = asyncio.Event()

    async def consume() -> None:
        async with open_stream() as stream:
            streams.append(stream)
            await read(stream, count)
            has_read.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    task.add_done_callback(lambda _: has_read.set())
    await has_read.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return streams[0]


async def cancel_the_scope(open_stream: Open, count: int) -> Any:
    with anyio.CancelScope() as scope:
        async with open_stream() as stream:
            await read(stream, count)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    return stream


async def close_the_generator(open_stream: Open, count: int) -> Any:
    stream = open_stream()

    async def relay() -> AsyncIterator[Any]:
        async with stream:
            yield None
            async for event in stream:
                yield event

    generator = relay()
    await generator.__anext__()
    await read(generator, count)
    await generator.aclose()
    return stream


async def time_out(open_stream: Open, count: int) -> Any:
    """By `asyncio.wait_for`, with a clock that jumps when it is time."""
    loop = asyncio.get_running_loop()
    streams: list[Any] = []

    async def consume() -> None:
        async with open_stream() as stream:
            streams.append(stream)
            await read(stream, count)
            later = loop.time() + 1000
            loop.time = lambda: later  # type: ignore[method-assign]
            await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        try:
            await asyncio.wait_for(consume(), 500)
        finally:
            del loop.time
    return streams[0]


async def drop(open_stream: Open, count: int) -> None:
    stream = open_stream()
    await read(stream, count)


WAYS = [
    break_out_of_async_with,
    aclose,
    raise_in_the_loop,
    cancel_the_task,
    cancel_the_scope,
    close_the_generator,
    time_out,
    drop,
]


def read_sync(stream: Any, count: int) -> None:
    for _ in itertools.islice(stream, count):
        pass


def break_out_of_with(open_stream: Open, count: int) -> Any:
    with open_stream() as stream:
        read_sync(stream, count)
    return stream


def close(open_stream: Open, count: int) -> Any:
    stream = open_stream()
    read_sync(stream, count)
    stream.close()
    stream.close()
    return stream


def raise_in_the_sync_loop(open_stream: Open, count: int) -> Any:
    with pytest.raises(ReaderError), open_stream() as stream:
        read_sync(stream, count)
        raise ReaderError
    return stream


def close_the_sync_generator(open_stream: Open, count: int) -> Any:
    stream = open_stream()

    def relay() -> Iterator[Any]:
        with stream:
            yield None
            yield from stream

    generator = relay()
    read_sync(generator, count + 1)
    generator.close()
    return stream


def drop_sync(open_stream: Open, count: int) -> None:
    stream = open_stream()
    read_sync(stream, count)


SYNC_WAYS = [break_out_of_with, close, raise_in_the_sync_loop, close_the_sync_generator, drop_sync]
