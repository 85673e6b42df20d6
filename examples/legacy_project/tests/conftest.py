"""A model on a local port: no key, no network."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class _Handler(BaseHTTPRequestHandler):
    """Speaks enough of OpenAI's chat completions."""

    def do_POST(self) -> None:
        """Answer with the question, or, if asked to think, with a thought and a final answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] == "broken":
            self._send("application/json", json.dumps({"error": {"message": "out of order"}}), status=400)
            return
        question = body["messages"][-1]["content"]
        pieces = ["You ", "ask: ", question]
        if "Thought:" in question:
            pieces = ["I know", " this.\n", "Final", " Answer", ":", " nine", " to", " five"]
        head = {"id": "c1", "created": 0, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(pieces)}
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(
                "application/json", json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            )
            return
        deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
        frames = [
            {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in deltas
        ]
        frames[-1]["choices"][0]["finish_reason"] = "stop"
        *said, end = [f"data: {json.dumps(frame)}\n\n" for frame in frames]
        self._send("text/event-stream", "".join(said), end + "data: [DONE]\n\n")

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def _send(self, kind: str, *parts: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(sum(len(part.encode()) for part in parts)))
        self.end_headers()
        for number, part in enumerate(parts):
            if number:
                # As with a real model. AsyncIteratorCallbackHandler loses a last token that comes together with the end.
                time.sleep(0.1)
            self.wfile.write(part.encode())
            self.wfile.flush()


@pytest.fixture(scope="session", autouse=True)
def _model_server() -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    patch = pytest.MonkeyPatch()
    patch.setenv("OPENAI_API_KEY", "none")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        patch.setenv(name, f"http://127.0.0.1:{server.server_port}/v1")
    yield
    patch.undo()
    server.shutdown()
    thread.join()
    server.server_close()
