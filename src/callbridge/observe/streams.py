"""`AsyncEventStream` and `EventStream`: iterators that own the run they report on.

```
new ──first read──▶ running ──the run ends──▶ ended       the error, if any, is raised by the read that finds the end
 └──────close──────────┴────────close──────▶ closed       the run is cancelled and awaited, or left to itself (`on_exit`)
```

These are classes and not generators. So a stream that was never started has nothing to clean up, closing takes effect at once,
and dropping a stream cancels its run when the object dies and not some ticks later.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langchain_core.callbacks import BaseCallbackHandler

from callbridge.errors import ArgumentError, ResultNotReadyError
from callbridge.observe.options import OnExit
from callbridge.observe.owned_run_handler import OwnedRunHandler
from callbridge.observe.reading import AsyncTexts, StreamStatistics, Texts, described
from callbridge.running.interpreter_exit import leave_at_exit
from callbridge.running.owned_runs import OwnedRun

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["AsyncEventStream", "EventStream"]

R = TypeVar("R")


class _OwningStream(Generic[R]):
    """Base of the two kinds of stream.

    Args:
        handler: The handler that hears of the run.
        run: The run.
        on_exit: What happens to the run when the reader leaves.
        attached: Other handlers that are known to hear of the run.
    """

    def __init__(
        self, handler: OwnedRunHandler, run: OwnedRun, *, on_exit: OnExit, attached: Sequence[BaseCallbackHandler] = ()
    ) -> None:
        self._begun = False  # first, because `__del__` reads it
        if on_exit not in ("cancel", "detach"):
            raise ArgumentError("on_exit", on_exit, "'cancel' or 'detach'")
        self._handler = handler
        self._reader = handler.reader
        self._ready = handler.reader.ready
        self._take: Callable[..., Coroutine[Any, Any, Event]] = handler.reader.take
        self._run = run
        self._on_exit: OnExit = on_exit
        self._attached = tuple(attached)
        self._error: BaseException | None = None

    @property
    def result(self) -> R:
        """Exactly what the call returned, or the root run's output.

        Raises:
            ResultNotReadyError: The reader has not reached the end yet, or it left before the end.
            BaseException: The error that ended the run, raised again.
        """
        state = self._reader.state
        if state == "ended":
            if self._error is not None:
                raise self._error
            result: R = self._run.result
            return result
        raise ResultNotReadyError({"new": "not started", "reading": "running", "closed": "left"}[state])

    def statistics(self) -> StreamStatistics:
        """Return counters of the channel and the number of runs remembered."""
        return self._handler.statistics()

    def attached_handlers(self) -> Sequence[BaseCallbackHandler]:
        """Return the user's own handlers that are known to hear of this run directly."""
        return self._attached

    def _begin(self) -> None:
        """Called by the first read."""
        self._reader.begin()
        leave_at_exit(self)
        self._begun = True  # first, because the run may close the stream before `start` returns
        try:
            self._run.start()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> bool:
        """Called when the reader leaves. Return whether there is a run to wait for."""
        if self._begun and self._reader.state == "reading" and self._on_exit == "cancel":
            # Before the channel is closed: that wakes callbacks that wait for room, and the run would go on to the next tokens.
            self._reader.leave()
            self._run.cancel()
        self._handler.close()
        return self._begun and self._on_exit == "cancel"

    def leave_for_exit(self) -> None:
        """Leave because the interpreter exits; called by it."""
        self._leave()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {described(self._reader.state, self.statistics())}>"

    def __del__(self) -> None:
        # The stream was dropped without being closed, for example by a bare `break`. Nothing can be awaited here.
        if self._begun:
            self._leave()


class AsyncEventStream(_OwningStream[R]):
    """An async iterator over the events of a run that this stream starts, owns and ends.

    Iterate it inside `async with`, so that leaving early cancels and awaits the run. The first read starts the run, which
    is driven in one task and one context.

    Cancellation: inside `async with`, a cancelled read has lost nothing, and you may repeat it after a timeout. Outside,
    nobody else would end the run, so a cancelled read closes the stream, as in LangChain's generator. The stream never
    swallows the caller's own cancellation: if it arrives while the run is being awaited, it is raised afterwards.
    Threads: use the stream in the loop that first read it.

    Example:
        ```python
        async with callbridge.astream_events(chain, {"drink": "tea"}) as stream:
            async for text in stream.text():
                break  # leaving the block cancels the run
        print(text, stream.statistics().runs)
        #> W 0
        ```
    """

    _entered = False

    def __aiter__(self) -> AsyncEventStream[R]:
        """Return the stream itself.

        Raises:
            StreamConsumedError: It has ended or was closed.
        """
        if self._begun:
            self._reader.begin()
        else:
            self._reader.check_new()
        return self

    def __anext__(self) -> Coroutine[Any, Any, Event]:
        """Return the next event.

        Raises:
            StopAsyncIteration: The run has ended well.
            ConcurrentReadError: Another task is waiting for the next event.
            BaseException: The very error that ended the run, after all events that came before it.
        """
        # The channel's own coroutine. One around it would make up a fourth of the price of reading an event.
        return self._take(None, self._end) if self._reader.state == "reading" else self._first()

    async def _first(self) -> Event:
        """Begin, or raise the end."""
        if not self._begun:
            self._begin()
        self._reader.check_open(StopAsyncIteration)
        return await self._take(None, self._end)

    async def __aenter__(self) -> AsyncEventStream[R]:
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, seconds: float | None = None) -> bool:
        """Close the stream: cancel the run and wait until it has ended, its cleanup included. Idempotent.

        With `on_exit="detach"` the run goes on unread instead, and there is nothing to wait for.

        Args:
            seconds: How many seconds to wait for a run that cannot be interrupted, such as sync code in a long call. The
                run is still told to stop, and does so at its next callback. `None` waits as long as it takes.

        Returns:
            False if the time is over before the run has ended.

        Cancellation: shielded from cancel scopes; a native cancellation is raised when the run has ended or the time is over.
        """
        return await self._run.wait(seconds) if self._leave() else True

    def text(self) -> AsyncTexts:
        """Return the visible text of models as an iterator, each piece once.

        It gives model text only, and leaves out the copies that prompts, parsers, chains and graphs pass on. Content blocks
        give their text, and models tagged `nostream` give none. A model that does not stream gives its text at its end. If a
        model breaks off and a retry or a fallback takes its place, the new text comes after a blank line.
        """
        return AsyncTexts(self)

    async def _end(self, error: BaseException | None) -> Any:
        """Called when a read has found no event: at the end, at the run's error, or when the read was cancelled."""
        self._reader.note_end()
        if self._reader.state == "ended":
            self._error = error
            await self._run.wait()
        elif not self._entered and not isinstance(error, (Exception, GeneratorExit)):
            await self.aclose()  # the read was cancelled, and nobody else would end the run
        if isinstance(error, StopAsyncIteration):
            raise RuntimeError("the run ended with StopAsyncIteration") from error
        if error is None:
            raise StopAsyncIteration


class EventStream(_OwningStream[R]):
    """An iterator over the events of a run that this stream starts, owns and ends.

    Iterate it inside `with`, so that leaving early stops the run at its next callback and waits for it. The run has its own
    thread and its own context. It needs no event loop, and does not use one that runs in this thread.

    Threads: one thread reads. Ctrl-C in it stops the run.

    Example:
        ```python
        with callbridge.stream_events(chain, {"drink": "tea"}) as stream:
            first = next(stream)  # leaving the block cancels the run
        print(first["event"], stream.statistics().runs)
        #> on_chain_start 0
        ```
    """

    def __iter__(self) -> EventStream[R]:
        """Return the stream itself.

        Raises:
            StreamConsumedError: It has ended or was closed.
        """
        if self._begun:
            self._reader.begin()
        else:
            self._reader.check_new()
        return self

    def __next__(self) -> Event:
        """Return the next event, blocking until there is one.

        Raises:
            StopIteration: The run has ended well.
            ConcurrentReadError: Another thread is waiting for the next event.
            BaseException: The very error that ended the run, after all events that came before it.
        """
        event = self._ready(None)
        if event is not None:
            return event
        if not self._begun:
            self._begin()
        try:
            return self._reader.next_sync()
        except BaseException as error:
            if self._reader.state == "ended":
                if not isinstance(error, StopIteration):
                    self._error = error
                self._run.wait_sync()
            raise

    def __enter__(self) -> EventStream[R]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream: stop the run at its next callback and wait until it has ended. Idempotent.

        With `on_exit="detach"` the run goes on unread instead, and there is nothing to wait for.
        """
        if self._leave():
            self._run.wait_sync()

    def text(self) -> Texts:
        """Return the visible text of models as an iterator, each piece once; see `AsyncEventStream.text`."""
        return Texts(self)
