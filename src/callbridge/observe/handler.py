"""`EventStreamHandler`: a callback handler that is an iterator of events.

One object serves every kind of run. How a callback may wait for the reader depends on its caller, so the callback methods are
descriptors that look at their caller (see `callers`):

| caller | gets | when the channel is full |
|---|---|---|
| `handle_event`, no loop in this thread | a function | blocks the thread |
| `handle_event`, a loop runs in this thread | a function | never waits, because the loop could not go on (overrun) |
| `ahandle_event` | a coroutine function | awaits |
| any other caller | a function with an awaitable result | as above |

A plain coroutine function would also work in the first two cases. But LangChain would make a new event loop for each callback,
and would deadlock when the garbage collector fires a callback while a loop runs.

`run_inline` depends on the caller, too. It is True for `ahandle_event`, which then needs no task and no `gather` for each
callback. It is False for all others: if one handler is inline, `AsyncCallbackManager.on_llm_start` drops every handler that is
not (LangChain issue 39633).

Source: `handle_event`, `ahandle_event` (`langchain_core/callbacks/manager.py`, 0.3.0 to 1.8.1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import cache, partial
from sys import exc_info
from types import FrameType, MappingProxyType, TracebackType, new_class
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel
from callbridge.core.arguments import check_error, check_flag
from callbridge.core.calls import Payload
from callbridge.core.encode import CallsToEvents
from callbridge.core.merge import merge_chunks, mergeable
from callbridge.core.methods import METHODS
from callbridge.core.runs import MISSING
from callbridge.errors import ArgumentError, ChannelOverflow, ResultNotReadyError
from callbridge.internals import calling_frame
from callbridge.observe.callers import (
    ASYNC_DISPATCH,
    ASYNC_DISPATCH_ONE,
    SYNC_DISPATCH,
    StreamingHandler,
    in_borrowed_loop,
    left_out_of_tap,
)
from callbridge.observe.event_sender import EventSender
from callbridge.observe.options import HandlerOptions, check_option_names
from callbridge.observe.output_taps import tap, tap_async
from callbridge.observe.reading import EventReader, HandlerTexts, StreamStatistics, described
from callbridge.running.interpreter_exit import leave_at_exit

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from callbridge.channel.memory import Overflow
    from callbridge.events import Event

__all__ = ["Callback", "EventStreamHandler"]

T = TypeVar("T")


class _Reported:
    """The result of a callback for a caller other than LangChain. The work is done. Awaiting this waits for room."""

    __slots__ = ("_room",)

    def __init__(self, room: Callable[[], Any] | None) -> None:
        self._room = room

    def __await__(self) -> Generator[Any, Any, None]:
        if self._room is not None:
            yield from self._room().__await__()


class Callback:
    """One callback method of the handler. Its form depends on the caller.

    Args:
        method: Its name.
        quick: The methods of the sender that do the same faster, for async and for sync runs, if it is called for each token.
    """

    def __init__(self, method: str, *, quick: tuple[str, str] | None = None) -> None:
        self._method = method
        self._quick = quick
        self.__doc__ = f"Report `{method}`."

    def __get__(self, handler: EventStreamHandler | None, owner: type[EventStreamHandler]) -> Any:
        if handler is None:
            return self
        caller, quick = calling_frame(1).f_code, self._quick
        if caller in ASYNC_DISPATCH_ONE:
            return getattr(handler._sender, quick[0]) if quick else partial(handler._report_async, self._method)
        if caller in SYNC_DISPATCH:
            return getattr(handler._sender, quick[1]) if quick else partial(handler._report_sync, self._method)
        return handler._reporter(self._method)


class _RaisesOverflow:
    """`raise_error`: LangChain reads it when a callback has failed. Only an overflow that you asked for is an error of the run.

    It is not a property, so that subclasses and users can set the attribute as on any handler.
    """

    def __get__(self, handler: object, owner: object) -> bool:
        return isinstance(exc_info()[1], ChannelOverflow)


class EventStreamHandler(BaseCallbackHandler):
    """A callback handler that is an iterator of the events of the runs it is attached to.

    Attach it wherever a handler goes, and iterate it with `async for` or `for`. Iteration ends with the run, however
    the run ends; an error of the run is raised where the run was called, not here.

    If you might stop early, iterate inside `async with handler:` or `with handler:`. Leaving the block closes the handler. The
    run does not belong to the handler, so it goes on unheard. A bare `break` does not say that nobody will read on. If the
    channel is full by then, the run waits for its reader to come back. If none does, the run waits for ever, or until `close`,
    `aclose` or the end of `with`. Dropping the handler is not enough, because the run it is attached to holds it.

    Args:
        roots: The iteration ends after this many root runs. With `None` it ends only after `finish()`.
        **options: See `HandlerOptions`. `streaming` defaults to False, so attaching the handler changes nothing about
            the run.

    Raises:
        OptionError: A keyword is not one of the options.
        ArgumentError: An argument has a value that is not allowed.

    With `overflow="fail"`, the run raises `ChannelOverflow`, whatever `raise_error` is, and the reader raises it in place of
    the end.

    Threads: callbacks may come from any thread or loop; there is one reader. As long as nobody reads, the run does not wait,
        because it might be the very code that will read next. Events beyond the capacity are counted as overruns.
    Cancellation: a cancelled reader has lost nothing; a cancelled callback has delivered its event.

    Example:
        ```python
        handler = callbridge.EventStreamHandler()
        task = asyncio.create_task(chain.ainvoke({"drink": "tea"}, config={"callbacks": [handler]}))
        async with handler:
            names = {event["event"] async for event in handler}
        await task
        print(sorted(names)[:2])
        #> ['on_chain_end', 'on_chain_start']
        ```
    """

    raise_error: Any = _RaisesOverflow()

    # These are properties in LangChain, which reads them for each token.
    ignore_llm: Any = False  # pyright: ignore[reportIncompatibleMethodOverride]
    ignore_chain: Any = False  # pyright: ignore[reportIncompatibleMethodOverride]

    def __new__(cls, *args: Any, streaming: bool = False, **kwargs: Any) -> Self:
        """Make an instance. If `streaming` is set, LangChain takes its class for a streaming handler."""
        # An attribute of the instance would not do, because LangChain asks `isinstance`, by methods or by class.
        known: Any = cls
        made: Self = super().__new__(_streaming_class(known) if streaming else known)
        return made

    def __init__(
        self,
        *,
        roots: int | None = 1,
        **options: Unpack[HandlerOptions],
    ) -> None:
        super().__init__()
        check_option_names(options, HandlerOptions, also=("roots",))
        if roots is not None and (type(roots) is not int or roots < 1):
            raise ArgumentError("roots", roots, "a positive number of root runs, or None")
        self.streaming = options.pop("streaming", False)
        check_flag("streaming", self.streaming)
        send, receive = _open(options.pop("capacity", 256), options.pop("overflow", "block"))
        self._reader = EventReader(receive)
        self._sender = EventSender(self._make_encoder(**options), send, self._reader, roots)

    def _make_encoder(self, **options: Any) -> CallsToEvents:
        return CallsToEvents(**options)

    # -- reading ------------------------------------------------------------------------------------------------------

    def __aiter__(self) -> EventStreamHandler:
        self._reader.begin()
        leave_at_exit(self)
        return self

    async def __anext__(self) -> Event:
        event = self._reader.ready(None)
        if event is not None:
            return event
        reading = self._reader.next_async()
        try:
            event = await reading
        except StopAsyncIteration as error:
            self._reader.note_end()
            raise RuntimeError("a run ended with StopAsyncIteration") from error
        except BaseException:
            self._reader.note_end()
            raise
        if event is None:
            self._reader.note_end()
            raise StopAsyncIteration
        return event

    def __iter__(self) -> EventStreamHandler:
        self._reader.begin()
        leave_at_exit(self)
        return self

    def __next__(self) -> Event:
        return self._reader.next_sync()

    def text(self) -> HandlerTexts:
        """Return the visible text of models, each piece once, as an iterator for `async for` and `for`."""
        return HandlerTexts(self)

    @property
    def result(self) -> Payload:
        """Output of the last root run.

        Raises:
            ResultNotReadyError: No root run has ended well yet.
        """
        encoder = self._sender.encoder
        if encoder.root_output is MISSING:
            state = "running" if encoder.open_roots else "failed" if encoder.roots_ended else "not started"
            raise ResultNotReadyError(state)
        return encoder.root_output

    def statistics(self) -> StreamStatistics:
        """Return counters of the channel and the number of runs remembered."""
        return StreamStatistics(self._sender.send.statistics(), self._sender.encoder.runs)

    def finish(self, error: BaseException | None = None) -> None:
        """Say that no more runs will come. Iteration ends after the buffered events.

        Args:
            error: The reader raises it then, instead of reaching the end.

        Raises:
            ArgumentError: The error is not an exception.

        Threads: any.
        """
        check_error(error)
        self._sender.finish(error)

    def close(self) -> None:
        """Stop reading. This wakes callbacks that wait for room, and later callbacks do nothing.

        The runs do not belong to the handler and go on. Idempotent. Threads: any.
        """
        self._reader.close()
        self._sender.finish()

    async def aclose(self) -> None:
        """Stop reading, as `close` does. There is nothing to wait for."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {described(self._reader.state, self.statistics())}>"

    def leave_for_exit(self) -> None:
        """Stop reading because the interpreter exits. It calls this."""
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def _report_sync(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        """Report a callback of a sync run, or of a sync call inside a running loop."""
        if self._sender.report(method, args, kwargs):
            self._sender.room_sync()

    async def _report_async(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        """Report a callback of an async run."""
        await self._sender.report_awaited(method, args, kwargs)

    def _report_any(self, method: str, /, *args: Payload, **kwargs: Payload) -> _Reported:
        """Report a callback made by a subclass or by the user's own code."""
        if not self._sender.report(method, args, kwargs):
            return _Reported(None)
        # In a thread that runs a loop this does not wait, but counts it: nobody knows whether the caller awaits the result.
        self._sender.room_sync()
        return _Reported(None if in_borrowed_loop() else self._sender.room)

    def _reporter(self, method: str) -> Callable[..., Any]:
        """Return the form of a callback for a caller that is not LangChain."""
        return partial(self._report_any, method)

    def _before_tap(self, tap: str, run_id: UUID, output: Any) -> Any:
        """Return the chunks to tap. A subclass can insert another handler's tap here."""
        return output

    @property
    def _stands_for_another(self) -> bool:
        """Whether another streaming handler taps where this one does."""
        return False

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """True for `ahandle_event`, False for all others; see the head of this module."""
        caller = calling_frame(1).f_code
        return caller in ASYNC_DISPATCH or caller in ASYNC_DISPATCH_ONE

    def __copy__(self) -> EventStreamHandler:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> EventStreamHandler:
        # Users copy configs, and nobody would read a copied handler.
        return self


def _open(capacity: int, overflow: Overflow) -> tuple[SendEnd[Event], ReceiveEnd[Event]]:
    if overflow == "coalesce":
        return open_channel(capacity, overflow=overflow, kind=mergeable, merge=merge_chunks, patient=False)
    return open_channel(capacity, overflow=overflow, patient=False)


_QUICK: Final = MappingProxyType(
    {
        "on_llm_new_token": ("report_token", "report_token_sync"),
        "on_stream_event": ("report_message_event", "report_message_event_sync"),
    }
)

for _method in METHODS:
    setattr(EventStreamHandler, _method, Callback(_method, quick=_QUICK.get(_method)))


class _Tapping(StreamingHandler):  # type: ignore[misc]
    """Makes a handler a streaming one, so that LangChain lets it tap the chunks of runs."""

    def tap_output_aiter(self: Any, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
        """Report the chunks of an async run as they pass."""
        for other in self._left_out(calling_frame(1)):
            output = other.tap_output_aiter(run_id, output)
        output = self._before_tap("tap_output_aiter", run_id, output)
        return tap_async(self._sender, run_id, output) if self.streaming else output

    def tap_output_iter(self: Any, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
        """Report the chunks of a sync run as they pass."""
        for other in self._left_out(calling_frame(1)):
            output = other.tap_output_iter(run_id, output)
        output = self._before_tap("tap_output_iter", run_id, output)
        return tap(self._sender, run_id, output) if self.streaming else output

    def _left_out(self: Any, caller: FrameType) -> Iterator[Any]:
        """Yield the streaming handlers that LangChain leaves out because of this one: ours, and the first of the others.

        LangChain lets only the first streaming handler of a run tap it. Without us, that would have been the first of the
        others. The rest of them would not have had chunks, and do not get any now.
        """
        is_let_in = self._stands_for_another
        for other in left_out_of_tap(self, caller):
            if isinstance(other, _Tapping):
                ours: Any = other
                is_let_in = is_let_in or ours._stands_for_another
                yield other
            elif not is_let_in and isinstance(other, StreamingHandler):
                is_let_in = True
                yield other


@cache
def _streaming_class(base: Any) -> Any:
    """Return the variant of a handler class that LangChain takes for a streaming handler."""
    if issubclass(base, _Tapping):
        return base
    body = {"__module__": base.__module__, "__doc__": base.__doc__, "__qualname__": base.__qualname__}
    return new_class(base.__name__, (base, _Tapping), exec_body=lambda namespace: namespace.update(body))
