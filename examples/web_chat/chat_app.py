"""The web application: a page, and the same answers as server-sent events and over a WebSocket.

    GET  /events?question=...&model=...     for EventSource
    POST /events {"question", "model"}      for fetch
    WS   /socket {"question", "model"}      one answer per message; {"type": "cancel"} stops it
    POST /api/chat                          for the AI SDK's `useChat`, whose page is /ai-sdk/ once it is built
    GET  /models                            the models that you can ask

The application keeps nothing between requests: each question stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langchain_core.runnables import Runnable
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import callbridge
from callbridge.web import (
    AISDKFormat,
    EventStreamResponse,
    Failure,
    Frame,
    Limits,
    SourceDocumentsFormat,
    TokenFormat,
    read_json,
    refusing,
    ui_messages,
    websocket_endpoint,
)

__all__ = ["ChatFormat", "build_app"]

MAX_QUESTION = 2000
"""Characters."""

LIMITS = Limits(max_seconds=300)
PAGE = Path(__file__).resolve().parent / "page"
AI_SDK_PAGE = Path(__file__).resolve().parent / "ai_sdk" / "dist"


class ChatFormat:
    """The frames for the page: tokens of the answer, source documents, and tool calls.

    The first two are callbridge formats; the frames of tools belong to this application.
    """

    def begin(self) -> _ChatEncoder:
        """Return the encoder of one answer."""
        return _ChatEncoder()


class _ChatEncoder:
    def __init__(self) -> None:
        self._tokens = TokenFormat(final=True).begin()
        self._documents = SourceDocumentsFormat(retrievers=True).begin()

    def feed(self, event: Any) -> Iterable[Frame]:
        yield from self._tokens.feed(event)
        yield from self._documents.feed(event)
        kind = event["event"].removeprefix("on_")
        if kind in ("tool_start", "tool_end", "tool_error"):
            shown = {"id": event["run_id"], "name": event["name"]}
            if kind == "tool_start":
                shown["input"] = event["data"].get("input")
            yield Frame(callbridge.dumps(shown), kind)

    def fail(self, failure: Failure) -> Iterable[Frame]:
        return self._tokens.fail(failure)

    def end(self) -> Iterable[Frame]:
        return self._tokens.end()


def build_app(agents: Mapping[str, Runnable[Any, Any]], ai_sdk_page: Path = AI_SDK_PAGE) -> Starlette:
    """Return the application.

    Args:
        agents: Name on the page to the agent, which takes `{"input": ...}`.
        ai_sdk_page: The directory of the built AI SDK page.
    """

    def start(fields: Any) -> callbridge.AsyncEventStream[Any]:
        question, model = _read(fields)
        if model not in agents:
            raise HTTPException(400, "There is no such model.")
        return callbridge.astream_call(agents[model].ainvoke, {"input": question})

    async def events(request: Request) -> Response:
        try:
            fields = dict(request.query_params) if request.method != "POST" else await request.json()
        except ValueError:
            raise HTTPException(400, "This is not JSON.") from None
        return EventStreamResponse(start(fields), ChatFormat(), limits=LIMITS)

    async def chat(request: Request) -> Response:
        stream = start(_last_question(await read_json(request)))
        return EventStreamResponse(stream, AISDKFormat(send_reasoning=True), limits=LIMITS)

    def ask(websocket: WebSocket, message: Any) -> callbridge.AsyncEventStream[Any]:
        return start(message)

    async def models(request: Request) -> Response:
        return JSONResponse(list(agents))

    socket = websocket_endpoint(ask, ChatFormat(), limits=LIMITS)
    return Starlette(
        routes=[
            Route("/events", events, methods=["GET", "POST"]),
            WebSocketRoute("/socket", socket),
            Route("/api/chat", chat, methods=["POST"]),
            Route("/models", models),
            Mount("/ai-sdk", StaticFiles(directory=ai_sdk_page, html=True, check_dir=False)),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        exception_handlers={HTTPException: _refuse},
    )


def _last_question(body: Any) -> dict[str, Any]:
    """Return the question in a `useChat` request: its last message, since each question stands alone."""
    asked = [str(message.content) for message in ui_messages(body) if message.type == "human"]
    return {"question": asked[-1] if asked else None, "model": body.get("model")}


def _read(fields: Any) -> tuple[str, str]:
    """Return the question and the model's name from a client's message, which may be anything.

    Raises:
        HTTPException: It is not a question. The client gets a response over HTTP, an `error` frame over the WebSocket.
    """
    question = fields.get("question") if isinstance(fields, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise HTTPException(400, "There is no question.")
    if len(question) > MAX_QUESTION:
        raise HTTPException(400, f"A question has {MAX_QUESTION} characters at most.")
    return question, str(fields.get("model"))


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer over HTTP what an `error` frame says, in the form that `useChat` shows."""
    if request.url.path == "/api/chat":
        return await refusing("ai-sdk")(request, error)
    assert isinstance(error, HTTPException)
    return JSONResponse({"status_code": error.status_code, "detail": error.detail}, status_code=error.status_code)
