"""The successors of Lanarky's handlers, against transcripts of the originals."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import RunnableConfig, RunnableLambda
from starlette.responses import Response
from websockets.asyncio.client import connect

from callbridge import astream_events
from callbridge.web import EventStreamResponse, websocket_endpoint
from callbridge.web import lanarky as successors
from callbridge.web.lanarky import (
    FinalTokenStreamingCallbackHandler,
    SourceDocumentsStreamingCallbackHandler,
    StreamingCallbackHandler,
    TokenStreamingCallbackHandler,
    TokenWebSocketCallbackHandler,
)
from lives import Provider, chain
from made_events import Run
from web.serving import reading, serving, sse_site, ws_site
from web.transcripts.scenarios import Scenario, key, play, scenarios

pytestmark = pytest.mark.anyio

TRANSCRIPTS: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "transcripts" / "lanarky-0.8.8.json").read_text(encoding="utf-8")
)


def test_there_is_a_transcript_of_every_scenario() -> None:
    """No more, no less."""
    assert set(TRANSCRIPTS) == {key(scenario) for scenario in scenarios()}


@pytest.mark.parametrize("scenario", scenarios(), ids=key)
async def test_a_handler_sends_what_the_original_sent(scenario: Scenario) -> None:
    """Byte for byte, and the same errors for the log."""
    assert await play(successors, scenario) == TRANSCRIPTS[key(scenario)]


def events_of(scenario: Scenario) -> list[dict[str, Any]]:
    """Make the events of a run whose callbacks are those of a scenario."""
    made: list[dict[str, Any]] = []
    chains: list[Run] = []
    model: Run | None = None
    for method, args in scenario.calls:
        if method == "on_chain_start":
            chains.append(Run("chain", "chain", chains[-1] if chains else None))
            made.append(chains[-1].start(input={}))
        elif method in ("on_llm_start", "on_chat_model_start"):
            model = Run("llm", "model", chains[-1])
            made.append(model.start(input={"prompts": ["?"]}))
        elif method == "on_llm_new_token":
            assert model is not None
            made.append(model.stream(args[0]))
        else:
            if model is not None:
                made.append(model.end({"generations": [[{"text": ""}]]}))
                model = None
            made.append(chains.pop().end(args[0]))
    return made


def is_run(scenario: Scenario) -> bool:
    """Return whether these callbacks are those of a whole run."""
    methods = [method for method, _ in scenario.calls]
    return methods[0] == "on_chain_start" and ("on_llm_new_token" not in methods or "on_llm_start" in methods)


@pytest.mark.parametrize("scenario", [each for each in scenarios() if "Streaming" in each.handler and is_run(each)], ids=key)
async def test_as_a_format_it_makes_the_same_of_events(scenario: Scenario) -> None:
    """Without the complaints: what failed makes no frame, and what follows comes."""
    format_ = getattr(successors, scenario.handler)(**scenario.options)
    bodies: list[bytes] = []

    async def replayed() -> Any:
        for event in events_of(scenario):
            yield event

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))

    for _ in range(2):  # the same object for two requests
        bodies.clear()
        await EventStreamResponse(replayed(), format_, end_event=False)({"type": "http"}, receive, send)
        want = "".join(text for text in TRANSCRIPTS[key(scenario)] if not text.startswith("raised"))
        assert b"".join(bodies).decode() == want


async def test_the_envelope_of_a_response_is_that_of_the_original() -> None:
    """Each ASGI message, headers and their order included, as Lanarky's `StreamingResponse` sends them around its handlers."""
    model = Run("llm", "model")

    async def replayed() -> Any:
        end = model.end({"generations": [[{"text": "Grün"}]]})
        for event in (model.start(input={"prompts": ["?"]}), model.stream("Gr"), model.stream("ün"), end):
            yield event

    async def receive() -> Any:
        await asyncio.Event().wait()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    format_ = TokenStreamingCallbackHandler(output_key="text")
    await EventStreamResponse(replayed(), format_, end_event=False)({"type": "http"}, receive, send)
    assert sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"cache-control", b"no-cache"),
                (b"connection", b"keep-alive"),
                (b"x-accel-buffering", b"no"),
                (b"content-type", b"text/event-stream; charset=utf-8"),
            ],
        },
        {"type": "http.response.body", "body": b'event: completion\r\ndata: {"token":"Gr"}\r\n\r\n', "more_body": True},
        {"type": "http.response.body", "body": b'event: completion\r\ndata: {"token":"\xc3\xbcn"}\r\n\r\n', "more_body": True},
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]


async def test_an_old_endpoint_over_http_sends_the_same_bytes() -> None:
    """As Lanarky's response did: tokens, then nothing."""
    run = chain(words=["Grün", "e\nWelt"])
    format_ = TokenStreamingCallbackHandler(output_key="output", mode="text")

    def answer(_: Any) -> Response:
        return EventStreamResponse(astream_events(run.runnable, run.value), format_, end_event=False)

    async with serving(sse_site(answer)) as site, reading(site) as response:
        body = await response.aread()
    want = b"event: completion\r\ndata: Gr\xc3\xbcn\r\n\r\nevent: completion\r\ndata: e\r\ndata: Welt\r\n\r\n"
    assert body.replace(b"event: completion\r\ndata: \r\n\r\n", b"") == want  # newer LangChains end with an empty token


async def test_an_old_client_over_a_websocket_gets_the_same_messages() -> None:
    """And an `end` after each answer, on which such a client relies."""
    run = chain(words=["ü"])
    endpoint = websocket_endpoint(
        lambda _, __: astream_events(run.runnable, run.value), TokenWebSocketCallbackHandler(output_key="output")
    )
    async with serving(ws_site(endpoint)) as site, connect(site.ws, proxy=None) as client:
        await client.send("1")
        got = [await client.recv()]
        while got[-1] != '{"data":"","event":"end"}':
            got.append(await client.recv())
    assert got[0] == '{"data":"{\\"token\\":\\"ü\\"}","event":"completion"}'


async def test_attached_to_a_run_it_sends_as_it_goes() -> None:
    """Through LangChain's own dispatch, sync and async, whichever way that passes the token."""
    model = Provider(words=["a", "b"])
    outputs = {"result": "ab", "source_documents": [Document(page_content="d")]}

    async def aanswer(question: str, config: RunnableConfig) -> dict[str, Any]:
        assert [token async for token in model.astream(question, config)]
        return outputs

    def answer(question: str, config: RunnableConfig) -> dict[str, Any]:
        assert list(model.stream(question, config))
        return outputs

    runnable = RunnableLambda(answer, aanswer)
    for call in (runnable.ainvoke, lambda *args: asyncio.to_thread(runnable.invoke, *args)):
        sent: list[bytes] = []

        async def send(message: Any, sent: list[bytes] = sent) -> None:
            sent.append(message["body"])

        handlers = [TokenStreamingCallbackHandler(output_key="result"), SourceDocumentsStreamingCallbackHandler()]
        for handler in handlers:
            handler.send = send
        await call("q", {"callbacks": handlers})
        documents = b'{"source_documents":[{"id":null,"metadata":{},"page_content":"d","type":"Document"}]}'
        assert [body for body in sent if b'"token":""' not in body] == [
            b'event: completion\r\ndata: {"token":"a"}\r\n\r\n',
            b'event: completion\r\ndata: {"token":"b"}\r\n\r\n',
            b"event: source_documents\r\ndata: " + documents + b"\r\n\r\n",
        ]


@pytest.mark.parametrize("kind", ["TokenStreaming", "TokenWebSocket", "FinalTokenStreaming", "FinalTokenWebSocket"])
def test_arguments_are_those_of_the_originals(kind: str) -> None:
    """And what they refuse."""
    handler = getattr(successors, f"{kind}CallbackHandler")
    given: dict[str, Any] = {} if "Final" in kind else {"output_key": "x"}
    assert handler(**given).always_verbose
    with pytest.raises(ValueError, match=r"^Invalid stream mode: xml$"):
        handler(mode="xml", **given)
    with pytest.raises(TypeError):
        handler(colour="red", **given)
    if "Final" not in kind:
        with pytest.raises(TypeError, match="output_key"):
            handler()
    made = handler(**given)
    attribute = "websocket" if "WebSocket" in kind else "send"
    with pytest.raises(ValueError, match=r"^value must be a (WebSocket|Callable)$"):
        setattr(made, attribute, 3)


async def test_a_cached_answer_is_sent_whole() -> None:
    """A cache in use when the handler is made, and no token."""
    set_llm_cache(InMemoryCache())
    try:
        handler = TokenStreamingCallbackHandler(output_key="text")
    finally:
        set_llm_cache(None)
    assert handler.llm_cache_used
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message["body"])

    handler.send = send
    await handler.on_chain_start({}, {})
    handler.streaming = True
    await handler.on_chain_end({"text": "cached"})
    assert sent == [b'event: completion\r\ndata: {"token":"cached"}\r\n\r\n']


async def test_a_client_that_has_gone_is_complained_of_once() -> None:
    """The originals complained for every token."""
    tries = 0

    async def send(_: Any) -> None:
        nonlocal tries
        tries += 1
        raise OSError("gone")

    handler = TokenStreamingCallbackHandler(output_key="text", send=send)
    with pytest.raises(OSError, match="gone"):
        await handler.on_llm_new_token("a")
    await handler.on_llm_new_token("b")
    assert tries == 1


async def test_no_source_documents_are_no_error() -> None:
    """The originals raised an `IndexError`."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await SourceDocumentsStreamingCallbackHandler(send=send).on_chain_end({"source_documents": []})
    assert not sent


async def test_a_handler_of_ones_own_still_sends() -> None:
    """Subclasses build messages with `_construct_message`."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["body"])

    class Tools(StreamingCallbackHandler):
        async def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
            await self.send(self._construct_message(data=input_str, event="tool"))

    await Tools(send=send).on_tool_start({}, "tea", run_id=None)
    assert sent == [b"event: tool\r\ndata: tea\r\n\r\n"]


async def test_a_format_leaves_its_handler_as_it_was() -> None:
    """State of one run never meets another."""
    handler = FinalTokenStreamingCallbackHandler()
    encoder = handler.begin()
    run = Run("llm", "model")
    for event in (run.start(input={"prompts": ["?"]}), run.stream("Final"), run.stream(" Answer")):
        assert not list(encoder.feed(event))  # type: ignore[arg-type]
    assert handler.last_tokens == ["", "", ""]
    assert list(encoder.feed(run.stream(":")))  # type: ignore[arg-type]
    assert not handler.answer_reached
