"""`websocket_endpoint`: one run for each message of the client.

The client sends JSON in text messages: the input of a run, or `{"type": "cancel"}`. It gets messages
`{"data": text, "event": name}`.

```
idle ──message──▶ running ──the run ends, fails, is cancelled──▶ idle      each run says `end` in the end
```

During a run, up to `max_waiting` messages wait for their turn; one more gets an error. `cancel` ends the current run. A message
that is not JSON, or too long, gets an error and has no other effect.

If a format's clients put messages into envelopes, the format opens them: see `Envelope`.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from callbridge.errors import ArgumentError
from callbridge.web.delivery import (
    Delivery,
    DescribeError,
    EventSource,
    Limits,
    check_describe,
    check_heartbeat,
    check_limits,
    check_source,
    failure_of,
    last_words,
)
from callbridge.web.named import format_named
from callbridge.web.resuming import numbering_of
from callbridge.web.wire import Envelope, Failure, Frame, Framing, WireFormat, framing_of, websocket_text

__all__ = ["StartRun", "websocket_endpoint"]

_logger = logging.getLogger("callbridge.web")

StartRun: TypeAlias = Callable[[WebSocket, Any], "EventSource | Awaitable[EventSource]"]
"""Given the socket and the client's message, returns the stream of a run that has not started."""

_NO_JSON: Final = Failure(400, "The message is not JSON text")
_TOO_LONG: Final = Failure(413, "The message is too long")
_BUSY: Final = Failure(429, "Too many messages are waiting")


@dataclass(frozen=True)
class _Options:
    start: StartRun
    format: WireFormat
    framing: Framing
    heartbeat: float | None
    limits: Limits
    describe: DescribeError | None
    max_message: int
    max_waiting: int


def websocket_endpoint(
    start: StartRun,
    format: str | WireFormat = "v2",
    *,
    heartbeat: float | None = None,
    limits: Limits | None = None,
    describe_error: DescribeError | None = None,
    max_message: int = 1_000_000,
    max_waiting: int = 8,
) -> Callable[[WebSocket], Awaitable[None]]:
    """Return an endpoint for `WebSocketRoute` that makes one run of each message.

    The runs of one connection come one after the other, and belong to it alone. If the client leaves, or the server closes the
    connection because it shuts down, the run is cancelled and awaited. You may accept the socket yourself, in an endpoint of
    your own that checks the user. An `error` frame says what went wrong, `end` follows each answer, and the socket stays
    open.

    With `relay.follow(...)` the messages have an `id`. A client that comes back sends an object with `"lastEventId"`, and gets
    what comes after that.

    Do not trust what the client sends. `start` refuses a message as an HTTP endpoint would:

    ```python
    if not (isinstance(message, dict) and isinstance(message.get("question"), str)):
        raise HTTPException(400, "There is no question.")  # an `error` frame with this status and detail
    ```

    Args:
        start: A function, sync or async, of the socket and the message, which is any JSON value. It returns a stream that has
            not started. What it raises is an error of that message; it raises a Starlette `HTTPException` to refuse one.
        format: A wire format or its name; see `format_named`. `"v2"` shows the client everything, prompts included.
        heartbeat: Seconds of silence during a run after which a `heartbeat` message is sent. None: never. Servers send
            WebSocket's own pings, which no client sees and which are usually enough.
        limits: How much each run may take.
        describe_error: Turns an exception into the `Failure` that the client is shown. Without it, or if it returns None, the
            client gets the status and detail of a Starlette `HTTPException`, and a bare 500 for anything else.
        max_message: How many characters a message may have.
        max_waiting: How many messages may wait during a run.

    Raises:
        ArgumentError: An argument has a value that is not allowed.

    Example:
        ```python
        def ask_chain(websocket: WebSocket, message: Any):
            return callbridge.astream_events(chain, {"drink": message["drink"]})


        app = Starlette(routes=[WebSocketRoute("/chat", websocket_endpoint(ask_chain, "json"))])
        ```
    """
    if not callable(start):
        raise ArgumentError("start", start, "a function of the socket and the message that returns a stream")
    made = format_named(format)
    options = _Options(
        start,
        made,
        framing_of(made),
        check_heartbeat(heartbeat),
        check_limits(limits),
        check_describe(describe_error),
        _check_count("max_message", max_message, 1),
        _check_count("max_waiting", max_waiting, 0),
    )

    async def endpoint(websocket: WebSocket) -> None:
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        await _Conversation(websocket, options).hold()

    return endpoint


def _check_count(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise ArgumentError(name, value, f"a whole number, {least} or more")
    return value


@dataclass
class _Conversation:
    """One connection."""

    websocket: WebSocket
    options: _Options
    _waiting: deque[tuple[Any, Envelope | None]] = field(default_factory=deque)
    _arrived: anyio.Event = field(default_factory=anyio.Event)  # a new one for each wait
    _is_answering: bool = False
    _delivery: Delivery | None = None
    _envelope: Envelope | None = None  # of the message whose run is active
    _is_cancelled: bool = False  # a message whose run has not begun was cancelled

    async def hold(self) -> None:
        """Serve the client until it goes."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._answer)
            try:
                await self._listen()
            finally:
                group.cancel_scope.cancel()

    async def _listen(self) -> None:
        while True:
            received = await self.websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            problem, envelope = self._heed(received.get("text"))
            if problem is not None:
                # Otherwise the active run says `end`.
                and_end = envelope is not None or not (self._is_answering or self._waiting)
                if and_end or not self.options.framing.bare:  # nothing may interrupt an answer of another protocol
                    await self._refuse(problem, envelope, and_end=and_end)
            elif envelope is not None and envelope.kind == "resume":
                await self.websocket.send_text(envelope.nothing())

    def _heed(self, text: str | None) -> tuple[Failure | None, Envelope | None]:
        """Do what a message asks for. Return what is wrong with it, or None, and its envelope, or None."""
        if text is None:
            return _NO_JSON, None
        if len(text) > self.options.max_message:
            return _TOO_LONG, None
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return _NO_JSON, None
        make = getattr(self.options.format, "envelope", None)
        envelope: Envelope | None = make(message) if make is not None else None
        if envelope is not None and envelope.kind != "ask":
            if envelope.kind == "cancel":
                self._cancel(envelope)
            return None, envelope
        if isinstance(message, dict) and message.get("type") == "cancel":
            if self._delivery is not None:
                self._delivery.cancel()
            else:
                self._is_cancelled = self._is_answering or bool(self._waiting)
            return None, None
        if len(self._waiting) + self._is_answering > self.options.max_waiting:
            return _BUSY, envelope
        self._waiting.append((message, envelope))
        self._arrived.set()
        return None, envelope

    def _cancel(self, envelope: Envelope) -> None:
        """Cancel the run of the message that an envelope names."""
        is_on = self._envelope is not None and self._envelope.request_id == envelope.request_id
        if is_on and self._delivery is not None:
            self._delivery.cancel()
        elif is_on:
            self._is_cancelled = True
        for waiting in [each for each in self._waiting if each[1] is not None and each[1].request_id == envelope.request_id]:
            self._waiting.remove(waiting)

    async def _answer(self) -> None:
        while True:
            while self._waiting:
                self._is_answering = True
                message, self._envelope = self._waiting.popleft()
                await self._run(message)
                self._is_answering = self._is_cancelled = False
                self._envelope = None
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def _run(self, message: Any) -> None:
        try:
            made = self.options.start(self.websocket, message)
            source = check_source(await made if inspect.isawaitable(made) else made)
            numbering = await numbering_of(source, self.options.format, _last_id(message))
        except Exception as error:
            if isinstance(error, HTTPException):  # the application means to say this; a client must not be able to fill the log
                _logger.info("a client's message was refused: %s", error)
            else:
                _logger.exception("no run could be made of a client's message")
            await self._refuse(failure_of(error, self.options.describe), self._envelope, and_end=True)
            return
        self._delivery = Delivery(
            source,
            self.options.format,
            self._text,
            self.websocket.send_text,
            limits=self.options.limits,
            describe=self.options.describe,
            beat=self._beat,
            heartbeat=None if self.options.framing.bare else self.options.heartbeat,  # no third-party protocol has a heartbeat
            numbering=numbering,
        )
        if self._is_cancelled:
            self._delivery.cancel()
        try:
            await self._delivery.run()
        finally:
            self._delivery = None

    def _text(self, frame: Frame) -> str:
        return self._packed(frame, self._envelope)

    def _packed(self, frame: Frame, envelope: Envelope | None) -> str:
        text = websocket_text(frame, bare=self.options.framing.bare)
        return text if envelope is None else envelope.pack(text)

    async def _beat(self) -> None:
        await self.websocket.send_text(websocket_text(Frame("", "heartbeat")))

    async def _refuse(self, failure: Failure, envelope: Envelope | None, *, and_end: bool) -> None:
        """Tell a client that its message started no run. If the client has gone, `receive` notices."""
        if self.websocket.application_state is not WebSocketState.CONNECTED:
            return
        begin = self.options.format.begin
        try:
            for frame in last_words(begin, begin, failure, and_end=and_end):
                await self.websocket.send_text(self._packed(frame, envelope))
        except (OSError, RuntimeError, WebSocketDisconnect):
            return


def _last_id(message: Any) -> str | None:
    """Return the id of the last frame that a client has, if it comes back."""
    last_id = message.get("lastEventId") if isinstance(message, dict) else None
    return last_id if isinstance(last_id, str) and last_id else None
