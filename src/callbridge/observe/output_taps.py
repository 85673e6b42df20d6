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
from callbridge.internals import calling_frame
from callbridge.observe.event_sender import EventSender

__all__ = ["drain", "drain_root", "tap", "tap_async", "tap_root"]

T = TypeVar("T")


async def drain(sender: EventSender, run_id: UUID, output: AsyncIterator[object]) -> None:
    """Read the chunks of an async root run to the end, and report each.

    Args:
        sender: Receives the reports.
        run_id: The run of the chunks. It need not have started.
        output: The chunks.
    """
    frame = getattr(output, "ag_frame", None)
    is_first = sender.begin_tap(run_id)
    run: Run | None = None
    asked = not is_first
    try:
        async for chunk in output:
            if not asked:
                # A run that starts lazily is known from its first chunk on.
                asked, run = True, sender.tapped_run(run_id)
            try:
                full = run is not None and sender.report_chunk(run, chunk, True)
            except ChannelOverflow as error:
                await _throw(output, error)
                raise
            if full:
                await sender.room()
    finally:
        if is_first:
            sender.end_tap(run_id)
        sender.leave(frame)


async def drain_root(sender: EventSender, output: AsyncIterator[object]) -> None:
    """Do what `drain` does, for a run whose id is known only at its first chunk."""
    async for first in output:
        run_id = sender.encoder.only_root()
        if run_id is not None:
            await drain(sender, run_id, _joined(first, output))
        async for _ in output:
            pass


async def _joined(first: T, output: AsyncIterator[T]) -> AsyncIterator[T]:
    yield first
    async for chunk in output:
        yield chunk


def tap_async(sender: EventSender, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
    """Return the chunks of an async run as they are. Each is reported before it is passed on, unless another tap reports it.

    Args:
        sender: Receives the reports.
        run_id: The run of the chunks. It need not have started.
        output: The chunks.
    """
    if sender.begin_tap(run_id):
        return _AsyncTap(sender, run_id, output)
    sender.note_passed(run_id, getattr(output, "ag_frame", None))
    return output


class _AsyncTap(AsyncIterator[T]):
    """Reports the chunks of an async run as it passes them on.

    It is no generator, because the sender must recognise a task that runs only one step of it; see `SendEnd.push`.
    """

    __slots__ = ("_asked", "_frame", "_output", "_run", "_run_id", "_sender")

    def __init__(self, sender: EventSender, run_id: UUID, output: AsyncIterator[T]) -> None:
        self._sender = sender
        self._run_id = run_id
        self._output = output
        self._frame: FrameType | None = getattr(output, "ag_frame", None)
        self._run: Run | None = None
        self._asked = False

    async def __anext__(self) -> T:
        try:
            chunk = await self._output.__anext__()
            if not self._asked:
                # A run that starts lazily is known from its first chunk on.
                self._asked, self._run = True, self._sender.tapped_run(self._run_id)
            run = self._run
            if run is not None:
                try:
                    full = self._sender.report_chunk(run, chunk, True, calling_frame(0))
                except ChannelOverflow as error:
                    await _throw(self._output, error)
                    raise
                if full:
                    await self._sender.room()
        except BaseException:
            self._end()
            raise
        return chunk

    def _end(self) -> None:
        self._sender.end_tap(self._run_id)
        self._sender.leave(self._frame)
        self._frame = None

    def __del__(self) -> None:
        self._end()


async def _throw(output: AsyncIterator[Any], error: ChannelOverflow) -> None:
    throw: Any = getattr(output, "athrow", None)
    if throw is not None:
        await throw(error)


def tap_root(sender: EventSender, output: Iterator[T]) -> Iterator[T]:
    """Do what `tap` does, for the root run, whose id is known only at its first chunk."""
    for first in output:
        run_id = sender.encoder.only_root()
        if run_id is None:
            yield first
            yield from output
        else:
            yield from tap(sender, run_id, chain((first,), output))


def tap(sender: EventSender, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
    """Do what `tap_async` does, for a sync run, in a generator."""
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
