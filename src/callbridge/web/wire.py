"""What goes over the wire: frames, the protocol of what makes them, and their bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sse_starlette import ServerSentEvent

from callbridge.errors import ArgumentError

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = [
    "BaseEncoder",
    "Failure",
    "Frame",
    "FrameEncoder",
    "WireFormat",
    "json_text",
    "sse_bytes",
    "sse_comment",
    "websocket_text",
]


@dataclass(frozen=True)
class Frame:
    """One message to the client."""

    data: str
    """Its text; of any number of lines."""

    event: str | None = None
    """What kind of message it is."""

    id: str | None = None
    """Its number, for server-sent events; `EventSource` shows it as `lastEventId`."""


@dataclass(frozen=True)
class Failure:
    """What a client is told of a run that did not end well: nothing of the program's inside."""

    status_code: int = 500
    """What an HTTP response would have said."""

    detail: str = "Internal Server Error"
    """For people."""


class FrameEncoder(Protocol):
    """Makes frames of the events of one run; made anew for each, so that it may keep what it likes."""

    def feed(self, event: Event) -> Iterable[Frame]:
        """Return the frames that an event makes; none for most formats and events."""
        ...

    def fail(self, failure: Failure) -> Iterable[Frame]:
        """Return what says that the run has failed."""
        ...

    def end(self) -> Iterable[Frame]:
        """Return what says that nothing more will come, whether the run has failed or not."""
        ...


class BaseEncoder:
    """How the formats of this package say that a run has failed, and that nothing more will come."""

    def fail(self, failure: Failure) -> Iterable[Frame]:
        """Return an `error` frame with the status code and the detail as JSON."""
        return (Frame(json_text({"status_code": failure.status_code, "detail": failure.detail}), "error"),)

    def end(self) -> Iterable[Frame]:
        """Return an empty `end` frame."""
        return (Frame("", "end"),)


@runtime_checkable
class WireFormat(Protocol):
    """Says how events look to a client. One object may serve any number of runs at once: what a run needs is in the encoder."""

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        ...


def json_text(value: Any) -> str:
    """Return compact JSON, with characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse_bytes(frame: Frame) -> bytes:
    """Return a frame as a server-sent event, in UTF-8, with lines that end in CR LF.

    Source: `ServerSentEvent.encode` (sse-starlette, 1.8.2 to 3.7.0).

    Raises:
        ArgumentError: It is no frame, or its data is no text.
    """
    return ServerSentEvent(_text_of(frame), event=frame.event, id=frame.id).encode()


def sse_comment(text: str) -> bytes:
    """Return a comment, which clients skip."""
    return ServerSentEvent(comment=text).encode()


def websocket_text(frame: Frame) -> str:
    """Return a frame as the text of a WebSocket message: `{"data":...,"event":...}`, and `id` if it has one.

    Raises:
        ArgumentError: It is no frame, or its data is no text.
    """
    message = {"data": _text_of(frame), "event": frame.event}
    return json_text(message if frame.id is None else {**message, "id": frame.id})


def _text_of(frame: Frame) -> str:
    """Return the text of a frame as UTF-8 can carry it: a token may be half of a character that a provider has cut."""
    if not isinstance(frame, Frame):
        raise ArgumentError("frame", frame, "a callbridge.web.Frame")
    if not isinstance(frame.data, str):
        raise ArgumentError("data", frame.data, "text, such as callbridge.dumps makes of any value")
    if frame.data.isascii():
        return frame.data
    return frame.data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
