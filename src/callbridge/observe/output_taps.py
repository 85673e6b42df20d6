"""Taps: reporting the chunks of a run as its iterator hands them on.

LangChain has no callback for a chain's chunks; it lets streaming handlers wrap the iterator. An overflow is thrown into what
makes the chunks, so that each run below fails with it instead of being left.

Source: `_AstreamEventsCallbackHandler.tap_output_aiter`, `Runnable._atransform_stream_with_config`
(langchain-core 0.3.0 to 1.8.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import chain
from types import FrameType
from typing import Any, TypeVar
from uuid import UUID

from callbridge.core.runs import Run
from callbridge.errors import ChannelOverflow
from callbridge.observe.event_sender import EventSender

__all__ = ["tap", "tap_async", "tap_root", "tap_root_async"]

T = TypeVar("T")


async def tap_root_async(sender: EventSender, output: AsyncIterator[T]) -> AsyncIterator[T]:
    """Do what `tap_async` does for the root run, whose id is known when it has begun: at its first chunk."""
    async for first in output:
        run_id = sender.encoder.only_root()
        rest = output if run_id is None else tap_async(sender, run_id, _joined_async(first, output))
        if run_id is None:
            yield first
        async for chunk in rest:
            yield chunk


def tap_root(sender: EventSender, output: Iterator[T]) -> Iterator[T]:
    """Do for a sync run what `tap_root_async` does for an async one."""
    for first in output:
        run_id = sender.encoder.only_root()
        if run_id is None:
            yield first
            yield from output
        else:
            yield from tap(sender, run_id, chain((first,), output))


async def _joined_async(first: T, output: AsyncIterator[T]) -> AsyncIterator[T]:
    yield first
    async for chunk in output:
        yield chunk


async def tap_async(sender: EventSender, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield the chunks of an async run, reporting each before it is handed on.

    Args:
        sender: Where they are reported.
        run_id: The run whose chunks they are; it need not have started.
        output: The chunks.
    """
    frame = getattr(output, "ag_frame", None)
    if not sender.begin_tap(run_id):
        try:
            async for chunk in output:
                yield chunk
        finally:
            sender.leave(frame)
        return
    run: Run | None = None
    asked = False
    report = sender.report_chunk
    try:
        async for chunk in output:
            if not asked:
                # A lazily started run is known from its first chunk on.
                asked, run = True, sender.tapped_run(run_id)
            try:
                full = run is not None and report(run, chunk, True)
            except ChannelOverflow as error:
                throw: Any = getattr(output, "athrow", None)
                if throw is not None:
                    await throw(error)
                raise
            if full:
                await sender.room()
            yield chunk
    finally:
        sender.end_tap(run_id)
        sender.leave(frame)


def tap(sender: EventSender, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
    """Do for a sync run what `tap_async` does for an async one."""
    frame = getattr(output, "gi_frame", None)
    if not sender.begin_tap(run_id):
        try:
            yield from output
        finally:
            _leave(sender, output, frame)
        return
    run: Run | None = None
    asked = False
    report = sender.report_chunk
    try:
        for chunk in output:
            if not asked:
                asked, run = True, sender.tapped_run(run_id)
            try:
                full = run is not None and report(run, chunk)
            except ChannelOverflow as error:
                throw: Any = getattr(output, "throw", None)
                if throw is not None:
                    throw(error)
                raise
            if full:
                sender.room_sync()
            yield chunk
    finally:
        sender.end_tap(run_id)
        _leave(sender, output, frame)


def _leave(sender: EventSender, output: Iterator[Any], frame: FrameType | None) -> None:
    """Say that nobody reads these chunks any more; if the run was stopped, close what makes them.

    Whoever drops it would, too, but then what it raises is printed as an error that was ignored: LangChain's generators read on
    when they are closed, and may come to an error of the provider's.
    """
    sender.leave(frame)
    close: Any = getattr(output, "close", None)
    if sender.stopped and close is not None:
        with suppress(Exception, asyncio.CancelledError, GeneratorExit):
            close()
