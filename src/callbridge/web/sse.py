"""`EventStreamResponse`: a run as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import anyio
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from callbridge.core.arguments import check_flag
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
from callbridge.web.resuming import Numbering, numbering_of
from callbridge.web.wire import Frame, WireFormat, framing_of, sse_bytes, sse_comment

__all__ = ["EventStreamResponse"]

_HEADERS = MappingProxyType({"cache-control": "no-cache", "connection": "keep-alive", "x-accel-buffering": "no"})


class EventStreamResponse(Response):
    """A Starlette response that starts a run and sends its events as they come.

    The run starts when the response does, and belongs to this request alone. If the client leaves, the run is cancelled and
    awaited; if the stream was made with `on_exit="detach"`, the run goes on unread. A client that reads slowly slows the run
    down. An error after the headers becomes an `error` frame, and the exception goes to the logger `callbridge.web`.

    `relay.follow(run)` sends a run of another process. A client that leaves does not stop that run. A client that comes back
    with `Last-Event-ID` gets the rest, in every format, and 204 when there is none. An unknown run is answered with 404.

    Args:
        stream: `astream_call(...)`, `astream_events(...)`, an `EventStreamHandler`, or another async iterator of v2 events.
            A handler does not own its run, so if the client leaves, the run goes on unheard.
        format: A wire format or its name; see `format_named`. `"v2"` shows the client everything, prompts included.
        heartbeat: Seconds of silence after which a comment is sent, so that proxies keep the connection. None: never.
        limits: How much the run may take.
        end_event: Send an `end` event when everything was sent. `EventSource` asks again when a connection ends, so a page
            needs this event to know that it should close. Lanarky's clients do not expect one. A format whose protocol has
            an end of its own sends that in any case.
        describe_error: Turns an exception into the `Failure` that the client is shown. Without it, or if it returns None, the
            client gets the status and detail of a Starlette `HTTPException`, and a bare 500 for anything else.
        retry: Seconds after which an `EventSource` asks again when the connection is cut. None: as it likes. Use it with
            streams that can be resumed: those of `relay.follow`.
        only_live: Answer a run that is over or unknown with 204 and nothing else. `useChat` expects this when a page asks
            whether there is anything to resume.
        status_code: The status of the response.
        headers: More headers. They take precedence over ours and the format's.
        background: Runs when everything is over.

    Raises:
        ArgumentError: An argument has a value that is not allowed.

    Example:
        ```python
        async def chat(request: Request) -> EventStreamResponse:
            events = callbridge.astream_events(chain, {"drink": request.query_params["drink"]})
            return EventStreamResponse(events, "json")


        print((await ask(Route("/", chat), "/?drink=tea")).text.splitlines()[:2])
        #> ['event: completion', 'data: {"token":"W"}']
        ```
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
        retry: float | None = None,
        only_live: bool = False,
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
        line_end = self._framing.line_end
        seconds = check_heartbeat(retry, "retry")
        self._opening = b"" if seconds is None else f"retry: {round(seconds * 1000)}{line_end * 2}".encode()
        check_flag("only_live", only_live)
        self._only_live = only_live
        self.status_code = status_code
        self.background = background
        own = {name.lower(): value for name, value in (headers or {}).items()}
        self.init_headers({**_HEADERS, **self._framing.headers, **own})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; called by Starlette."""
        last_id = _last_event_id(scope)
        try:
            numbering = await numbering_of(self._stream, self._format, last_id)
        except HTTPException as error:
            status = 204 if error.status_code == 404 and (self._only_live or last_id is not None) else error.status_code
            await _plainly(status, error.detail)(scope, receive, send)
            return
        if self._only_live and numbering is not None and numbering.is_over:
            await _plainly(204, "")(scope, receive, send)
            return
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            # A client that comes back when everything was sent gets 204, which tells an EventSource to stop.
            start = _Start(send, self.status_code, self.raw_headers, self._opening)
            if last_id is None or numbering is None:
                await start()
            outcome = "ended" if scope.get("method") == "HEAD" else await self._deliver(send, start, numbering)
            if outcome != "gone":
                await start.finish()
            group.cancel_scope.cancel()
        if self.background is not None:
            await self.background()

    async def _deliver(self, send: Send, start: _Start, numbering: Numbering | None) -> str:
        line_end = self._framing.line_end

        async def body(content: bytes) -> None:
            await start()
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
            numbering=numbering,
        )
        return await delivery.run()


class _Start:
    """The beginning of a response, sent once.

    Args:
        send: Starlette's `send`.
        status: The status of the response.
        headers: The headers of the response.
        opening: The first bytes of its body.
    """

    def __init__(self, send: Send, status: int, headers: list[tuple[bytes, bytes]], opening: bytes) -> None:
        self._send = send
        self._status = status
        self._headers = headers
        self._opening = opening
        self._is_sent = False

    async def __call__(self) -> None:
        """Send the beginning, once."""
        if not self._is_sent:
            self._is_sent = True
            await self._send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if self._opening:
                await self._send({"type": "http.response.body", "body": self._opening, "more_body": True})

    async def finish(self) -> None:
        """End the response, if it has begun."""
        if not self._is_sent:
            self._is_sent = True
            kept = [header for header in self._headers if header[0] != b"content-type"]
            await self._send({"type": "http.response.start", "status": 204, "headers": kept})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _plainly(status: int, detail: str) -> Response:
    return Response(None if status == 204 else detail, status, {"cache-control": "no-cache"}, "text/plain")


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel the response when the client has gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            scope.cancel()
            return


def _last_event_id(scope: Scope) -> str | None:
    """Return the id of the last frame that a client has, if it comes back after an interruption."""
    found = dict(scope.get("headers") or ()).get(b"last-event-id")
    return None if found is None else found.decode("latin-1") or None
