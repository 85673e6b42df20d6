"""`Delivery`: one run on its way to one client.

```
source ──events──▶ encoder ──frames──▶ pack ──▶ write   one event in hand: a client that reads slowly slows the run down
   ▲                                               │
   └── left: cancelled and awaited ◀── client gone, limit reached, cancelled, server told to stop
```

If `write` raises, the client is gone. If an encoder raises, or makes something that is not a frame, the application has a bug,
and the delivery treats it like an error of the run. So it packs frames before it writes anything.

A source that can begin again has a method `frame_id`, which numbers the frames. A client that comes back names the last number
that it has. The delivery then encodes the run from its first event on, and skips the frames that the client has.

However the run ends, the delivery leaves it before it sends the last frames, so that these report the real end. If a run fails,
the log gets the full error, and the client gets two words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import anyio
from starlette.exceptions import HTTPException

from callbridge.codec.encode import dumps
from callbridge.errors import ArgumentError, EventFormatError, ResultNotReadyError, RunStoppedError
from callbridge.observe.reading import AsyncTexts, HandlerTexts
from callbridge.observe.streams import AsyncEventStream
from callbridge.web.resuming import Numbering, relayed_failure
from callbridge.web.wire import BaseEncoder, Failure, Frame, FrameEncoder, WireFormat, check_frame

__all__ = [
    "Delivery",
    "DescribeError",
    "EventSource",
    "Limits",
    "Outcome",
    "Packed",
    "check_describe",
    "check_heartbeat",
    "check_limits",
    "check_source",
    "failure_of",
    "last_words",
]

_logger = logging.getLogger("callbridge.web")

EventSource: TypeAlias = AsyncIterator[Any]
"""A source to deliver: a callbridge stream, a handler, or any async iterator of v2 events (LangChain's type differs)."""

DescribeError: TypeAlias = Callable[[Exception], "Failure | None"]
"""Returns the `Failure` to show the client for an error; None for the default."""

Packed = TypeVar("Packed")
"""A frame as it goes over the wire."""

Outcome: TypeAlias = Literal["ended", "failed", "limited", "cancelled", "gone"]


@dataclass(frozen=True)
class Limits:
    """Limits on what one run may use of a server.

    Example:
        ```python
        events = callbridge.astream_events(chain, {"drink": "tea"})
        response = EventStreamResponse(events, "json", limits=Limits(max_seconds=60, max_events=10_000))
        ```
    """

    max_seconds: float | None = None
    """How long it may take, including the time it waits for the client."""

    max_events: int | None = None
    """How many events it may make."""

    cancel_seconds: float = 10
    """How long to wait for a cancelled run. Async code needs only the time of its `finally` blocks. Sync code stops at its next
    callback; if that takes longer than this, the server leaves the run behind and logs a warning."""

    farewell_seconds: float = 5
    """How long the last frames of a run may take. A client that does not read does not get them."""

    def __post_init__(self) -> None:
        for name in ("max_seconds", "max_events", "cancel_seconds", "farewell_seconds"):
            value = getattr(self, name)
            if not (value is None and name.startswith("max")) and not (isinstance(value, (int, float)) and value > 0):
                raise ArgumentError(name, value, "a positive number")


_TOO_LONG: Final = Failure(504, "Time limit exceeded")
_TOO_MUCH: Final = Failure(507, "Event limit exceeded")
_CANCELLED: Final = Failure(499, "Cancelled")
_CUT_OFF: Final = Failure(502, "The run has not ended")


class _ClientGoneError(Exception):
    """The client is gone, so nothing can be written any more."""


class Delivery:
    """Sends the events of a run to a client.

    Args:
        source: The events. The delivery leaves it at the end, however the run ends.
        format: Turns events into frames.
        pack: Converts a frame for `write`.
        write: Sends a packed frame. If it raises, the client is gone.
        limits: The limits on the run.
        describe: Returns what to tell the client about an error.
        end_event: Whether a frame says that nothing more will come.
        beat: Sends something that clients skip. Called after a silence.
        heartbeat: The length of that silence in seconds; None: never.
        numbering: Numbers the frames, and skips those that the client has. None: a frame keeps the id from the format.

    Cancellation: the run is cancelled and awaited, at most `limits.cancel_seconds`, and the cancellation goes on.
    """

    def __init__(
        self,
        source: EventSource,
        format: WireFormat,
        pack: Callable[[Frame], Packed],
        write: Callable[[Packed], Awaitable[None]],
        *,
        limits: Limits,
        describe: DescribeError | None = None,
        end_event: bool = True,
        beat: Callable[[], Awaitable[None]] | None = None,
        heartbeat: float | None = None,
        numbering: Numbering | None = None,
    ) -> None:
        self._source = source
        self._format = format
        self._encoder: FrameEncoder | None = None  # until the first event
        self._open_root: str | None = None  # for a source that does not say how its run ends
        self._pack: Callable[[Frame], Any] = pack
        self._send: Callable[[Any], Awaitable[None]] = write
        self._limits = limits
        self._describe = describe
        self._end_event = end_event
        self._beat = beat if heartbeat is not None else None
        self._heartbeat = heartbeat or 0.0
        self._numbering = numbering
        self._writing = anyio.Lock()
        self._sent = 0  # frames and heartbeats
        self._cancelled = False
        self._scope = anyio.CancelScope()

    def cancel(self) -> None:
        """Cancel the run, wait for it, and tell the client. Idempotent. Call it in the loop."""
        self._cancelled = True
        self._scope.cancel()

    async def run(self) -> Outcome:
        """Deliver everything. Return how it ended."""
        failure: Failure | None = None
        outcome: Outcome = "limited"
        try:
            async with _left(self._source, self._limits.cancel_seconds):
                with anyio.move_on_after(self._limits.max_seconds) as clock, self._scope:
                    if not self._cancelled:  # if it was cancelled already, the run never begins
                        outcome, failure = await self._deliver()
                if self._cancelled and outcome == "limited":
                    outcome, failure = "cancelled", _CANCELLED
                elif clock.cancel_called and outcome == "limited":
                    failure = _TOO_LONG
        except _ClientGoneError:
            return "gone"
        return await self._say_farewell(outcome, failure)

    async def _deliver(self) -> tuple[Outcome, Failure | None]:
        """Deliver events until there are no more, with a heartbeat next to it."""
        if self._beat is None:
            return await self._pump()
        result: tuple[Outcome, Failure | None] | None = None
        gone = False
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_beating)
            try:
                result = await self._pump()
            except _ClientGoneError:  # not through the group, which would wrap it
                gone = True
            group.cancel_scope.cancel()
        if gone or result is None:
            raise _ClientGoneError
        return result

    async def _pump(self) -> tuple[Outcome, Failure | None]:
        events = aiter(self._source)
        count = 0
        while True:
            try:
                event = await anext(events)
                count += 1
                if self._limits.max_events is not None and count > self._limits.max_events:
                    return "limited", _TOO_MUCH
                packed = self._packed(event)
                self._note(event)
            except StopAsyncIteration:
                return ("ended", None) if self._open_root is None else ("failed", _CUT_OFF)
            except asyncio.CancelledError:
                if not _has_ended(self._source):
                    raise
                return "cancelled", _CANCELLED  # other code has cancelled the run
            except RunStoppedError as error:
                return "cancelled", failure_of(error, self._describe)
            except Exception as error:
                _logger.exception("a run failed while its events were sent to a client")
                return "failed", failure_of(error, self._describe)
            await self._write(packed)

    def _note(self, event: Any) -> None:
        """Note whether the last root run is open: unlike our streams, a plain generator does not say how its run ended."""
        if isinstance(self._source, AsyncGenerator) and not event.get("parent_ids", True):
            if event["event"].endswith("_start"):
                self._open_root = event["run_id"]
            elif event["event"].endswith(("_end", "_error")) and event["run_id"] == self._open_root:
                self._open_root = None

    def _packed(self, event: Any) -> tuple[Any, ...]:
        _check_mapping(event)
        if self._numbering is not None:
            self._numbering.begin_event()
        return tuple(map(self._pack, self._numbered(self._begun().feed(event))))

    def _numbered(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        return frames if self._numbering is None else self._numbering.numbered(frames)

    def _begun(self) -> FrameEncoder:
        if self._encoder is None:
            self._encoder = self._format.begin()
        return self._encoder

    async def _write(self, packed: Iterable[Any]) -> None:
        for piece in packed:
            async with self._writing:
                try:
                    await self._send(piece)
                except Exception as error:
                    raise _ClientGoneError from error
                self._sent += 1

    async def _say_farewell(self, outcome: Outcome, failure: Failure | None) -> Outcome:
        with anyio.move_on_after(self._limits.farewell_seconds) as clock:
            try:
                frames = last_words(self._begun, self._format.begin, failure, and_end=self._end_event)
                await self._write(map(self._pack, self._numbered(frames)))
            except _ClientGoneError:
                return "gone"
        return "gone" if clock.cancel_called else outcome

    async def _keep_beating(self) -> None:
        assert self._beat is not None
        while True:
            sent = self._sent
            await anyio.sleep(self._heartbeat)
            if sent == self._sent and not self._writing.locked():
                async with self._writing:
                    try:
                        await self._beat()
                    except Exception:  # noqa: BLE001 - the next write notices that
                        return
                    self._sent += 1


def failure_of(error: Exception, describe: DescribeError | None) -> Failure:
    """Return what to tell a client about an error.

    An `HTTPException` of Starlette or FastAPI is meant for clients. For other errors, `describe` decides what to show.
    """
    told: Any = None
    try:
        told = describe(error) if describe is not None else None
    except Exception:
        _logger.exception("describe_error could not describe %r", error)
    if isinstance(told, Failure):
        return told
    if told is not None:
        _logger.error("describe_error has returned %r, which is not a callbridge.web.Failure", told)
    relayed = relayed_failure(error)
    if relayed is not None:
        return relayed
    if isinstance(error, HTTPException):
        detail: Any = error.detail  # FastAPI allows any JSON
        return Failure(error.status_code, detail if isinstance(detail, str) else dumps(detail))
    return Failure()


def last_words(
    begun: Callable[[], FrameEncoder], begin: Callable[[], FrameEncoder], failure: Failure | None, *, and_end: bool
) -> list[Frame]:
    """Return the last frames for a client.

    If the run's encoder fails to make them, this logs that and asks a new encoder, as if the run had failed at once. If that
    fails too, it makes the frames as our own formats do.

    Args:
        begun: Returns the encoder of the run.
        begin: Makes a new one.
        failure: What went wrong, if anything did.
        and_end: Whether to say that nothing more will come.
    """
    try:
        return _last_frames(begun(), failure, and_end=and_end)
    except Exception:
        _logger.exception("a wire format could not say how a run has ended")
    try:
        return _last_frames(begin(), failure or Failure(), and_end=and_end)
    except Exception:  # noqa: BLE001 - the same error is in the log already
        return _last_frames(BaseEncoder(), failure and Failure(), and_end=and_end)


def _last_frames(encoder: FrameEncoder | BaseEncoder, failure: Failure | None, *, and_end: bool) -> list[Frame]:
    frames = [*(encoder.fail(failure) if failure is not None else ()), *(encoder.end() if and_end else ())]
    for frame in frames:
        check_frame(frame)
    return frames


def check_source(source: object) -> EventSource:
    """Return a source of events.

    Raises:
        ArgumentError: It is not one.
    """
    expected = "astream_call(...), astream_events(...), an EventStreamHandler, or another async iterator of v2 events"
    if isinstance(source, AsyncTexts | HandlerTexts):
        raise ArgumentError("stream", source, f"{expected}; not its text(): the format makes the text from events")
    if not isinstance(source, AsyncIterator):
        raise ArgumentError("stream", source, expected)
    return source


def check_limits(limits: object) -> Limits:
    """Return limits; the default ones for None.

    Raises:
        ArgumentError: It is something else.
    """
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise ArgumentError("limits", limits, "callbridge.web.Limits(...), or None")
    return limits


def check_describe(describe: object) -> DescribeError | None:
    """Return a function that describes errors, or None.

    Raises:
        ArgumentError: It is something else.
    """
    if describe is not None and not callable(describe):
        raise ArgumentError("describe_error", describe, "a function of the exception that returns a Failure or None, or None")
    return cast("DescribeError | None", describe)


def check_heartbeat(heartbeat: Any, name: str = "heartbeat") -> float | None:
    """Return an interval in seconds, such as the one between heartbeats.

    Raises:
        ArgumentError: It is neither a positive number nor None.
    """
    if heartbeat is not None and not (isinstance(heartbeat, (int, float)) and heartbeat > 0):
        raise ArgumentError(name, heartbeat, "a positive number of seconds, or None")
    return heartbeat


def _check_mapping(event: object) -> None:
    if not isinstance(event, Mapping):
        raise EventFormatError(event, f"{type(event).__name__} is not a mapping")


@asynccontextmanager
async def _left(source: EventSource, seconds: float) -> AsyncIterator[None]:
    """Leave a source at the end: cancel its run and wait for it, for a bounded time."""
    if isinstance(source, AsyncEventStream):
        await source.__aenter__()  # so that a read which is cancelled does not end the run by itself, without a limit
    try:
        yield
    finally:
        if not await _leave(source, seconds):
            _logger.warning("a run was cancelled and has not ended after %s s; it is left behind: %r", seconds, source)


async def _leave(source: EventSource, seconds: float) -> bool:
    if isinstance(source, AsyncEventStream):
        return await source.aclose(seconds)
    aclose = getattr(source, "aclose", None)
    with anyio.move_on_after(seconds, shield=True) as scope:
        if aclose is not None:
            await aclose()
    return not scope.cancel_called


def _has_ended(source: EventSource) -> bool:
    """Return whether a cancellation from a source is the end of its run, and not our own cancellation."""
    if not isinstance(source, AsyncEventStream):
        return False
    try:
        _ = source.result
    except ResultNotReadyError:
        return False
    except BaseException:  # noqa: BLE001 - how the run ended
        return True
    return True
