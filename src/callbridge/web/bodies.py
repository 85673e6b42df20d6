"""Request bodies: read within limits, and refused in a way that the client can show.

A refusal is a Starlette `HTTPException`. Starlette answers it as plain text, which the AI SDK and AG-UI show as it is.
`refusing` answers in the shape of another protocol, also in FastAPI, which would turn a refusal into JSON.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from callbridge.errors import ArgumentError, CallbridgeError
from callbridge.web.delivery import failure_of
from callbridge.web.named import format_named
from callbridge.web.wire import BaseFormat, WireFormat

__all__ = [
    "MAX_CHARACTERS",
    "RequestBodyError",
    "answered",
    "check_length",
    "check_mapping",
    "parsed",
    "read_json",
    "refusing",
    "told",
]

MAX_CHARACTERS: Final = 4_000_000
"""The default limit for the length of a conversation, including its files."""


class RequestBodyError(CallbridgeError, HTTPException):
    """A client has sent a body that is not a request of the protocol. Starlette answers with this status and message.

    Attributes:
        status_code: 400 if it is not JSON, 413 if it is too long, 422 for anything else.
        detail: What it was, and what was expected.
    """

    def __init__(self, status_code: int, detail: str) -> None:
        CallbridgeError.__init__(self, status_code, detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = None

    def __str__(self) -> str:
        return self.detail


def told(value: Any) -> str:
    """Return a short form of a value for an error message."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value)


async def read_json(request: Request, *, max_bytes: int = MAX_CHARACTERS) -> Any:
    """Return the JSON of a request's body. It stops reading a body that is too long.

    Args:
        request: The request.
        max_bytes: The largest length of the body.

    Raises:
        RequestBodyError: It is too long (413), or not JSON (400).
        ArgumentError: `max_bytes` is not a positive number.

    Example:
        ```python
        async def chat(request: Request) -> EventStreamResponse:
            messages = ui_messages(await read_json(request))
            return EventStreamResponse(callbridge.astream_events(chain, {"drink": messages[-1].content}), "ai-sdk")
        ```
    """
    check_length("max_bytes", max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise RequestBodyError(413, f"The body is too long: expected {max_bytes} bytes at most")
    return parsed(bytes(body), max_bytes)


def check_length(name: str, value: Any) -> None:
    """Check a limit.

    Raises:
        ArgumentError: It is not a positive number.
    """
    if not isinstance(value, int) or value < 1:
        raise ArgumentError(name, value, "a whole number, 1 or more")


def parsed(body: Any, max_characters: int) -> Any:
    """Return a body as JSON values; parse it if it is text or bytes.

    Raises:
        RequestBodyError: It is too long (413), or not JSON (400).
    """
    if not isinstance(body, str | bytes | bytearray):
        return body
    if len(body) > max_characters:
        raise RequestBodyError(413, f"The body has {len(body)} characters: expected {max_characters} at most")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        start = bytes(body[:60]).decode("utf-8", "replace") if not isinstance(body, str) else body[:60]
        raise RequestBodyError(400, f"The body is not JSON ({error}): got {told(start)}") from None


def refusing(format: str | WireFormat) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return an exception handler that refuses a request in a form that the clients of a format can show.

    Args:
        format: A wire format or its name.

    Raises:
        UnknownFormatError: There is no such format.

    Example:
        ```python
        app = Starlette(exception_handlers={HTTPException: refusing("openai")})
        ```
    """
    refusal = getattr(format_named(format), "refusal", None) or BaseFormat().refusal

    async def handle(_: Request, error: Exception) -> Response:
        failure = failure_of(error, None)
        media_type, text = refusal(failure)
        return Response(text, failure.status_code, media_type=media_type, headers=dict(getattr(error, "headers", None) or {}))

    return handle


def answered(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return messages in which an answer follows every call, because providers refuse a history without one."""
    answers = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    found: list[BaseMessage] = []
    for message in messages:
        found.append(message)
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            if call["id"] not in answers:
                text = "The call was not answered"
                found.append(ToolMessage(text, tool_call_id=call["id"] or "", name=call["name"], status="error"))
    return found


def check_mapping(value: Any, where: str, keys: str) -> Mapping[str, Any]:
    """Return a value that must be a JSON object.

    Raises:
        RequestBodyError: It is not an object.
    """
    if not isinstance(value, Mapping):
        raise RequestBodyError(422, f"{where}: got {told(value)}, expected an object with {keys}")
    return value
