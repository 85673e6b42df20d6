"""`EventReader`: the reading end that handlers and streams have in common, and the view of it as text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from callbridge.channel.memory import ChannelStatistics, ReceiveEnd
from callbridge.core.text import VisibleText
from callbridge.errors import StreamConsumedError

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["AsyncTexts", "EventReader", "HandlerTexts", "ReaderState", "StreamStatistics", "Texts", "described"]

ReaderState: TypeAlias = Literal["new", "reading", "ended", "closed"]
"""`new` until the first read, `ended` when the end or an error has been handed out, `closed` when the reader left first."""


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What went through a stream so far."""

    channel: ChannelStatistics
    """Counters of the channel, in items."""

    runs: int
    """Runs that are remembered: open, or ended below a root that is open. 0 when all is over."""


def described(state: ReaderState, statistics: StreamStatistics) -> str:
    """Return what is going on in a stream in words, for people who debug."""
    channel = statistics.channel
    return f"{state} capacity={channel.capacity} buffered={channel.buffered} runs={statistics.runs}"


class EventReader:
    """Reads events from a channel, once.

    States: `new ──read──▶ reading ──end or error──▶ ended`, and `closed` from either of the first two by `close`. Reading on
    after a pause is fine in `reading`. In `ended` and `closed`, `next` gives the end, so that a loop ends which another task
    closes; a new loop gets an error.
    """

    def __init__(self, receive: ReceiveEnd[Event]) -> None:
        self._receive = receive
        self.ready = receive.ready
        """Returns the next event, or what it is given if the reader has to be asked by `next_async` or `next_sync`."""
        self.take = receive.take
        """Returns what to await for the next event, for a reader in `reading`; see `ReceiveEnd.take`."""
        self.state: ReaderState = "new"

    def begin(self) -> None:
        """Begin a loop, in the thread and task that will read.

        Raises:
            StreamConsumedError: The end has been handed out already, or the reader has left.
        """
        self.check_new()
        if self.state == "new":
            self.state = "reading"
            self._receive.attach()

    def check_new(self) -> None:
        """Raise what `begin` would, without beginning."""
        if self.state in ("ended", "closed"):
            raise StreamConsumedError(self.state)

    def next_async(self) -> Awaitable[Event | None]:
        """Return what to await for the next event when none is `ready`; its result is None at the end.

        Whatever is raised or returned at the end, `note_end` is to be called. No coroutine around the channel's own: it would
        add a third to the price of reading an event.

        Raises:
            StopAsyncIteration: There are no more, because the reader has left or has seen the end.
            ConcurrentReadError: Another task or thread is waiting for it; when it is awaited.
            BaseException: The very error with which the run ended; when it is awaited.
        """
        if self.state != "reading":
            self.check_open(StopAsyncIteration)
        return self._receive.take(None)

    def next_sync(self) -> Event:
        """Return the next event to sync code, blocking the thread; raises `StopIteration` at the end, else as above."""
        if self.state != "reading":
            self.check_open(StopIteration)
        try:
            return next(self._receive)
        except BaseException:
            self.note_end()
            raise

    def close(self) -> None:
        """Leave; idempotent, from any thread."""
        if self.state in ("new", "reading"):
            self.state = "closed"
        self._receive.close()

    def check_open(self, stop: type[Exception]) -> None:
        """Begin if the reader is new; raise what tells the end if it does not read any more."""
        if self.state == "new":
            self.begin()
        elif self.state != "reading":
            raise stop

    def note_end(self) -> None:
        """Take note that a read raised: the end, the run's error, or just a cancelled wait."""
        if self._receive.ended and self.state == "reading":
            self.state = "ended"


class AsyncTexts:
    """The visible text of a stream's models, each piece once; see `VisibleText`."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self._visible = VisibleText()

    def __aiter__(self) -> AsyncTexts:
        self._events.__aiter__()
        return self

    async def __anext__(self) -> str:
        while True:
            text = self._visible.feed(await self._events.__anext__())
            if text:
                return text


class Texts:
    """The visible text of a stream's models for sync code, each piece once; see `VisibleText`."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._visible = VisibleText()

    def __iter__(self) -> Texts:
        iter(self._events)
        return self

    def __next__(self) -> str:
        while True:
            text = self._visible.feed(next(self._events))
            if text:
                return text


class _EitherWay(Protocol):
    """Events to be read by `async for` or by `for`."""

    def __aiter__(self) -> AsyncIterator[Event]: ...
    def __anext__(self) -> Awaitable[Event]: ...
    def __iter__(self) -> Iterator[Event]: ...
    def __next__(self) -> Event: ...


class HandlerTexts:
    """The visible text of the models that a handler hears, to be read by `async for` or by `for`."""

    def __init__(self, events: _EitherWay) -> None:
        self._events = events

    def __aiter__(self) -> AsyncTexts:
        return AsyncTexts(self._events).__aiter__()

    def __iter__(self) -> Texts:
        return Texts(self._events).__iter__()
