"""`publish_events`, `publish_events_sync`: drive a run and hand its events to a `Publication`.

| what happens | the run | the log says | the caller gets |
|---|---|---|---|
| it ends well | | ended | its result |
| it fails | | failed | its error |
| it is asked to stop | cancelled and awaited | stopped | `RunStoppedError` |
| another attempt has its lease, or the log is gone | cancelled and awaited | nothing more | `LeaseLostError` |
| it is at the limit | cancelled and awaited | limited | `RunLimitError` |
| the log is away for too long | cancelled and awaited | nothing more | `RelayUnreachableError` |
| the caller is cancelled | cancelled and awaited | stopped | the cancellation |
| the log refuses it | never begins | nothing | the reason |
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel
from callbridge.errors import ArgumentError, ChannelClosedError, ResultNotReadyError
from callbridge.relay.publication import Publication, root_output

__all__ = ["publish_events", "publish_events_sync"]


class MakePublication(Protocol):
    """Makes an attempt that has not begun yet. Blocks."""

    def __call__(self, run: str, on_trouble: Callable[[], None], restart: bool, show_errors: bool) -> Publication:
        """Return it."""
        ...


_EXPECTED = "a stream of events: astream_events(...), stream_call(...), an EventStreamHandler, or another iterator of v2 events"


async def publish_events(make: MakePublication, run: str, stream: object, *, restart: bool, show_errors: bool) -> Any:
    """Publish from a task; see `Relay.publish`.

    Raises:
        ArgumentError: There is no stream.
    """
    if not isinstance(stream, (AsyncIterable, Iterable)) or isinstance(stream, (str, bytes, dict)):
        raise ArgumentError("stream", stream, _EXPECTED)
    ends: tuple[SendEnd[None], ReceiveEnd[None]] = open_channel(1)
    trouble, has_trouble = ends

    def begin() -> Publication:
        publication = make(run, trouble.close, restart, show_errors)
        begun.append(publication)
        publication.begin()
        return publication

    begun: list[Publication] = []  # to end if this call is cancelled
    async with _left(stream):
        try:
            publication = await run_sync(begin, abandon_on_cancel=False, limiter=anyio.CapacityLimiter(1))
            driver = _Driver(publication, stream)
            await driver.drive(has_trouble)
        except BaseException as error:
            for each in begun:
                each.end(error)
            raise
        finally:
            for each in begun:
                await _settled(each.done)
    return driver.outcome()


class _Result:
    """The run's return value, found out while its events pass."""

    def __init__(self, publication: Publication, stream: object) -> None:
        self._publication = publication
        self._stream = stream
        self._output: Any = None
        self._failed_elsewhere = False

    def text_of(self, event: Any) -> str:
        """Return what to write for an event."""
        text = self._publication.text_of(event)
        is_end, output = root_output(event)
        if is_end:
            self._output = output
        return text

    def find(self) -> None:
        """Find out what the run returned, if its events say that it ended well."""
        try:
            self._output = getattr(self._stream, "result", self._output)
        except ResultNotReadyError as error:
            self._failed_elsewhere = error.state == "failed"
            self._output = None
        self._publication.end(None, failed=self._failed_elsewhere)

    def outcome(self) -> Any:
        """Return what the run returned, or raise the reason why it did not."""
        if self._publication.trouble is not None:
            raise self._publication.trouble
        return self._output


class _Driver(_Result):
    """Drives a run in one task and one context."""

    async def drive(self, has_trouble: ReceiveEnd[None]) -> None:
        """Hand over all events. Return when there are no more, or when there is trouble."""
        failure: BaseException | None = None
        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()
            group.start_soon(_cancel_on, has_trouble, scope)
            with scope:
                try:
                    await self._pump()
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 - not through the group, which would wrap it
                    failure = error
            group.cancel_scope.cancel()
        if self._publication.trouble is not None:
            self._publication.end(self._publication.trouble)
        elif failure is not None:
            raise failure
        else:
            self.find()

    async def _pump(self) -> None:
        send = self._publication.send.send
        with suppress(ChannelClosedError):  # there is trouble
            async for event in _events(self._stream):
                await send(self.text_of(event))


async def _cancel_on(has_trouble: ReceiveEnd[None], scope: anyio.CancelScope) -> None:
    with suppress(anyio.EndOfStream):
        await has_trouble.receive()
    scope.cancel()


def _events(stream: Any) -> AsyncIterator[Any]:
    return aiter(stream) if isinstance(stream, AsyncIterable) else _slowly(stream)


async def _slowly(stream: Iterable[Any]) -> AsyncIterator[Any]:
    for event in stream:
        yield event
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def _left(stream: Any) -> AsyncIterator[None]:
    """Leave a stream at the end, in any state. Its run is cancelled and awaited."""
    if hasattr(stream, "__aenter__"):
        await stream.__aenter__()  # so that a read which is cancelled does not end the run by itself
    try:
        yield
    finally:
        aclose = getattr(stream, "aclose", None)
        if aclose is not None:
            with anyio.CancelScope(shield=True):
                await aclose()


async def _settled(done: ReceiveEnd[None]) -> None:
    """Wait until everything is written. A cancellation that arrives meanwhile is raised afterwards."""
    cancelled: BaseException | None = None
    with anyio.CancelScope(shield=True):
        while True:
            try:
                await done.receive()
            except anyio.EndOfStream:
                break
            except anyio.get_cancelled_exc_class() as error:  # a native one of asyncio
                cancelled = error
    if cancelled is not None:
        raise cancelled


# -- sync -------------------------------------------------------------------------------------------------------------


def publish_events_sync(make: MakePublication, run: str, stream: object, *, restart: bool, show_errors: bool) -> Any:
    """Publish from a thread; see `Relay.publish_sync`.

    Raises:
        ArgumentError: There is no stream that sync code can read.
    """
    if not isinstance(stream, Iterable) or isinstance(stream, (str, bytes, dict)):
        raise ArgumentError("stream", stream, f"{_EXPECTED}; an async one is for `await relay.publish`")
    with _left_sync(stream) as leave:
        publication = make(run, leave, restart, show_errors)
        result = _Result(publication, stream)
        try:
            publication.begin()
            with suppress(ChannelClosedError):  # there is trouble
                for event in stream:
                    publication.send.send_sync(result.text_of(event))
                    if publication.trouble is not None:
                        break
            leave.wait()
            if publication.trouble is None:
                result.find()
            else:
                publication.end(publication.trouble)
        except BaseException as error:
            publication.end(error)
            if publication.trouble is None:
                raise
        finally:
            with suppress(anyio.EndOfStream):
                publication.done.receive_sync()
    return result.outcome()


class _Leaving:
    """Closes a stream, from any thread. If its reader waits in it, that wakes the reader."""

    def __init__(self, stream: object) -> None:
        self._close: Callable[[], None] = getattr(stream, "close", lambda: None)
        # Held while the thread starts: a thread that is known to `wait` has begun, so it can be joined.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def __call__(self) -> None:
        """Begin to close it, unless the publisher is already closing it. Does not block."""
        with self._lock:
            if not self._is_over:
                self._thread = threading.Thread(target=self._leave, name="callbridge-relay-leaving", daemon=True)
                self._thread.start()

    def _leave(self) -> None:
        # Another thread cannot close a running generator: it is left at its next event.
        with suppress(Exception):
            self._close()

    def wait(self) -> None:
        """Wait until it is closed, if it is being closed."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._is_over = True
        self.wait()
        self._close()


@contextmanager
def _left_sync(stream: object) -> Any:
    leaving = _Leaving(stream)
    try:
        yield leaving
    finally:
        leaving.close()
