"""`dispatch_events`, `adispatch_events`, `drive`, `adrive`: pull events from a source and call old handlers with them.

The iterators pass each event on after the handlers have returned. They are classes and not generators: an iterator that was
never started leaves nothing behind, and closing is deterministic.

At the end, error callbacks close the runs that are still open:

| ending | error callbacks get | then |
|---|---|---|
| the source ends | `RunUnfinishedError` | |
| the source, the translation or a handler with `raise_error` raises | that error | the reader gets it, too |
| the reader's task is cancelled while it waits | `asyncio.CancelledError`, the same object | the reader gets it, too |
| the reader leaves: `close`, the end of `with`, the iterator is dropped | `GeneratorExit` | |
| the reader leaves: `aclose`, the end of `async with`, the iterator is dropped | `asyncio.CancelledError` | |

So when a reader leaves, handlers hear the same as if they were attached to the run: a closed sync generator reports
`GeneratorExit`, and the cancelled task of `astream_events` reports `CancelledError`. If the source can be closed, it is closed
first.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import anyio.lowlevel
from langchain_core.callbacks import BaseCallbackHandler

from callbridge.core.calls import Payload
from callbridge.dispatch.contexts import WithinContext
from callbridge.dispatch.dispatcher import CallbackDispatcher, DispatchStatistics, OnHandlerError, SyncHandlers
from callbridge.dispatch.duplicates import attached_handlers, is_same
from callbridge.dispatch.receiving_handler import Handlers, handler_list
from callbridge.errors import ArgumentError, ConcurrentReadError, DuplicateHandlerWarning, StreamConsumedError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "AsyncDispatchedEvents",
    "DispatchedEvents",
    "adispatch_events",
    "adrive",
    "dispatch_events",
    "drive",
]

E = TypeVar("E", bound=Mapping[str, Any])

_State: TypeAlias = Literal["new", "reading", "ended", "closed"]

_logger = logging.getLogger("callbridge.dispatch")

_END: Final = object()

_PAUSE: Final = 64
"""After this many events of a sync source, other tasks get their turn."""

_LEFT: Final = "the reader of these events has left"


class _Dispatched(Generic[E]):
    """Base of the iterators."""

    def __init__(self, events: object, handlers: Handlers, options: Mapping[str, Any], stacklevel: int) -> None:
        self._state: _State = "closed"  # if the arguments are bad, there is nothing to finalize
        self._reading = False
        self._events = events
        given = handler_list(handlers)
        attached = events.heard_by() if isinstance(events, _Dispatched) else attached_handlers(events)
        doubled = [handler for handler in given if any(is_same(handler, other) for other in attached)]
        if doubled:
            names = ", ".join(handler.__class__.__name__ for handler in doubled)
            text = f"{names}: attached to the run whose events are dispatched; called by the run, not a second time by events"
            warnings.warn(text, DuplicateHandlerWarning, stacklevel=stacklevel)
        kept = [handler for handler in given if not any(handler is other for other in doubled)]
        self._attached = attached
        self._dispatcher = CallbackDispatcher(kept, **options)
        self._state = "new"

    @property
    def output(self) -> Payload:
        """Output of the last root run that ended well; None if none has."""
        return self._dispatcher.output

    def statistics(self) -> DispatchStatistics:
        """Return counters."""
        return self._dispatcher.statistics()

    def heard_by(self) -> Sequence[BaseCallbackHandler]:
        """Return the handlers that hear of these events: the given ones, and those that are attached to the run."""
        return [*self._dispatcher.handlers, *self._attached]

    def __repr__(self) -> str:
        counted = self.statistics()
        return f"<{type(self).__name__} {self._state} events={counted.events} runs={counted.open_runs}>"

    def _begin_loop(self) -> None:
        if self._state in ("ended", "closed"):
            raise StreamConsumedError(self._state)


class DispatchedEvents(_Dispatched[E], Iterator[E]):
    """The events of a source, each passed on after the handlers were called with it. Made by `dispatch_events`.

    Threads: one reader.
    """

    _source: Iterator[E]

    def __iter__(self) -> Self:
        self._begin_loop()
        return self

    def __next__(self) -> E:
        if self._state in ("ended", "closed"):
            raise StopIteration
        if self._reading:
            raise ConcurrentReadError
        self._reading = True
        try:
            if self._state == "new":
                self._source = iter(cast("Iterable[E]", self._events))
                self._state = "reading"
            try:
                event = next(self._source)
            except StopIteration:
                self._state = "ended"
                self._dispatcher.close()
            else:
                self._dispatcher.feed(event)
                return event
        except StopIteration as error:
            failure = _not_the_end(error)
            self._fail(failure)
            raise failure from error
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._reading = False
        raise StopIteration

    def _fail(self, error: BaseException) -> None:
        """Leave because of an error that the reader gets; one that ended the runs at the end of the source needs no more."""
        if self._state != "ended":
            self._state = "ended"
            self._leave(error, quiet=True)

    def close(self) -> None:
        """Stop reading: close the source, then the open runs. Idempotent.

        Raises:
            ConcurrentReadError: Another thread is reading.
            Exception: Of the source's own `close`, or of a handler with `raise_error`.
        """
        if self._state in ("ended", "closed"):
            return
        if self._reading:
            raise ConcurrentReadError
        self._state = "closed"
        self._leave(GeneratorExit(_LEFT), quiet=False)

    def _leave(self, error: BaseException, *, quiet: bool) -> None:
        """Close the source, then the runs.

        Args:
            error: The error for the handlers.
            quiet: Whether the reader will get it, so that no later error may take its place.
        """
        try:
            close: Any = getattr(getattr(self, "_source", self._events), "close", None)
            if close is not None:
                close()
        except Exception:
            if not quiet:
                raise
        finally:
            with suppress(*_hidden(quiet)):
                self._dispatcher.finish(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if self._state == "reading" and not self._reading:
            with suppress(Exception):
                self.close()


class AsyncDispatchedEvents(_Dispatched[E], AsyncIterator[E]):
    """The events of a source, each passed on after the handlers were called with it. Made by `adispatch_events`."""

    _source: AsyncIterator[E] | Iterator[E]
    _anext: Callable[[], Awaitable[E]] | None = None  # that of an async source
    _loop: asyncio.AbstractEventLoop | None = None
    _since_pause = 0

    def __aiter__(self) -> Self:
        self._begin_loop()
        return self

    async def __anext__(self) -> E:
        if self._state in ("ended", "closed"):
            raise StopAsyncIteration
        if self._reading:
            raise ConcurrentReadError
        self._reading = True
        try:
            if self._state == "new":
                self._begin()
            try:
                event = await (self._anext or self._next)()
            except StopAsyncIteration:
                self._state = "ended"
                await self._dispatcher.aclose()
            else:
                await self._dispatcher.afeed(event)
                return event
        except GeneratorExit:
            raise  # the reader's coroutine is being destroyed, so it must not wait; `__del__` follows
        except StopAsyncIteration as error:
            failure = _not_the_end(error)
            await self._fail(failure)
            raise failure from error
        except BaseException as error:
            await self._fail(error)
            raise
        finally:
            self._reading = False
        raise StopAsyncIteration

    async def _fail(self, error: BaseException) -> None:
        """Leave because of an error that the reader gets; one that ended the runs at the end of the source needs no more."""
        if self._state != "ended":
            self._state = "ended"
            await self._leave(error, quiet=True)

    def _begin(self) -> None:
        if isinstance(self._events, AsyncIterable):
            self._source = source = aiter(self._events)
            self._anext = source.__anext__
        else:
            self._source = iter(cast("Iterable[E]", self._events))
        with suppress(RuntimeError):  # trio
            self._loop = asyncio.get_running_loop()
        self._state = "reading"

    async def _next(self) -> E:
        """Return the next event of a sync source."""
        self._since_pause += 1
        if self._since_pause >= _PAUSE:
            self._since_pause = 0
            await anyio.lowlevel.checkpoint()
        event = next(cast("Iterator[E]", self._source), _END)
        if event is _END:
            raise StopAsyncIteration
        return cast("E", event)

    async def aclose(self) -> None:
        """Stop reading: close the source, then the open runs. Idempotent.

        Raises:
            ConcurrentReadError: Another task is reading.
            Exception: Of the source's own `aclose`, or of a handler with `raise_error`.

        Cancellation: AnyIO's level cancellation is held off until it is done.
        """
        if self._state in ("ended", "closed"):
            return
        if self._reading:
            raise ConcurrentReadError
        self._state = "closed"
        await self._leave(asyncio.CancelledError(_LEFT), quiet=False)

    async def _leave(self, error: BaseException, *, quiet: bool) -> None:
        """Close the source, then the runs; the arguments are as in `DispatchedEvents`."""
        with anyio.CancelScope(shield=True):
            try:
                await self._close_source()
            except Exception:
                if not quiet:
                    raise
            finally:
                with suppress(*_hidden(quiet)):
                    await self._dispatcher.afinish(error)

    async def _close_source(self) -> None:
        source = getattr(self, "_source", self._events)
        aclose: Any = getattr(source, "aclose", None)
        if aclose is not None:
            await aclose()
            return
        close: Any = getattr(source, "close", None)
        if close is not None:
            close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # The source is dropped with this object, and cleans up after itself.
        if self._state == "reading" and not sys.is_finalizing():
            with suppress(Exception):
                _finish_late(self._dispatcher.abandon(asyncio.CancelledError(_LEFT)), self._loop)


def _not_the_end(error: Exception) -> RuntimeError:
    """Return a `RuntimeError` for a handler's `StopIteration`, as in a generator, so that the reader does not see an end."""
    return RuntimeError(f"a handler raised {type(error).__name__}")


def _hidden(quiet: bool) -> tuple[type[Exception], ...]:
    return (Exception,) if quiet else ()


def _finish_late(calls: list[WithinContext], loop: asyncio.AbstractEventLoop | None) -> None:
    """Await calls of coroutine methods in the reader's loop. If the loop does not run any more, drop them."""

    async def finish() -> None:
        for call in calls:
            with suppress(Exception):
                await call

    if not calls:
        return
    if loop is not None and loop.is_running():
        loop.call_soon_threadsafe(lambda: loop.create_task(finish()))
        return
    _logger.warning("%d callbacks of async handlers were not made: the loop in which the events were read is over", len(calls))
    for call in calls:
        call.close()


def dispatch_events(
    events: Iterable[E],
    handlers: Handlers,
    *,
    list_tokens: bool = False,
    sync_handlers: SyncHandlers = "inline",
    on_handler_error: OnHandlerError | None = None,
) -> DispatchedEvents[E]:
    """Call handlers with the events of a sync source, and pass the events on.

    Args:
        events: Events of v2 or of the extended vocabulary: recorded, out of JSON, or one of this library's streams. Events of
            version 3 work too: a model's or a graph's stream, what `langgraph-sdk` yields, or a recording of either.
        handlers: A handler, a sequence of them, or a callback manager. A handler that is attached to the live run as
            well is left out, with a `DuplicateHandlerWarning`.
        list_tokens: If true, handlers get tokens that are lists of blocks as lists, not as text; see `CallbackDispatcher`.
        sync_handlers: Where sync methods run: `"inline"`, in the thread that reads, or `"thread"`, in a separate one.
        on_handler_error: Called with each error of a handler.

    Returns:
        An iterator and context manager; its `output` is that of the root run.

    Raises:
        HandlerTypeError: Something given as a handler is not one.
        ArgumentError: Another argument is not as described. Reading raises what `CallbackDispatcher.feed` and the source
            raise.

    Example:
        ```python
        recorded = list(callbridge.stream_events(chain, {"drink": "tea"}))
        for event in callbridge.dispatch_events(recorded, [PrintTokens()]):
            ...
        #> With hot water.
        ```
    """
    _check_iterable(events)
    return DispatchedEvents(events, handlers, _options(list_tokens, sync_handlers, on_handler_error), stacklevel=3)


def adispatch_events(
    events: AsyncIterable[E] | Iterable[E],
    handlers: Handlers,
    *,
    list_tokens: bool = False,
    sync_handlers: SyncHandlers = "inline",
    on_handler_error: OnHandlerError | None = None,
) -> AsyncDispatchedEvents[E]:
    """Call handlers with the events of an async or sync source from a task, and pass the events on.

    Coroutine methods of handlers are awaited in that task.

    Args:
        events: As for `dispatch_events`, or an async source: `chain.astream_events(x, version="v2")`.
        handlers: As for `dispatch_events`.
        list_tokens: If true, handlers get tokens that are lists of blocks as lists, not as text; see `CallbackDispatcher`.
        sync_handlers: Where sync methods run: `"inline"`, in the thread that reads, or `"thread"`, in a separate one.
        on_handler_error: Called with each error of a handler.

    Returns:
        An async iterator and context manager; its `output` is that of the root run.

    Raises:
        HandlerTypeError: Something given as a handler is not one.
        ArgumentError: Another argument is not as described.

    Cancellation: once the source is closed and the handlers have heard of the error, the caller gets it.

    Example:
        ```python
        events = chain.astream_events({"drink": "tea"}, version="v2")
        async for event in callbridge.adispatch_events(events, [PrintTokens()]):
            ...
        #> With hot water.
        ```
    """
    _check_any_iterable(events)
    return AsyncDispatchedEvents(events, handlers, _options(list_tokens, sync_handlers, on_handler_error), stacklevel=3)


def drive(
    events: Iterable[Mapping[str, Any]],
    handlers: Handlers,
    *,
    list_tokens: bool = False,
    sync_handlers: SyncHandlers = "inline",
    on_handler_error: OnHandlerError | None = None,
) -> Payload:
    """Call handlers with all events of a sync source.

    Args:
        events: As for `dispatch_events`.
        handlers: As for `dispatch_events`.
        list_tokens: If true, handlers get tokens that are lists of blocks as lists, not as text; see `CallbackDispatcher`.
        sync_handlers: Where sync methods run: `"inline"`, in the thread that reads, or `"thread"`, in a separate one.
        on_handler_error: Called with each error of a handler.

    Returns:
        Output of the root run, or of the last one if there are several. None if no root run has ended well.

    Raises:
        Exception: As `dispatch_events`, and what reading raises.

    Example:
        ```python
        output = callbridge.drive(callbridge.stream_events(chain, {"drink": "tea"}), [PrintTokens()])
        print(output.content == "With hot water.")
        #> With hot water.True
        ```
    """
    _check_iterable(events)
    options = _options(list_tokens, sync_handlers, on_handler_error)
    dispatched: DispatchedEvents[Mapping[str, Any]] = DispatchedEvents(events, handlers, options, stacklevel=3)
    with dispatched:
        for _ in dispatched:
            pass
    return dispatched.output


async def adrive(
    events: AsyncIterable[Mapping[str, Any]] | Iterable[Mapping[str, Any]],
    handlers: Handlers,
    *,
    list_tokens: bool = False,
    sync_handlers: SyncHandlers = "inline",
    on_handler_error: OnHandlerError | None = None,
) -> Payload:
    """Call handlers with all events of an async or sync source, and await their coroutine methods in the calling task.

    Args:
        events: As for `adispatch_events`.
        handlers: As for `dispatch_events`.
        list_tokens: If true, handlers get tokens that are lists of blocks as lists, not as text; see `CallbackDispatcher`.
        sync_handlers: Where sync methods run: `"inline"`, in the thread that reads, or `"thread"`, in a separate one.
        on_handler_error: Called with each error of a handler.

    Returns:
        Output of the root run, or of the last one if there are several. None if no root run has ended well.

    Raises:
        Exception: As `adispatch_events`, and what reading raises.

    Example:
        ```python
        output = await callbridge.adrive(chain.astream_events({"drink": "tea"}, version="v2"), [PrintTokens()])
        print(output.content == "With hot water.")
        #> With hot water.True
        ```
    """
    _check_any_iterable(events)
    options = _options(list_tokens, sync_handlers, on_handler_error)
    dispatched: AsyncDispatchedEvents[Mapping[str, Any]] = AsyncDispatchedEvents(events, handlers, options, stacklevel=3)
    async with dispatched:
        async for _ in dispatched:
            pass
    return dispatched.output


def _options(list_tokens: bool, sync_handlers: SyncHandlers, on_handler_error: OnHandlerError | None) -> dict[str, Any]:
    return {"list_tokens": list_tokens, "sync_handlers": sync_handlers, "on_handler_error": on_handler_error}


def _check_iterable(events: object) -> None:
    if isinstance(events, Mapping | str) or not isinstance(events, Iterable):
        hint = "; an async source goes to adispatch_events or adrive" if isinstance(events, AsyncIterable) else ""
        raise ArgumentError("events", events, f"an iterable of events{hint}")


def _check_any_iterable(events: object) -> None:
    # A future is an iterable, too, and a model's stream of version 3 is awaitable as well.
    awaitable = isinstance(events, Awaitable) and not isinstance(events, AsyncIterable)
    if awaitable or isinstance(events, Mapping | str) or not isinstance(events, AsyncIterable | Iterable):
        hint = "; await it first" if awaitable else ""
        raise ArgumentError("events", events, f"an iterable or async iterable of events{hint}")
