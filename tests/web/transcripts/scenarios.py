"""What the handlers are made to hear: the same for Lanarky's own, when bytes are recorded, and for their successors.

Needs no more than langchain-core, of any version, so that it runs where Lanarky runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.documents import Document
from starlette.websockets import WebSocket

__all__ = ["Scenario", "key", "play", "scenarios"]


class Scenario(NamedTuple):
    """A handler, and the callbacks it gets."""

    name: str
    handler: str
    options: dict[str, Any]
    calls: list[tuple[str, tuple[Any, ...]]]


TOKENS = [
    "Hel",
    "lo",
    "",
    " ",
    "grün",
    "日本",
    "🦜",
    "two\nlines",
    "a\r\nb",
    "c\rd",
    '"quoted\\"',
    "\t\x00\x1f\x7f",
    "\u2028",
    ": x",
]
DOCUMENTS = [
    Document(page_content="a", metadata={"s": 1}),
    Document(page_content='grün\n"b"', metadata={"seite": [1.5, None, True], "tiefer": {"ü": "日本"}, "groß": 1e22}),
    Document(page_content="", metadata={}),
]
ANSWER = ["I", " think", "Final", " Answer", ":", " 42", "!"]


def chain(*inner: tuple[str, tuple[Any, ...]], outputs: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """The callbacks of a chain."""
    return [("on_chain_start", ({}, {})), *inner, ("on_chain_end", (outputs,))]


def model(*tokens: str) -> list[tuple[str, tuple[Any, ...]]]:
    """The callbacks of a string model that streams."""
    return [("on_llm_start", ({}, ["?"])), *(("on_llm_new_token", (token,)) for token in tokens)]


def token_calls() -> Iterator[tuple[str, list[tuple[str, tuple[Any, ...]]]]]:
    said = "".join(TOKENS)
    yield "all kinds of tokens", chain(*model(*TOKENS), outputs={"text": said})
    yield "a model that does not stream", chain(*model(), outputs={"text": said})
    yield "a chain in a chain", chain(*chain(*model("a", "b"), outputs={"text": "ab"}), outputs={"text": "ab"})
    yield "a chain that starts after the tokens", chain(*model("a"), *chain(outputs={"text": "b"}), outputs={"text": "a"})
    yield "tokens before any chain", model("a", "b")
    yield "an end before any chain", [("on_chain_end", ({"text": "late"},))]
    yield "an output that is missing", chain(outputs={"other": "x"})
    yield "an output that is no text", chain(outputs={"text": 42})
    yield "an empty output", chain(outputs={"text": ""})
    yield "a chat model", chain(("on_chat_model_start", ({}, [[]])), *model("hi")[1:], outputs={"text": "hi"})


def final_calls() -> Iterator[tuple[str, list[tuple[str, tuple[Any, ...]]]]]:
    yield "an answer", chain(*model(*ANSWER), outputs={"output": "42!"})
    yield "two model calls", chain(*model("Thought", ":", " act"), *model(*ANSWER), outputs={"output": "42!"})
    yield "a prefix across two model calls", chain(*model("Final", " Answer"), *model(":", " 42"), outputs={"output": "42"})
    yield "an answer and another call", chain(*model(*ANSWER), *model("more"), outputs={"output": "42!"})
    yield "an answer of a chat model, and another", chain(*model(*ANSWER)[1:], *model("more")[1:], outputs={"output": "42!"})
    yield "no answer", chain(*model("I", " do", " not", " know"), outputs={"output": ""})
    yield "no tokens", chain(*model(), outputs={"output": "42"})
    yield "another prefix", chain(*model("Die", " Antwort", " ist", " 42"), outputs={"output": "42"})
    yield "odd tokens", chain(*model("Final", "Answer", ":", "", "two\nlines", "grün"), outputs={"output": "x"})


def document_calls() -> Iterator[tuple[str, list[tuple[str, tuple[Any, ...]]]]]:
    yield "documents", chain(*model("a"), outputs={"result": "a", "source_documents": DOCUMENTS})
    yield "one document", chain(outputs={"source_documents": DOCUMENTS[:1]})
    yield "no documents", chain(outputs={"result": "a"})
    yield "documents that are no list", chain(outputs={"source_documents": tuple(DOCUMENTS)})
    yield "documents that are none", chain(outputs={"source_documents": ["a"]})


def scenarios() -> list[Scenario]:
    """Return all of them: six handlers, both modes, every option."""
    made: list[Scenario] = []
    for mode in ("json", "text"):
        for kind in ("Streaming", "WebSocket"):
            for name, calls in token_calls():
                made.append(Scenario(name, f"Token{kind}CallbackHandler", {"output_key": "text", "mode": mode}, calls))
            for name, calls in final_calls():
                for options in _final_options():
                    made.append(Scenario(name, f"FinalToken{kind}CallbackHandler", {"mode": mode, **options}, calls))
            for name, calls in document_calls():
                if kind == "WebSocket" or mode == "json":
                    given = {"mode": mode} if kind == "WebSocket" else {}
                    made.append(Scenario(name, f"SourceDocuments{kind}CallbackHandler", given, calls))
    return made


def _final_options() -> list[dict[str, Any]]:
    return [
        {},
        {"stream_prefix": True},
        {"strip_tokens": False},
        {"strip_tokens": False, "answer_prefix_tokens": ["Final", " Answer", ":"]},
        {"answer_prefix_tokens": ["Antwort", "ist"], "stream_prefix": True},
    ]


async def play(module: Any, scenario: Scenario) -> list[str]:
    """Let the handler of a module hear a scenario; return what it sends, each message as text, and which errors it raises."""
    heard: list[str] = []
    handler = getattr(module, scenario.handler)(**scenario.options)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            assert message["more_body"] is True
            heard.append(message["body"].decode("utf-8"))
        elif message["type"] == "websocket.send":
            heard.append(message["text"])

    if "WebSocket" in scenario.handler:
        socket = WebSocket({"type": "websocket"}, receive, send)
        await socket.accept()
        handler.websocket = socket
    else:
        handler.send = send
    for method, args in scenario.calls:
        try:
            await getattr(handler, method)(*args, run_id=UUID(int=1))
        except (KeyError, TypeError, ValueError) as error:
            heard.append(f"raised {type(error).__name__}" + ("" if "Validation" in type(error).__name__ else f": {error}"))
    return heard


def key(scenario: Scenario) -> str:
    """Return what tells a scenario from all others."""
    return f"{scenario.handler} {json.dumps(scenario.options)}: {scenario.name}"
