"""`CallbackDispatcher`: takes events and calls handlers.

How handlers are called:

| method | `afeed` | `feed` |
|---|---|---|
| sync | in the caller's thread | the same |
| sync, `sync_handlers="thread"` | in one thread of the dispatcher's own | the same |
| async | awaited in the caller's task | in one loop and one task of the dispatcher's own |

In all cases, the calls of a run are made in the run's own context (see `contexts`). A method is async if its result is
awaitable, however the method is written. Handlers are called one after the other, and the next event begins when the last
handler has returned. So each handler sees the events in order.

The queue below holds the rest of one event. It holds more only if a handler feeds the dispatcher that is calling it, or if a
delivery was cancelled: then its rest comes before the next event.

Source: `handle_event`, `ahandle_event` (`langchain_core/callbacks/manager.py`, 0.3.0 to 1.8.1), for the calls and their
arguments, and for how errors are treated.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from threading import Lock, get_ident
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import anyio
from langchain_core.callbacks import BaseCallbackHandler

from callbridge.core.arguments import check_error
from callbridge.core.calls import Call, CallParts, Payload
from callbridge.core.check import is_whole
from callbridge.core.decode import EventsToCalls
from callbridge.core.methods import METHODS
from callbridge.core.protocol.decode import ProtocolToEvents
from callbridge.core.protocol.envelope import is_protocol_event
from callbridge.core.runs import MISSING
from callbridge.dispatch.contexts import WithinContext, begun, context_of, renew_context
from callbridge.dispatch.private_loop import PrivateLoop, called_between_turns
from callbridge.dispatch.receiving_handler import Handlers, ReceivingHandler, as_llm_start, handler_list
from callbridge.dispatch.task_lock import TaskLock
from callbridge.errors import ArgumentError, DispatcherClosedError
from callbridge.internals import used_elsewhere

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CallbackDispatcher", "DispatchStatistics", "OnHandlerError", "SyncHandlers"]

SyncHandlers: TypeAlias = Literal["inline", "thread"]
"""Where sync methods run: in the thread that feeds, or in one thread of the dispatcher's own."""

OnHandlerError: TypeAlias = Callable[[BaseCallbackHandler, Call, Exception], object]
"""Called with the handler, the call and what the handler raised."""

_Unfinished: TypeAlias = "tuple[ReceivingHandler, CallParts, Any]"
"""A handler, its call, and the rest to await that a `_Step` has left."""

_Step: TypeAlias = Callable[[Context, Awaitable[Any]], Any]
"""Takes the context of a run and an awaitable that a method has returned, and returns the rest to do; `None` if there is
none."""

_Runner: TypeAlias = Callable[..., Any]
"""Takes a context, a method and its arguments, and calls it in that context, now or later."""

_IN_PLACE: Final[tuple[_Runner, _Step]] = (Context.run, begun)
"""Make each call at once, in the thread and task that feed."""

_logger = logging.getLogger("callbridge.dispatch")


@dataclass(frozen=True, slots=True)
class DispatchStatistics:
    """Counters of a dispatcher."""

    events: int
    """Events fed."""

    calls: int
    """Calls made: one for each handler that overrides the method, whether or not an `ignore_*` flag switches it off."""

    errors: int
    """Calls that raised."""

    open_runs: int
    """Runs that have started and not ended."""

    waiting: int
    """Calls that are still to be made; above 0 after a cancelled delivery."""


class CallbackDispatcher:
    """Turns events into callbacks of old handlers, as if the handlers were attached to the run.

    Args:
        handlers: A handler, a sequence of them, or a callback manager. A handler given twice is called once.
        list_tokens: If true, handlers get a token that is a list of content blocks as it is. If false, they get its text.
        sync_handlers: Where sync methods run: `"inline"`, in the thread that feeds, or `"thread"`, in the dispatcher's own.
        on_handler_error: Called with each error of a handler. The error is logged in any case. If this function raises,
            `feed` raises.

    Raises:
        HandlerTypeError: Something given as a handler is not one.
        ArgumentError: Another argument has a value that is not allowed.

    Threads: `feed` and its like from any thread, one at a time (others wait), or `afeed` and its like from tasks of one loop,
        one at a time (others wait). Not both at once, except that a handler may feed the dispatcher that is calling it.

    Example:
        ```python
        with callbridge.CallbackDispatcher([PrintTokens()]) as dispatcher:
            for event in callbridge.stream_events(chain, {"drink": "tea"}):
                dispatcher.feed(event)
        #> With hot water.
        ```
    """

    def __init__(
        self,
        handlers: Handlers,
        *,
        list_tokens: bool = False,
        sync_handlers: SyncHandlers = "inline",
        on_handler_error: OnHandlerError | None = None,
    ) -> None:
        if sync_handlers not in ("inline", "thread"):
            raise ArgumentError("sync_handlers", sync_handlers, "'inline' or 'thread'")
        if on_handler_error is not None and not callable(on_handler_error):
            raise ArgumentError("on_handler_error", on_handler_error, "a function of handler, call and error, or None")
        targets = [ReceivingHandler(handler) for handler in handler_list(handlers)]
        self._handlers = tuple(target.handler for target in targets)
        self._receivers: dict[str, list[ReceivingHandler | None]] = {
            name: [target for target in targets if target.receives(name)] for name in METHODS
        }
        self._decoder = EventsToCalls(
            list_tokens=list_tokens, methods=[name for name, receivers in self._receivers.items() if receivers]
        )
        self._receivers[""] = [None]  # such parts only say that the run begins
        self._in_thread = sync_handlers == "thread"
        self._on_handler_error = on_handler_error
        self._protocol: ProtocolToEvents | None = None  # made for the first event of version 3
        self._queue: deque[tuple[ReceivingHandler | None, CallParts]] = deque()
        self._delivering: int | None = None  # the thread that is calling a handler
        self._turn = Lock()  # for sync code
        self._task_lock = TaskLock()  # for tasks
        self._loop: PrivateLoop | None = None
        self._closed = False
        self._first_error: Exception | None = None  # from a handler with `raise_error`, for the current event
        self._events = self._calls = self._errors = 0

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def handlers(self) -> Sequence[BaseCallbackHandler]:
        """The handlers, each once."""
        return self._handlers

    @property
    def output(self) -> Payload:
        """Output of the last root run that ended well; None if none has."""
        return None if self._decoder.root_output is MISSING else self._decoder.root_output

    def statistics(self) -> DispatchStatistics:
        """Return counters."""
        return DispatchStatistics(self._events, self._calls, self._errors, self._decoder.open_runs, len(self._queue))

    # -- sync ---------------------------------------------------------------------------------------------------------

    def feed(self, event: Mapping[str, Any]) -> None:
        """Call the handlers for an event, and return when they have returned.

        Args:
            event: An event of v2, of the extended vocabulary or of version 3, live or out of JSON. It is not written to.

        Raises:
            EventFormatError: It is not an event.
            EventSequenceError: It belongs to a run that has not started, or starts a run that is open.
            DispatcherClosedError: The dispatcher is closed.
            Exception: The first error of a handler whose `raise_error` is set, after all handlers were called.

        Threads: if a handler calls it, it returns at once, and the event is delivered after the one being delivered.
        """
        self._sync(self._take_event, event)

    def fail(self, error: BaseException) -> None:
        """Close the open runs, innermost first, with their error callbacks.

        Args:
            error: The error that the handlers get. It is not raised.

        Raises:
            ArgumentError: It is not an exception.
            Exception: As `feed`, of a handler with `raise_error`.
        """
        check_error(error, optional=False)
        self._sync(self._take_failure, error)

    def close(self) -> None:
        """Close the open runs with `RunUnfinishedError`, and end the dispatcher's own thread. Idempotent.

        Raises:
            Exception: As `feed`, of a handler with `raise_error`. Everything is closed even then.
        """
        self.finish(None)

    def finish(self, error: BaseException | None) -> None:
        """Close the dispatcher, and the open runs with this error. `None` does the same as `close`.

        Raises:
            ArgumentError: It is not an exception.
            Exception: As `close`.
        """
        check_error(error)
        if not self._closed:
            self._sync(self._take_end, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.finish(error)
        except Exception:
            if error is None:
                raise  # otherwise it was logged, and the first error is the one to raise

    def _sync(self, take: Callable[[Any], None], subject: Any) -> None:
        """Translate something and deliver its calls."""
        if (self._delivering is not None or self._loop is not None) and self._is_nested():
            take(subject)
            return
        with self._turn:
            self._first_error, errors = None, self._errors
            try:
                take(subject)
                if self._queue:
                    self._delivering = get_ident()
                    run = self._run_in_thread if self._in_thread else Context.run
                    while (unfinished := self._call_handlers(run, _as_job)) is not None:
                        target, parts, job = unfinished
                        try:
                            self._private_loop().run(job)
                        except Exception as error:  # noqa: BLE001 - as in `_call_handlers`
                            self._note_error(target, parts, error)
                        except BaseException:
                            renew_context(parts[3])
                            raise
            finally:
                self._delivering = None
                # Here and not in `finish`, because a handler may close the dispatcher that is calling it.
                if self._closed and self._loop is not None:
                    self._loop.close()
            if self._errors > errors:
                self._raise_first_error()

    def _run_in_thread(self, context: Context, method: Callable[..., Any], /, *args: Payload, **kwargs: Payload) -> Any:
        return self._private_loop().call(partial(_made, context, partial(method, *args, **kwargs)))

    # -- async --------------------------------------------------------------------------------------------------------

    def afeed(self, event: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """Call the handlers for an event from a task. Their coroutine methods are awaited in this task.

        Raises:
            Exception: As `feed`.

        Cancellation: the handler being awaited is cancelled. The handlers after it get this event before they get the next. If
            the call still waits for another task that feeds, nothing has happened yet.
        """
        return self._async(self._take_event, event)  # a coroutine around it would only cost time

    async def afail(self, error: BaseException) -> None:
        """Close all open runs with an error from a task, as `fail` does.

        Raises:
            Exception: As `fail`.

        Cancellation: AnyIO's level cancellation is held off until it is done.
        """
        check_error(error, optional=False)
        with anyio.CancelScope(shield=True):
            await self._async(self._take_failure, error)

    async def aclose(self) -> None:
        """Close the dispatcher from a task, as `close` does.

        Cancellation: AnyIO's level cancellation is held off until it is done.
        """
        await self.afinish(None)

    async def afinish(self, error: BaseException | None) -> None:
        """Close the dispatcher from a task, as `finish` does.

        Raises:
            Exception: As `finish`.
        """
        check_error(error)
        if not self._closed:
            with anyio.CancelScope(shield=True):
                await self._async(self._take_end, error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.afinish(error)
        except Exception:
            if error is None:
                raise

    async def _async(self, take: Callable[[Any], None], subject: Any) -> None:
        """Translate something and deliver its calls."""
        turn = self._task_lock
        if turn.holder is not None or self._delivering is not None or self._loop is not None:
            if self._is_nested_in_task():
                take(subject)
                return
            if not turn.take_nowait():
                await turn.take()
        self._first_error, errors = None, self._errors
        try:
            take(subject)
            if self._queue:
                self._delivering = get_ident()
                run, step = (self._arun_in_thread, _begun) if self._in_thread else _IN_PLACE
                while (unfinished := self._call_handlers(run, step)) is not None:
                    if turn.holder is None:
                        turn.take_nowait()  # not earlier, because no other task has run until now
                    target, parts, rest = unfinished
                    try:
                        await rest
                    except Exception as error:  # noqa: BLE001 - as in `_call_handlers`
                        self._note_error(target, parts, error)
                    except BaseException:
                        if self._in_thread:
                            renew_context(parts[3])
                        raise
        finally:
            self._delivering = None
            if turn.holder is not None:
                turn.release()
            if self._closed and self._loop is not None:
                with anyio.CancelScope(shield=True):
                    await self._loop.aclose()
        if self._errors > errors:
            self._raise_first_error()

    def _arun_in_thread(self, context: Context, method: Callable[..., Any], /, *args: Payload, **kwargs: Payload) -> Any:
        if inspect.iscoroutinefunction(method):
            return context.run(method, *args, **kwargs)
        return _ThreadCall(self._private_loop(), context, partial(method, *args, **kwargs))

    # -- both ---------------------------------------------------------------------------------------------------------

    def abandon(self, error: BaseException) -> list[WithinContext]:
        """Close without waiting, from a finalizer. Sync methods are called in the current thread.

        Args:
            error: What ended the open runs.

        Returns:
            The calls of coroutine methods, to await in order.
        """
        left: list[WithinContext] = []
        if self._closed:
            return left
        run = self._run_later if self._in_thread else Context.run
        self._take_end(error)
        while (unfinished := self._call_handlers(run, WithinContext)) is not None:
            left.append(unfinished[2])
        if self._loop is not None:
            self._loop.stop()
        return left

    def _run_later(self, context: Context, method: Callable[..., Any], /, *args: Payload, **kwargs: Payload) -> None:
        self._private_loop().submit(partial(_called, context, partial(method, *args, **kwargs)))

    def _take_event(self, event: Mapping[str, Any]) -> None:
        if self._closed:
            raise DispatcherClosedError
        if is_whole(event):  # as most events are
            calls = self._decoder.whole_parts(event)
        else:
            calls = self._protocol_parts(event) if self._is_protocol(event) else self._decoder.feed_parts(event)
        self._events += 1
        if calls:
            self._enqueue(calls)

    def _is_protocol(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event is one of version 3, even of a type that is not known yet if the stream is of version 3."""
        if is_protocol_event(event):
            return True
        begun = self._protocol is not None and isinstance(event, Mapping)
        return begun and "run_id" not in event and isinstance(event.get("event"), str)

    def _protocol_parts(self, event: Mapping[str, Any]) -> list[CallParts]:
        """Translate an event of version 3."""
        if self._protocol is None:
            self._protocol = ProtocolToEvents()
        return [parts for made in self._protocol.feed(event) for parts in self._decoder.feed_parts(made)]

    def _take_failure(self, error: BaseException) -> None:
        self._enqueue(self._decoder.close_parts(error))

    def _take_end(self, error: BaseException | None) -> None:
        self._closed = True
        if self._protocol is not None:
            for made in self._protocol.close(error):
                self._enqueue(self._decoder.feed_parts(made))
        self._enqueue(self._decoder.close_parts(error))

    def _enqueue(self, calls: list[CallParts]) -> None:
        if self._queue or self._delivering is not None:
            # Another feeder may deliver it, whose context is not that of a root that begins here.
            for parts in calls:
                if parts[3].above is None:
                    context_of(parts[3])
        queue = self._queue
        for parts in calls:
            for target in self._receivers[parts[0]]:
                queue.append((target, parts))

    def _call_handlers(self, run: _Runner, step: _Step) -> _Unfinished | None:
        """Call handlers until one must be awaited, and return the rest of its call; `None` if all have been called.

        Args:
            run: Makes each call, in the given context.
            step: Turns an awaitable that a method has returned into the rest to do.
        """
        queue = self._queue
        while queue:
            target, parts = queue.popleft()
            if target is None:
                context_of(parts[3])
                continue
            self._calls += 1
            try:
                context = context_of(parts[3]) if parts[3].context is None else parts[3].context
                result = target.call(parts, run, context)
                if result is not None and (type(result) is CoroutineType or inspect.isawaitable(result)):
                    rest = step(context, result)
                    if rest is not None:
                        return target, parts, rest
            except Exception as error:  # noqa: BLE001 - a handler's; its own attributes say what becomes of it
                self._note_error(target, parts, error)
            except BaseException:
                if self._in_thread:
                    renew_context(parts[3])
                raise
        return None

    def _is_nested(self) -> bool:
        """Return whether the calling code is a handler that this dispatcher is calling."""
        return self._delivering == get_ident() or (self._loop is not None and self._loop.is_current())

    def _is_nested_in_task(self) -> bool:
        """Do the same for code in a task, while other tasks may have the turn."""
        if self._task_lock.holder is None:
            return self._is_nested()
        return self._task_lock.is_mine() or (self._loop is not None and self._loop.is_current())

    def _private_loop(self) -> PrivateLoop:
        if self._loop is None:
            self._loop = PrivateLoop()
            weakref.finalize(self, self._loop.stop)
        return self._loop

    def _note_error(self, target: ReceivingHandler, parts: CallParts, error: Exception) -> None:
        """Treat a handler's error as LangChain does, and also say which handler, method and run it came from."""
        unimplemented = isinstance(error, NotImplementedError)
        if unimplemented and parts[0] == "on_chat_model_start":
            if target.has("on_llm_start"):
                self._queue.appendleft((target, as_llm_start(parts)))
            return
        self._errors += 1
        call, handler = Call(*parts[:3]), target.handler
        _logger.warning("Error in %s.%s callback of run %s: %r", type(handler).__name__, call.method, call.run_id, error)
        if handler.raise_error and not unimplemented and self._first_error is None:
            self._first_error = error
        if self._on_handler_error is not None:
            try:
                self._on_handler_error(handler, call, error)
            except Exception as raised:  # noqa: BLE001 - raised when all handlers have been called
                self._first_error = self._first_error or raised

    def _raise_first_error(self) -> None:
        error, self._first_error = self._first_error, None
        if error is not None:
            raise error


class _ThreadCall:
    """A call that is made in the dispatcher's own thread and awaited in the task that feeds."""

    __slots__ = ("_bound", "_context", "_loop")

    def __init__(self, loop: PrivateLoop, context: Context, bound: Callable[[], Any]) -> None:
        self._loop = loop
        self._context = context
        self._bound = bound

    def __await__(self) -> Generator[Any, Any, None]:
        return self._seen_through().__await__()

    async def _seen_through(self) -> None:
        result = await self._loop.acall(partial(_made, self._context, self._bound))
        if result is not None and inspect.isawaitable(result):
            await WithinContext(self._context, result)


def _begun(context: Context, result: Awaitable[Any]) -> Awaitable[Any] | None:
    """Make the first step in the task that feeds, unless the dispatcher's thread must make it."""
    return result if type(result) is _ThreadCall else begun(context, result)


# Jobs of the private loop.


def _as_job(context: Context, result: Awaitable[Any]) -> Callable[[], Awaitable[None]]:
    """Await it in the private loop."""
    return partial(_awaited, context, result)


async def _awaited(context: Context, result: Awaitable[Any]) -> None:
    """Await the rest of a call that was made elsewhere."""
    with used_elsewhere(context):
        await WithinContext(context, result)


async def _called(context: Context, bound: Callable[[], Any]) -> None:
    """Make a call and await the rest."""
    with used_elsewhere(context):
        result = await called_between_turns(partial(context.run, bound))
        if result is not None and inspect.isawaitable(result):
            await WithinContext(context, result)


def _made(context: Context, bound: Callable[[], Any]) -> Any:
    """Make a call whose result, if it is awaitable, is awaited elsewhere."""
    with used_elsewhere(context):
        return context.run(bound)
