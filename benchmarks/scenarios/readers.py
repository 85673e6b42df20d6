"""Ways to read a running run. Each is a coroutine that returns the number of tokens and the seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any, NamedTuple

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable

import callbridge
from benchmarks.scenario import check

__all__ = [
    "READERS",
    "Read",
    "astream_call_streaming",
    "astream_call_v3",
    "astream_messages",
    "is_token",
    "plain_v3",
    "seconds_per_token",
]


class Read(NamedTuple):
    """The result of a reader."""

    tokens: int
    seconds: float
    first: float
    """Seconds until the first item."""


async def _read(events: AsyncIterator[Any], counts: Callable[[Any], bool]) -> Read:
    tokens, first = 0, 0.0
    began = perf_counter()
    async for event in events:
        if not first:
            first = perf_counter() - began
        tokens += counts(event)
    return Read(tokens, perf_counter() - began, first)


def is_token(event: Any) -> bool:
    """Return whether an event is a model's token, and not the empty chunk that some versions of LangChain add at the end."""
    return event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content != ""


def _is_text(piece: Any) -> bool:
    return bool(getattr(piece, "content", piece))


async def astream(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read the output itself, without events."""
    return await _read(runnable.astream(value), _is_text)


async def astream_messages(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Do the same for a graph, in its `messages` mode without the complete messages."""
    return await _read(runnable.astream(value, stream_mode="messages"), _is_chunk)


def _is_chunk(item: Any) -> bool:
    return isinstance(item[0], AIMessageChunk) and item[0].content != ""


async def langchain(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read LangChain's own events."""
    return await _read(runnable.astream_events(value, version="v2"), is_token)


async def astream_events(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read callbridge's events."""
    return await _read(callbridge.astream_events(runnable, value), is_token)


async def astream_call(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read callbridge's events of a call that does not know callbridge."""
    return await _read(callbridge.astream_call(runnable.ainvoke, value), is_token)


async def astream_call_streaming(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Do the same for a call that streams by itself."""

    async def stream() -> None:
        async for _ in runnable.astream(value):
            pass

    return await _read(callbridge.astream_call(stream), is_token)


async def astream_call_v3(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Do the same for a call that version 3 drives."""

    async def answer() -> None:
        stream: Any = await runnable.astream_events(value, version="v3")  # type: ignore[misc]
        await stream

    return await _read(callbridge.astream_call(answer), is_token)


async def plain_v3(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read the text of version 3 itself, without events."""
    stream: Any = await runnable.astream_events(value, version="v3")  # type: ignore[misc]
    async with stream:
        return await _read(stream.text, _is_text)


async def classic(runnable: Runnable[Any, Any], value: Any) -> Read:
    """Read LangChain's `AsyncIteratorCallbackHandler`: text only, of the first model call only."""
    from langchain_classic.callbacks import AsyncIteratorCallbackHandler  # noqa: PLC0415 - a peer may be missing

    handler = AsyncIteratorCallbackHandler()

    async def consume() -> None:
        async for _ in runnable.astream(value, {"callbacks": [handler]}):
            pass

    task = asyncio.ensure_future(consume())
    read = await _read(handler.aiter(), bool)
    await task
    return read


READERS = {
    "callbridge": astream_events,
    "callbridge, astream_call": astream_call,
    "astream_events(v2)": langchain,
    "AsyncIteratorCallbackHandler": classic,
    "plain astream": astream,
}
"""Name in the tables to reader."""


def seconds_per_token(reader: Any, runnable: Runnable[Any, Any], value: Any, tokens: int, runs: int) -> float:
    """Return the seconds per token of a number of runs, one after the other."""

    async def main() -> float:
        seconds = 0.0
        for _ in range(runs):
            read = await reader(runnable, value)
            check("tokens read", read.tokens, tokens)
            seconds += read.seconds
        return seconds

    return asyncio.run(main()) / (tokens * runs)
