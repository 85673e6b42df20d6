"""A local server that speaks enough of OpenAI's chat completions to stream from: no key, no network.

    python examples/chat/fake_openai.py --port 8000
    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=none python examples/chat/chat.py "Why is the sky blue?"

The name of the model chooses what it does:

    parrot    answers in one sentence; calls the first tool on offer, then answers with its result
    broken    answers every request with HTTP 500
    torn      sends a few words, then an error in the middle of the stream
    endless   goes on until the client has gone
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local_server import LocalServer

__all__ = ["FakeOpenAI"]

_ERROR = {"error": {"message": "the parrot has flown away", "type": "server_error", "code": None, "param": None}}


class FakeOpenAI(LocalServer):
    """The server, which runs in its own thread during the `with` block.

    Args:
        delay: Seconds between two pieces of a streamed answer.
        port: Port to listen on; 0 takes a free one.
    """

    def __init__(self, *, delay: float = 0.0, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        """Bodies of all requests, in order of arrival."""
        self.abandoned = 0
        """Streams whose client went away before their end."""
        self._delay = delay
        self._abandoned = threading.Condition()
        # OpenAI's client keeps its connections by address for the life of the process, bound to the loop that made them, and
        # the system reuses free ports. So each server has its own path.
        self._path = "/v1" if port else f"/{uuid4().hex}/v1"
        routes = [Route(f"{self._path}/chat/completions", self._complete, methods=["POST"])]
        super().__init__(Starlette(routes=routes), port=port)

    @property
    def base_url(self) -> str:
        """The value for `OPENAI_BASE_URL`."""
        return f"{self.url}{self._path}"

    def wait_abandoned(self, count: int = 1, *, timeout: float = 30.0) -> bool:
        """Wait until a number of streams have lost their client, for at most `timeout` seconds. Return whether they have."""
        with self._abandoned:
            return self._abandoned.wait_for(lambda: self.abandoned >= count, timeout)

    async def pause(self) -> None:
        """Wait before the next piece of a streamed answer."""
        await asyncio.sleep(self._delay)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if body["model"] == "broken":
            return JSONResponse(_ERROR, status_code=500)
        if body.get("stream"):
            return StreamingResponse(self._stream(body), media_type="text/event-stream")
        message, reason = _reply(body)
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return JSONResponse({**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(body, message)})

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[str]:
        complete = False
        try:
            for piece in _pieces(body):
                yield f"data: {json.dumps(piece)}\n\n"
                await self.pause()
            yield "data: [DONE]\n\n"
            complete = True
        finally:
            if not complete:
                with self._abandoned:
                    self.abandoned += 1
                    self._abandoned.notify_all()


def _reply(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the assistant's message and its finish reason."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"I looked it up for you: {last['content']}"}, "stop"
    if body.get("tools"):
        return {"role": "assistant", "content": None, "tool_calls": [_tool_call(body, str(last["content"]))]}, "tool_calls"
    asked = str(last["content"]).strip().splitlines()[-1]
    answer = f"You ask: {asked} A parrot can only repeat that, but it streams as well as any other bird."
    return {"role": "assistant", "content": answer}, "stop"


def _tool_call(body: dict[str, Any], text: str) -> dict[str, Any]:
    """Call the first tool on offer, with the last word of the question for each argument."""
    function = body["tools"][0]["function"]
    word = text.split()[-1].strip("?!.")
    arguments = dict.fromkeys(function["parameters"]["properties"], word)
    name_and_arguments = {"name": function["name"], "arguments": json.dumps(arguments)}
    return {"id": f"call_{len(body['messages'])}", "type": "function", "function": name_and_arguments}


def _pieces(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the chunks of a streamed answer."""
    if body["model"] == "endless":
        yield from _endless(body)
        return
    message, reason = _reply(body)
    yield _chunk(body, {"role": "assistant", "content": ""})
    for number, delta in enumerate(_deltas(message)):
        if body["model"] == "torn" and number == 3:
            yield _ERROR
            return
        yield _chunk(body, delta)
    yield _chunk(body, {}, reason)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**_head(body, "chat.completion.chunk"), "choices": [], "usage": _usage(body, message)}


def _endless(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield _chunk(body, {"role": "assistant", "content": ""})
    while True:
        yield _chunk(body, {"content": "and on "})


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for call in message.get("tool_calls", ()):
        function = call["function"]
        opening = {**call, "index": 0, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [opening]}
        half = len(function["arguments"]) // 2
        for part in (function["arguments"][:half], function["arguments"][half:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
    words = (message["content"] or "").split(" ")
    for number, word in enumerate(words):
        if word:
            yield {"content": word if number == 0 else f" {word}"}


def _chunk(body: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**_head(body, "chat.completion.chunk"), "choices": [choice]}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-parrot", "object": kind, "created": int(time.time()), "model": body["model"]}


def _usage(body: dict[str, Any], message: dict[str, Any]) -> dict[str, int]:
    """Return the tokens used, as a parrot counts them: words."""
    asked = sum(len(str(each.get("content") or "").split()) for each in body["messages"])
    answered = len((message["content"] or "").split())
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def main() -> None:
    """Run the server until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--delay", type=float, default=0.05, metavar="SECONDS", help="between two pieces of an answer")
    options = parser.parse_args()
    server = FakeOpenAI(delay=options.delay, port=options.port)
    print(f"listening: OPENAI_BASE_URL={server.base_url}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
