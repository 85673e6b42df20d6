"""A provider of chat completions on loopback, for `ChatOpenAI`: usage with details, tool calls, errors."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Recorder", "provider", "recorder"]

_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
_NOTHING: Mapping[str, Any] = {}
_SAID = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_1"}


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    """The message that a model would answer with."""
    last = asked["messages"][-1]
    if asked.get("tools") and last["role"] != "tool":
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"city": "Oslo"}'}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
    return {"role": "assistant", "content": "It is sunny."}


class _Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "broken":
            self._send(400, json.dumps({"error": {"message": "no such model", "type": "invalid_request_error"}}))
            return
        message = _answer(asked)
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        if not asked.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            self._send(200, json.dumps({**_SAID, "object": "chat.completion", "choices": [choice], "usage": _USAGE}))
            return
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if message.get("tool_calls"):
            deltas += [{"tool_calls": [{"index": 0, **call} for call in message["tool_calls"]]}]
        else:
            deltas += [{"content": f"{word} "} for word in message["content"].split()]
        if asked["model"] == "cut":
            deltas.append({"content": None, "broken": True})
        self._stream(deltas, finish)

    def _stream(self, deltas: list[dict[str, Any]], finish: str) -> None:
        lines = []
        for delta in deltas:
            if delta.pop("broken", False):
                lines.append(json.dumps({"error": {"message": "the line is dead", "type": "server_error"}}))
                break
            lines.append(self._chunk([{"index": 0, "delta": delta, "finish_reason": None}]))
        else:
            lines.append(self._chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
            lines.append(self._chunk([], usage=_USAGE))
        self._send(200, "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]), "text/event-stream")

    def _chunk(self, choices: list[Any], **more: Any) -> str:
        return json.dumps({**_SAID, "object": "chat.completion.chunk", "choices": choices, **more})

    def _send(self, status: int, body: str, kind: str = "application/json") -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Recorder:
    """What was sent to a server that says yes to everything."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Any]] = []


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that leave are none of our business."""


@contextmanager
def _serving(kind: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def provider() -> Iterator[str]:
    """Serve completions; gives the base URL for `ChatOpenAI`."""
    with _serving(_Provider) as url:
        yield f"{url}/v1"


@contextmanager
def recorder(answer: Mapping[str, Any] = _NOTHING) -> Iterator[Recorder]:
    """Serve a place where traces can be sent, and which answers all the same."""
    kept, said = Recorder(), json.dumps(dict(answer)).encode()

    class Kept(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            try:
                told = json.loads(body) if body else None
            except ValueError:
                told = body
            kept.requests.append((self.command, self.path, told))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - the server asks for these names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with _serving(Kept) as url:
        kept.url = url
        yield kept
