"""Taps: report the chunks of a run as its iterator passes them on.

LangChain has no callback for a chain's chunks. It lets streaming handlers wrap the iterator instead. An overflow is thrown into
the generator that makes the chunks, so that each run below fails with it and is not abandoned.

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
    """Do what `tap_async` does, for the root run, whose id is known only at its first chunk."""
    async for first in output:
        run_id = sender.encoder.only_root()
        rest = output if run_id is None else tap_async(sender, run_id, _joined_async(first, output))
        if run_id is None:
            yield first
        async for chunk in rest:
            yield chunk


def tap_root(sender: EventSender, output: Iterator[T]) -> Iterator[T]:
    """Do what `tap_root_async` does, for a sync run."""
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
    """Yield the chunks of an async run, and report each before passing it on.

    Args:
        sender: Receives the reports.
        run_id: The run of the chunks. It need not have started.
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
                # A run that starts lazily is known from its first chunk on.
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
    """Do what `tap_async` does, for a sync run."""
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
    """Note that nobody reads these chunks any more. If the run was stopped, close the generator that makes them.

    Dropping the generator would close it, too, but Python would print its errors as ignored: when LangChain's generators are
    closed, they read on, and may meet an error of the provider's.
    """
    sender.leave(frame)
    close: Any = getattr(output, "close", None)
    if sender.stopped and close is not None:
        with suppress(Exception, asyncio.CancelledError, GeneratorExit):
            close()
