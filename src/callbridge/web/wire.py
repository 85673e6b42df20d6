"""The wire: frames, the protocols of encoders and formats, and the bytes of frames."""

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
    """Its text, with any number of lines."""

    event: str | None = None
    """The kind of message."""

    id: str | None = None
    """Its id, for server-sent events; `EventSource` shows it as `lastEventId`."""


@dataclass(frozen=True)
class Failure:
    """What a client sees of a run that did not end well. It reveals no internals of the program.

    Example:
        ```python
        def describe(error: BaseException) -> Failure | None:
            return Failure(429, "Ask again in a minute.") if isinstance(error, TimeoutError) else None


        response = EventStreamResponse(callbridge.astream_events(chain, {"drink": "tea"}), "json", describe_error=describe)
        ```
    """

    status_code: int = 500
    """The status that an HTTP response would have."""

    detail: str = "Internal Server Error"
    """A text for people."""


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
        """Return the frames for an event; most formats make none for most events."""
        ...

    def fail(self, failure: Failure) -> Iterable[Frame]:
        """Return the frames that say that the run has failed."""
        ...

    def end(self) -> Iterable[Frame]:
        """Return the frames that say that nothing more will come, whether the run has failed or not."""
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

    Equal events must make equal frames, so that a run can be sent again from its first event on. A format may have the
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
    """The wrapper that a client of another protocol puts around a WebSocket message, so that several share one connection.

    A format with such clients has a method `envelope`, which returns the envelope of a message, or None if it has none.
    """

    @property
    def kind(self) -> str:
        """`"ask"`, `"cancel"`, or `"resume"`, which asks for an earlier run."""
        ...

    @property
    def request_id(self) -> str:
        """The id of the message, or of the one that it is about."""
        ...

    def pack(self, text: str) -> str:
        """Return the text of a frame in an envelope. Called for each frame, in order."""
        ...

    def nothing(self) -> str:
        """Return the text that says that there is nothing to resume."""
        ...


class BaseFormat:
    """A base for formats, with the default of everything that a format may set. You need not use it.

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
    """Headers of the HTTP response. They add to ours or replace them."""

    line_end: ClassVar[str] = "\r\n"
    """The line end of server-sent events: `"\\r\\n"` or `"\\n"`. The standard allows both, but not every client does."""

    always_ends: ClassVar[bool] = False
    """Whether to always send the frames of the encoder's `end`, even with `end_event=False`: the protocol needs them."""

    stateless: ClassVar[bool] = False
    """Whether the frames of an event do not depend on earlier events, except for their ids. Then resuming needs no replay."""

    bare: ClassVar[bool] = False
    """Whether a WebSocket message is the data of a frame, and not `{"data": ..., "event": ...}`."""

    def refusal(self, failure: Failure) -> tuple[str, str]:
        """Return the media type and the text of a response that refuses a request, so that the client shows the reason."""
        return "application/json", json_text({"status_code": failure.status_code, "detail": failure.detail})


@dataclass(frozen=True)
class Framing:
    """How to send the frames of a format: see `BaseFormat`."""

    headers: Mapping[str, str]
    line_end: str
    always_ends: bool
    bare: bool


_LINE_ENDS: Final = ("\r\n", "\n")


def framing_of(format: WireFormat) -> Framing:
    """Return how to send the frames of a format.

    Raises:
        ArgumentError: The format has an attribute with a wrong value.
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
    """Return compact JSON without escaping non-ASCII characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse_bytes(frame: Frame, line_end: str = "\r\n") -> bytes:
    """Return a frame as a server-sent event, in UTF-8.

    Source: `ServerSentEvent.encode` (sse-starlette, 1.8.2 to 3.7.0).

    Args:
        frame: The frame.
        line_end: The end of its lines.

    Raises:
        ArgumentError: It is not a frame, or its data is not text.
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
        ArgumentError: It is not a frame, or its data is not text.
    """
    if bare:
        return _text_of(frame)
    message = {"data": _text_of(frame), "event": frame.event}
    return json_text(message if frame.id is None else {**message, "id": frame.id})


def check_frame(frame: object) -> Frame:
    """Return a frame.

    Raises:
        ArgumentError: It is not a frame, or its data is not text.
    """
    if not isinstance(frame, Frame):
        raise ArgumentError("frame", frame, "a callbridge.web.Frame")
    if not isinstance(frame.data, str):
        raise ArgumentError("data", frame.data, "text, such as callbridge.dumps makes of any value")
    return frame


def _text_of(frame: Frame) -> str:
    """Return the text of a frame in a form that UTF-8 can carry: a provider may have cut a character in half."""
    data = check_frame(frame).data
    return data if data.isascii() else data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
