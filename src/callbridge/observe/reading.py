"""`EventReader`: the reading end of handlers and streams, and the same as text."""

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
"""`new` until the first read, `ended` when the reader has had the end or an error, `closed` if it left before."""


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """Counters of a stream."""

    channel: ChannelStatistics
    """Counters of the channel, in items."""

    runs: int
    """How many runs are remembered: open runs, and those that ended below an open root. 0 when all is over."""


def described(state: ReaderState, statistics: StreamStatistics) -> str:
    """Return the state of a stream in words, for debugging."""
    channel = statistics.channel
    return f"{state} capacity={channel.capacity} buffered={channel.buffered} runs={statistics.runs}"


class EventReader:
    """Reads events from a channel, once.

    States: `new ──read──▶ reading ──end or error──▶ ended`, and `close` leads from the first two to `closed`. In `reading`, you
    can pause and read on. In `ended` and `closed`, `next` gives the end, so that a loop ends when another task closes the
    reader. A new loop raises an error.
    """

    def __init__(self, receive: ReceiveEnd[Event]) -> None:
        self._receive = receive
        self.ready = receive.ready
        """Returns the next event, or its argument if `next_async` or `next_sync` must be called."""
        self.take = receive.take
        """Returns an awaitable for the next event, for a reader in `reading`; see `ReceiveEnd.take`."""
        self.state: ReaderState = "new"

    @property
    def attached(self) -> bool:
        """Whether somebody reads."""
        return self._receive.attached

    def begin(self) -> None:
        """Begin a loop, in the thread and task that will read.

        Raises:
            StreamConsumedError: The reader has had the end already, or has left.
        """
        self.check_new()
        if self.state == "new":
            self.state = "reading"
            self._receive.attach()

    def check_new(self) -> None:
        """Raise what `begin` would raise, but do not begin."""
        if self.state in ("ended", "closed"):
            raise StreamConsumedError(self.state)

    def next_async(self) -> Awaitable[Event | None]:
        """Return an awaitable for the next event, for when none is `ready`. Its result is None at the end.

        Call `note_end` at the end, whatever is raised or returned. This makes no coroutine around the channel's own, which
        would add a third to the price of reading an event.

        Raises:
            StopAsyncIteration: There are no more, because the reader has left or has seen the end.
            ConcurrentReadError: Another task or thread is waiting for it; when it is awaited.
            BaseException: The very error with which the run ended; when it is awaited.
        """
        if self.state != "reading":
            self.check_open(StopAsyncIteration)
        return self._receive.take(None)

    def next_sync(self) -> Event:
        """Block the thread until there is an event and return it. Raise `StopIteration` at the end, else as above."""
        if self.state != "reading":
            self.check_open(StopIteration)
        try:
            return next(self._receive)
        except BaseException:
            self.note_end()
            raise

    def leave(self) -> None:
        """Note that the reader has left, and will be closed."""
        if self.state in ("new", "reading"):
            self.state = "closed"

    def close(self) -> None:
        """Stop reading. Idempotent; from any thread."""
        self.leave()
        self._receive.close()

    def check_open(self, stop: type[Exception]) -> None:
        """Begin if the reader is new. If it does not read any more, raise the end."""
        if self.state == "new":
            self.begin()
        elif self.state != "reading":
            raise stop

    def note_end(self) -> None:
        """Note that a read raised: the end, the run's error, or only the cancellation of a wait."""
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
    """Base for views that you can read with `async for` or with `for`."""

    def __aiter__(self) -> AsyncIterator[Event]: ...
    def __anext__(self) -> Awaitable[Event]: ...
    def __iter__(self) -> Iterator[Event]: ...
    def __next__(self) -> Event: ...


class HandlerTexts:
    """The visible text of the models that a handler hears, for `async for` or `for`."""

    def __init__(self, events: _EitherWay) -> None:
        self._events = events

    def __aiter__(self) -> AsyncTexts:
        return AsyncTexts(self._events).__aiter__()

    def __iter__(self) -> Texts:
        return Texts(self._events).__iter__()
