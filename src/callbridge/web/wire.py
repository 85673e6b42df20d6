"""What goes over the wire: frames, the protocol of what makes them, and their bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

from sse_starlette import ServerSentEvent

from callbridge.errors import ArgumentError

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = [
    "BaseEncoder",
    "BaseFormat",
    "Envelope",
    "Failure",
    "Frame",
    "FrameEncoder",
    "Framing",
    "WireFormat",
    "check_frame",
    "framing_of",
    "json_text",
    "sse_bytes",
    "sse_comment",
    "websocket_text",
]


@dataclass(frozen=True)
class Frame:
    """One message to the client.

    Example:
        ```python
        print(Frame("With hot water.", "answer").data)
        #> With hot water.
        ```
    """

    data: str
    """Its text; of any number of lines."""

    event: str | None = None
    """What kind of message it is."""

    id: str | None = None
    """Its number, for server-sent events; `EventSource` shows it as `lastEventId`."""


@dataclass(frozen=True)
class Failure:
    """What a client is shown of a run that did not end well: nothing of the program's inside.

    Example:
        ```python
        def describe(error: BaseException) -> Failure | None:
            return Failure(429, "Ask again in a minute.") if isinstance(error, TimeoutError) else None


        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), "json", describe_error=describe)
        ```
    """

    status_code: int = 500
    """What an HTTP response would have said."""

    detail: str = "Internal Server Error"
    """For people."""


class FrameEncoder(Protocol):
    """Turns the events of one run into frames. Each run has its own encoder, which may keep any state.

    Example:
        ```python
        class Count:
            def __init__(self) -> None:
                self.events = 0

            def feed(self, event) -> Iterable[Frame]:
                self.events += 1
                return ()

            def fail(self, failure: Failure) -> Iterable[Frame]:
                return [Frame(failure.detail, "error")]

            def end(self) -> Iterable[Frame]:
                return [Frame(str(self.events), "end")]
        ```
    """

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
    """A base for encoders: it sends an `error` frame if the run fails, and an `end` frame.

    Example:
        ```python
        class Ends(BaseEncoder):  # which has `fail` and `end`
            def feed(self, event) -> Iterable[Frame]:
                if event["event"] == "on_chat_model_end":
                    yield Frame(event["data"]["output"].text, "answer")
        ```
    """

    def fail(self, failure: Failure) -> Iterable[Frame]:
        """Return an `error` frame with the status code and the detail as JSON."""
        return (Frame(json_text({"status_code": failure.status_code, "detail": failure.detail}), "error"),)

    def end(self) -> Iterable[Frame]:
        """Return an empty `end` frame."""
        return (Frame("", "end"),)


@runtime_checkable
class WireFormat(Protocol):
    """How events look to a client. One object may serve any number of runs at once: the encoder holds what a run needs.

    Equal events have to make equal frames, so that a run can be sent again from its first event on. A format may have the
    attributes of `BaseFormat`, which has their defaults.

    Example:
        ```python
        class Answers:
            def begin(self) -> FrameEncoder:
                return Ends()


        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), Answers())
        ```
    """

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run."""
        ...


class Envelope(Protocol):
    """What a client of another protocol puts around a message over a WebSocket, so that several may share one connection.

    A format that has such clients has a method `envelope`, which returns that of a message, or None if it has none.
    """

    @property
    def kind(self) -> str:
        """`"ask"`, `"cancel"`, or `"resume"`, which asks for a run of before."""
        ...

    @property
    def request_id(self) -> str:
        """Which message it is, or is about."""
        ...

    def pack(self, text: str) -> str:
        """Return the text of a frame in an envelope; called for each frame in order."""
        ...

    def nothing(self) -> str:
        """Return what says that there is nothing to resume."""
        ...


class BaseFormat:
    """A base for formats, with the defaults of everything that a format may set. To use it is optional.

    Example:
        ```python
        class Answers(BaseFormat):
            headers = {"X-Answers": "1"}

            def begin(self) -> BaseEncoder:
                return Ends()


        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), Answers())
        print(response.headers["x-answers"])
        #> 1
        ```
    """

    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Headers of the response to HTTP, more than ours or in place of them."""

    line_end: ClassVar[str] = "\r\n"
    """What ends a line of server-sent events: `"\\r\\n"` or `"\\n"`. The standard allows both, and not every client does."""

    always_ends: ClassVar[bool] = False
    """Whether what the encoder's `end` returns is sent in any case, even with `end_event=False`: a part of the protocol."""

    stateless: ClassVar[bool] = False
    """Whether the frames of an event are the same whatever came before, but for their ids: then resuming needs no replay."""

    bare: ClassVar[bool] = False
    """Whether a message of a WebSocket is the data of a frame, and not `{"data": ..., "event": ...}`."""

    def refusal(self, failure: Failure) -> tuple[str, str]:
        """Return the media type and the text of a response that refuses a request, so that the client shows the reason."""
        return "application/json", json_text({"status_code": failure.status_code, "detail": failure.detail})


@dataclass(frozen=True)
class Framing:
    """What a format says of how its frames are sent: see `BaseFormat`."""

    headers: Mapping[str, str]
    line_end: str
    always_ends: bool
    bare: bool


_LINE_ENDS: Final = ("\r\n", "\n")


def framing_of(format: WireFormat) -> Framing:
    """Return what a format says of how its frames are sent.

    Raises:
        ArgumentError: It says something that cannot be done.
    """
    said = {name: getattr(format, name, getattr(BaseFormat, name)) for name in ("headers", "line_end", "always_ends", "bare")}
    if said["line_end"] not in _LINE_ENDS:
        raise ArgumentError("line_end", said["line_end"], "'\\r\\n' or '\\n'")
    headers = said["headers"]
    if not isinstance(headers, Mapping) or not all(isinstance(part, str) for pair in headers.items() for part in pair):
        raise ArgumentError("headers", headers, "a mapping of texts to texts")
    return Framing(
        {name.lower(): value for name, value in headers.items()},
        said["line_end"],
        *map(bool, (said["always_ends"], said["bare"])),
    )


def json_text(value: Any) -> str:
    """Return compact JSON, with characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse_bytes(frame: Frame, line_end: str = "\r\n") -> bytes:
    """Return a frame as a server-sent event, in UTF-8.

    Source: `ServerSentEvent.encode` (sse-starlette, 1.8.2 to 3.7.0).

    Args:
        frame: The frame.
        line_end: What ends its lines.

    Raises:
        ArgumentError: It is no frame, or its data is no text.
    """
    return ServerSentEvent(_text_of(frame), event=frame.event, id=frame.id, sep=line_end).encode()


def sse_comment(text: str, line_end: str = "\r\n") -> bytes:
    """Return a comment, which clients skip."""
    return ServerSentEvent(comment=text, sep=line_end).encode()


def websocket_text(frame: Frame, *, bare: bool = False) -> str:
    """Return a frame as the text of a WebSocket message: `{"data":...,"event":...}`, and `id` if it has one.

    Args:
        frame: The frame.
        bare: Whether the message is the data alone.

    Raises:
        ArgumentError: It is no frame, or its data is no text.
    """
    if bare:
        return _text_of(frame)
    message = {"data": _text_of(frame), "event": frame.event}
    return json_text(message if frame.id is None else {**message, "id": frame.id})


def check_frame(frame: object) -> Frame:
    """Return a frame.

    Raises:
        ArgumentError: It is no frame, or its data is no text.
    """
    if not isinstance(frame, Frame):
        raise ArgumentError("frame", frame, "a callbridge.web.Frame")
    if not isinstance(frame.data, str):
        raise ArgumentError("data", frame.data, "text, such as callbridge.dumps makes of any value")
    return frame


def _text_of(frame: Frame) -> str:
    """Return the text of a frame as UTF-8 can carry it: a token may be half of a character that a provider has cut."""
    data = check_frame(frame).data
    return data if data.isascii() else data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
