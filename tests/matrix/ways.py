"""The columns of the matrix: ways to leave."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import anyio
import httpx
import pytest
import uvicorn
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from matrix.moments import MOMENTS, reach, reach_sync

BEFORE = MOMENTS[0]

Open: TypeAlias = Callable[[], Any]


class ReaderError(Exception):
    """Raised by readers."""


async def consume(stream: Any, moment: str, ready: asyncio.Event) -> None:
    """Read inside `async with`, and be there when the time comes."""
    async with stream:
        if moment == BEFORE:
            # The reader waits in its first read by then, and the run is about to begin.
            asyncio.get_running_loop().call_soon(ready.set)
            async for _ in stream:
                pass  # a run in a thread may be over before its time has come
        else:
            await reach(stream, moment)
            ready.set()
        await asyncio.Event().wait()


async def break_out(open_stream: Open, moment: str) -> Any:
    async with open_stream() as stream:
        await reach(stream, moment)
    return stream


async def aclose(open_stream: Open, moment: str) -> Any:
    stream = open_stream()
    if moment != BEFORE:
        await reach(stream, moment)
        await stream.aclose()
        return stream
    reader = asyncio.create_task(stream.__anext__())
    await checkpoint()
    await stream.aclose()
    await asyncio.wait([reader])
    assert isinstance(reader.exception(), StopAsyncIteration)
    return stream


async def cancel(open_stream: Open, moment: str) -> Any:
    stream, ready = open_stream(), asyncio.Event()
    task = asyncio.create_task(consume(stream, moment, ready))
    await ready.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return stream


async def time_out(open_stream: Open, moment: str) -> Any:
    """By `asyncio.wait_for`, with a clock that jumps when it is time: `asyncio.timeout` came with CPython 3.11."""
    loop = asyncio.get_running_loop()
    stream, ready = open_stream(), asyncio.Event()

    async def watch() -> None:
        await ready.wait()
        later = loop.time() + 1000
        loop.time = lambda: later  # type: ignore[method-assign]

    watcher = asyncio.create_task(watch())
    with pytest.raises(asyncio.TimeoutError):
        try:
            await asyncio.wait_for(consume(stream, moment, ready), 500)
        finally:
            del loop.time
    await watcher
    return stream


async def cancel_scope(open_stream: Open, moment: str) -> Any:
    stream, ready = open_stream(), asyncio.Event()
    with anyio.CancelScope() as scope:

        async def watch() -> None:
            await ready.wait()
            scope.cancel()

        watcher = asyncio.create_task(watch())
        await consume(stream, moment, ready)
    assert scope.cancelled_caught
    await watcher
    return stream


async def task_group_fails(open_stream: Open, moment: str) -> Any:
    """By AnyIO's task group: `asyncio.TaskGroup` came with CPython 3.11, and cancels in the way of `cancel`."""
    stream, ready = open_stream(), asyncio.Event()

    async def fail() -> None:
        await ready.wait()
        raise ReaderError

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - ReaderError alone, or in a group, by AnyIO's version
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, stream, moment, ready)
            tasks.start_soon(fail)
    found = getattr(caught.value, "exceptions", (caught.value,))
    assert [type(error) for error in found] == [ReaderError]
    return stream


async def never_start(open_stream: Open, moment: str) -> Any:
    async with open_stream() as stream:
        pass
    return stream


async def drop(open_stream: Open, moment: str) -> None:
    stream = open_stream()
    await reach(stream, moment)


async def client_disconnects(open_stream: Open, moment: str) -> Any:
    """Behind a real server: its client goes when the reader has come to the moment."""
    stream, ready, over = open_stream(), asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"begin\n"
        try:
            await consume(stream, moment, ready)
        finally:
            over.set()

    app = Starlette(routes=[Route("/", lambda _: StreamingResponse(body()))])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await checkpoint()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(verify=False) as client, client.stream("GET", f"http://127.0.0.1:{port}/"):
        await ready.wait()
    await over.wait()
    server.should_exit = True
    await serving
    return stream


WAYS: dict[str, Callable[[Open, str], Awaitable[Any]]] = {
    "break out of `async with`": break_out,
    "`aclose`": aclose,
    "`task.cancel()`": cancel,
    "`asyncio` timeout": time_out,
    "AnyIO cancel scope": cancel_scope,
    "task group fails": task_group_fails,
    "never started": never_start,
    "dropped": drop,
    "client of uvicorn disconnects": client_disconnects,
}


def break_out_sync(open_stream: Open, moment: str) -> Any:
    with open_stream() as stream:
        reach_sync(stream, moment)
    return stream


def close(open_stream: Open, moment: str) -> Any:
    stream = open_stream()
    if moment != BEFORE:
        reach_sync(stream, moment)
        stream.close()
        return stream
    read: list[Any] = []
    reader = threading.Thread(target=lambda: read.extend(stream))
    reader.start()
    while not (stream.statistics().channel.parks or stream.statistics().channel.sent):
        pass
    stream.close()
    reader.join()
    return stream


def never_start_sync(open_stream: Open, moment: str) -> Any:
    with open_stream() as stream:
        pass
    return stream


def drop_sync(open_stream: Open, moment: str) -> None:
    stream = open_stream()
    reach_sync(stream, moment)


def interrupt(open_stream: Open, moment: str) -> Any:
    """By Ctrl-C: the signal comes while the main thread reads, or works with what it has read."""
    main = threading.main_thread().ident or 0
    with pytest.raises(KeyboardInterrupt), open_stream() as stream:
        if moment == BEFORE:
            signal.pthread_kill(main, signal.SIGINT)
            list(stream)
        reach_sync(stream, moment)
        signal.pthread_kill(main, signal.SIGINT)
        list(stream)
    return stream


SYNC_WAYS: dict[str, Callable[[Open, str], Any]] = {
    "break out of `with`": break_out_sync,
    "`close`": close,
    "never started": never_start_sync,
    "dropped": drop_sync,
    "Ctrl-C": interrupt,
}

LEFT_OUT: dict[str, str] = {
    "break out of `async with`": "a loop is left by `break` when it has got an event",
    "break out of `with`": "a loop is left by `break` when it has got an event",
    "dropped": "who reads has not dropped it",
}
"""Ways that there are not before the first event, and why."""


def is_possible(way: str, moment: str) -> bool:
    """Return whether one can leave in this way at this moment."""
    if way == "never started":
        return moment == BEFORE
    return moment != BEFORE or way not in LEFT_OUT
