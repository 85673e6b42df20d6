"""Delivery to browsers and JSON as users' code meets them; read by type checkers, never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from langchain_core.runnables import Runnable
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from typing_extensions import assert_type

import callbridge as cb
from callbridge.classic import AsyncFinalIteratorCallbackHandler, AsyncIteratorCallbackHandler
from callbridge.events import Event
from callbridge.web import BaseEncoder, EventStreamResponse, Failure, Frame, Limits, V2Format, websocket_endpoint
from callbridge.web.lanarky import TokenStreamingCallbackHandler

Chain = Runnable[dict[str, str], str]


class Encoder(BaseEncoder):
    """A custom format."""

    def begin(self) -> Encoder:
        """Have no state."""
        return self

    def feed(self, event: Event) -> Iterable[Frame]:
        """Show tools."""
        if event["event"] == "on_tool_start":
            yield Frame(event["name"])


def describe(error: Exception) -> Failure | None:
    """Tell of one kind of error."""
    return Failure(422) if isinstance(error, KeyError) else None


async def respond(request: Request, chain: Chain) -> list[Response]:
    """Every kind of stream, and every kind of format."""
    value = {"q": request.query_params["q"]}
    return [
        EventStreamResponse(cb.astream_events(chain, value), "json", heartbeat=None),
        EventStreamResponse(cb.astream_call(chain.ainvoke, value), V2Format(omit_input=True), describe_error=describe),
        EventStreamResponse(cb.EventStreamHandler(), Encoder(), limits=Limits(max_seconds=60)),
        EventStreamResponse(chain.astream_events(value, version="v2"), TokenStreamingCallbackHandler(output_key="x")),
    ]


def endpoints(chain: Chain) -> list[Callable[[WebSocket], Awaitable[None]]]:
    """What makes a run of a message may be sync or async."""

    def start(websocket: WebSocket, message: Any) -> cb.AsyncEventStream[Any]:
        return cb.astream_events(chain, message)

    async def astart(websocket: WebSocket, message: Any) -> cb.AsyncEventStream[Any]:
        return start(websocket, message)

    return [websocket_endpoint(start), websocket_endpoint(astart, "text")]


async def iterate() -> None:
    """Tokens are text."""
    async for token in AsyncIteratorCallbackHandler().aiter():
        assert_type(token, str)
    async for token in AsyncFinalIteratorCallbackHandler(stream_prefix=True).aiter():
        assert_type(token, str)


def save(event: Event) -> str:
    """JSON of any event, and the event again."""
    handler: list[Event] = [cb.loads(cb.dumps(event))]
    return cb.dumps(handler)


async def leave(stream: cb.AsyncEventStream[int]) -> None:
    """Leaving for a bounded time says whether that was enough."""
    assert_type(await stream.aclose(1.5), bool)
