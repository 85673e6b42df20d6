"""`EventStreamResponse`: a run as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import anyio
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from callbridge.web.delivery import (
    Delivery,
    DescribeError,
    EventSource,
    Limits,
    check_describe,
    check_heartbeat,
    check_limits,
    check_source,
)
from callbridge.web.named import format_named
from callbridge.web.wire import Frame, WireFormat, framing_of, sse_bytes, sse_comment

__all__ = ["EventStreamResponse"]

_HEADERS = MappingProxyType({"cache-control": "no-cache", "connection": "keep-alive", "x-accel-buffering": "no"})


class EventStreamResponse(Response):
    """A Starlette response that starts a run and sends its events as they come.

    ```python
    async def chat(request: Request) -> Response:
        question = request.query_params["q"]
        return EventStreamResponse(callbridge.astream_events(chain, {"question": question}), "json")
    ```

    The run starts when the response does, and belongs to this request alone. A client that goes away cancels it and waits for
    its end (the stream's own `on_exit="detach"`: lets it run on unread); one that reads slowly slows it down. What goes wrong
    after the headers is an `error` frame, and the exception goes to the logger `callbridge.web`.

    Args:
        stream: `astream_call(...)`, `astream_events(...)`, an `EventStreamHandler`, or another async iterator of v2 events.
            A handler's run is not its own: it is only no longer listened to when the client goes.
        format: A wire format or its name; see `format_named`. `"v2"` shows the client everything, prompts included.
        heartbeat: After how many seconds of silence a comment is sent, so that proxies keep the connection; None: never.
        limits: How much the run may take.
        end_event: Whether an `end` event says that all was sent. `EventSource` asks again when a connection ends, so a page
            needs it to know that it should close; clients of Lanarky's do not get one. A format whose protocol has an end of
            its own sends that in any case.
        describe_error: Makes of an exception the `Failure` that the client is told. Without it, or if it returns None, that is
            the status and detail of a Starlette `HTTPException`, and a bare 500 for anything else.
        status_code: Of the response.
        headers: More headers, or others in place of ours and the format's.
        background: Run when all is over.

    Raises:
        ArgumentError: An argument has a value that is not allowed.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        stream: EventSource,
        format: str | WireFormat = "v2",
        *,
        heartbeat: float | None = 15,
        limits: Limits | None = None,
        end_event: bool = True,
        describe_error: DescribeError | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self._stream = check_source(stream)
        self._format = format_named(format)
        self._framing = framing_of(self._format)
        self._heartbeat = check_heartbeat(heartbeat)
        self._limits = check_limits(limits)
        self._end_event = end_event or self._framing.always_ends
        self._describe = check_describe(describe_error)
        self.status_code = status_code
        self.background = background
        own = {name.lower(): value for name, value in (headers or {}).items()}
        self.init_headers({**_HEADERS, **self._framing.headers, **own})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; called by Starlette."""
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            outcome = "ended" if scope.get("method") == "HEAD" else await self._deliver(send, _last_event_id(scope))
            if outcome != "gone":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()
        if self.background is not None:
            await self.background()

    async def _deliver(self, send: Send, last_id: str | None) -> str:
        line_end = self._framing.line_end

        async def body(content: bytes) -> None:
            await send({"type": "http.response.body", "body": content, "more_body": True})

        def pack(frame: Frame) -> bytes:
            return sse_bytes(frame, line_end)

        async def beat() -> None:
            await body(sse_comment("heartbeat", line_end))

        delivery = Delivery(
            self._stream,
            self._format,
            pack,
            body,
            limits=self._limits,
            describe=self._describe,
            end_event=self._end_event,
            beat=beat,
            heartbeat=self._heartbeat,
            number=(number := getattr(self._stream, "frame_id", None)),
            after=None if number is None else last_id,
        )
        return await delivery.run()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel the response when the client has gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            scope.cancel()
            return


def _last_event_id(scope: Scope) -> str | None:
    """Return the number of the last frame that a client has, if it comes back after an interruption."""
    found = dict(scope.get("headers") or ()).get(b"last-event-id")
    return None if found is None else found.decode("latin-1") or None
