"""What users of the AI SDK, of AG-UI and of OpenAI's SDKs see of a run is what the run said: real clients, real uvicorn."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callbridge import astream_events
from callbridge.web import (
    AGUIFormat,
    AISDKFormat,
    EventStreamResponse,
    OpenAIFormat,
    RequestBodyError,
    WireFormat,
    read_json,
    ui_messages,
    websocket_endpoint,
)
from lives import chain, watched
from web.node_clients import Clients
from web.protocols import READERS
from web.scenes import HAS_AGENTS, SCENES, SECRET, Scene
from web.serving import Site, serving, sse_site, ws_site

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")]

AI_VERSIONS = ("ai-5.0.115", "ai-5", "ai-6.0.150", "ai-6", "ai-7")
ROUTES: dict[str, WireFormat] = {
    "ai": AISDKFormat(send_reasoning=True),
    "agui": AGUIFormat(send_reasoning=True),
    "openai": OpenAIFormat(send_reasoning=True, include_usage=True),
}


def respond(request: Request) -> Response:
    """Play a scene: `/format/scene`, with whatever the client adds."""
    _, protocol, scene = request.url.path.split("/")[:3]
    played = SCENES[scene.replace("_", " ")]
    return EventStreamResponse(played.make(), ROUTES[protocol], limits=played.limits)


def url(site: Site, protocol: str, scene: str) -> str:
    return f"{site.http}/{protocol}/{scene.replace(' ', '_')}"


def wanted_tools(scene: Scene) -> list[dict[str, Any]]:
    return [
        {"toolName": call.name, "input": call.input, "output": "Tool failed" if call.failed else call.output}
        for call in scene.calls
    ]


def shown_tools(seen: Any) -> list[dict[str, Any]]:
    return [
        {"toolName": tool["toolName"], "input": tool["input"], "output": tool.get("output") or tool.get("errorText")}
        for tool in seen["tools"]
    ]


def check_end(seen: Any, scene: Scene) -> None:
    """Nothing that was cut short looks whole, and nothing secret is seen."""
    assert seen["whole"] is (scene.ends == "finished"), seen
    assert SECRET not in str(seen)


@pytest.mark.parametrize("name", SCENES)
async def test_the_ai_sdk_shows_what_the_run_said(name: str, clients: Clients) -> None:
    """In each version: every text in its own part, reasoning, tools with arguments and results, sources, and the end."""
    scene = SCENES[name]
    async with serving(sse_site(respond)) as site:
        found = await asyncio.gather(*(clients.ask(version, url(site, "ai", name)) for version in AI_VERSIONS))
    for seen in found:
        assert seen["texts"] == list(scene.texts), seen
        assert shown_tools(seen) == wanted_tools(scene)
        assert seen["sources"] == list(scene.sources)
        assert seen["reasoning"] == scene.reasoning
        assert seen["error"] == (None if scene.ends == "finished" else scene.error)
        check_end(seen, scene)


@pytest.mark.parametrize("name", SCENES)
async def test_ag_ui_shows_what_the_run_said(name: str, clients: Clients) -> None:
    """Messages, tool calls with their results, custom events; a cancelled run is told by its outcome."""
    scene = SCENES[name]
    async with serving(sse_site(respond)) as site:
        seen = await clients.ask("ag-ui", url(site, "agui", name))
    assert seen["texts"] == list(scene.texts), seen
    assert shown_tools(seen) == wanted_tools(scene)
    assert seen["sources"] == list(scene.sources)
    assert seen["reasoning"] == scene.reasoning
    assert seen["error"] == (scene.error if scene.ends in ("failed", "limited") else None)
    assert (seen["outcome"] == "cancelled") is (scene.ends == "cancelled")
    check_end(seen, scene)


@pytest.mark.parametrize("name", SCENES)
async def test_openai_clients_read_what_the_run_said(name: str, clients: Clients) -> None:
    """The texts, one after the other; tools that the server has run are not sent; what is cut short raises."""
    scene = SCENES[name]
    async with serving(sse_site(respond)) as site:
        of_js, of_python = await asyncio.gather(
            clients.ask("openai", url(site, "openai", name)), ask_with_python(url(site, "openai", name))
        )
    for seen in (of_js, of_python):
        assert seen["text"] == scene.between.join(scene.texts), seen
        assert seen["reasoning"] == scene.reasoning
        assert seen["toolCalls"] == []
        assert (scene.error in seen["error"]) if scene.ends != "finished" else seen["error"] is None
        check_end(seen, scene)


async def ask_with_python(base_url: str, stop_at: str = "") -> dict[str, Any]:
    """Ask with OpenAI's SDK for Python; return what the driver of the others returns."""
    import openai

    seen: dict[str, Any] = {"text": "", "reasoning": "", "toolCalls": [], "error": None, "reason": None, "usage": None}
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key="none", max_retries=0, http_client=httpx.AsyncClient(trust_env=False, verify=False)
    ) as client:
        try:
            stream = await client.chat.completions.create(
                model="tea",
                stream=True,
                stream_options={"include_usage": True},
                messages=[{"role": "user", "content": "hello"}],
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    seen["text"] += choice.delta.content or ""
                    seen["reasoning"] += getattr(choice.delta, "reasoning_content", None) or ""
                    seen["toolCalls"] += choice.delta.tool_calls or []
                    seen["reason"] = choice.finish_reason or seen["reason"]
                seen["usage"] = chunk.usage or seen["usage"]
                if stop_at and stop_at in seen["text"]:
                    await stream.close()
        except (openai.APIError, httpx.HTTPError) as error:  # the SDK hands on what breaks the connection, or names it
            seen["error"] = str(error)
    return {**seen, "whole": seen["error"] is None and seen["reason"] == "stop"}


CLIENTS = ("ai-5.0.115", "ai-5", "ai-6", "ai-7", "ag-ui", "openai")


def protocol_of(client: str) -> str:
    return "ai" if client.startswith("ai-") else client.replace("-", "")


@pytest.mark.parametrize("client", [*CLIENTS, "python"])
async def test_a_client_that_stops_cancels_the_run(client: str, clients: Clients) -> None:
    """The provider's `finally` has run, and the page shows what came before."""
    run = chain(words=["Half ", "never"], waits_at=1)

    def answer(_: Request) -> Response:
        return EventStreamResponse(
            astream_events(run.runnable, run.value), ROUTES[protocol_of(client).replace("python", "openai")]
        )

    with watched():
        async with serving(sse_site(answer)) as site:
            if client == "python":
                await ask_with_python(site.http, "Half")
            else:
                seen = await clients.ask(client, site.http, stopAt="Half")
                assert seen["texts"] == ["Half "]
            await run.book.all_left.wait()
        assert run.book.closed


@pytest.mark.parametrize("client", [*CLIENTS, "python"])
async def test_a_server_that_dies_is_an_error(client: str, clients: Clients) -> None:
    """The connection is cut in the middle of an answer: no client takes it for the end."""
    texts = {
        "ai": [
            '{"type":"start"}',
            '{"type":"start-step"}',
            '{"type":"text-start","id":"t"}',
            '{"type":"text-delta","id":"t","delta":"Half"}',
        ],
        "agui": [
            '{"type":"RUN_STARTED","threadId":"t","runId":"r"}',
            '{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}',
        ],
        "openai": ['{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}'],
    }[protocol_of(client).replace("python", "openai")]

    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = "".join(f"data: {text}\n\n" for text in texts)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(f"{len(body):x}\r\n{body}\r\n".encode())
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(dies, "127.0.0.1", 0)
    async with server:
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        seen = await (ask_with_python(at) if client == "python" else clients.ask(client, at))
    assert not seen["whole"]
    assert seen["error"]


async def test_usechat_asks_again_with_the_history(clients: Clients) -> None:
    """Two questions and a retry: the server is told all that was said, and ids of answers differ."""
    bodies: list[Any] = []

    async def answer(request: Request) -> Response:
        bodies.append(ui_messages(await read_json(request)))
        return EventStreamResponse(SCENES["text"].make(), "ai-sdk")

    async with serving(Starlette(routes=[Route("/", answer, methods=["POST"])])) as site:
        for version in AI_VERSIONS:
            bodies.clear()
            seen = await clients.ask(version, site.http, texts=["one", "two"], regenerate=True)
            assert [[message.type for message in body] for body in bodies] == [
                ["human"],
                ["human", "ai", "human"],
                ["human", "ai", "human"],
            ]
            assert bodies[2][1].content == SCENES["text"].texts[0]
            assert seen["roles"] == ["user", "assistant", "user", "assistant"]
            ids = [message["id"] for message in seen["messages"]]
            assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "name",
    ["text", "two parallel tools" if HAS_AGENTS else "sources", "two models at once", "model error", "cancelled by the server"],
)
async def test_the_ai_sdk_reads_over_a_websocket(name: str, clients: Clients) -> None:
    """Version 7 has a transport for it, whose envelopes are opened and made."""
    scene = SCENES[name]

    def ask(_: Any, message: Any) -> Any:
        assert ui_messages(message)[-1].content == "hello"
        return scene.make()

    async with serving(ws_site(websocket_endpoint(ask, AISDKFormat(send_reasoning=True), limits=scene.limits))) as site:
        seen = await clients.ask("ai-7", site.ws, socket=True)
    assert seen["texts"] == list(scene.texts), seen
    assert shown_tools(seen) == wanted_tools(scene)
    assert seen["error"] == (None if scene.ends == "finished" else scene.error)
    check_end(seen, scene)


async def test_stop_over_a_websocket_cancels_the_run_and_refusals_are_shown(clients: Clients) -> None:
    """One connection, several questions: what is stopped is the run that was named."""
    run = chain(words=["Half ", "never"], waits_at=1)

    def ask(_: Any, message: Any) -> Any:
        if ui_messages(message)[-1].content == "bad":
            raise RequestBodyError(422, "There is no such thing")
        return astream_events(run.runnable, run.value)

    with watched():
        async with serving(ws_site(websocket_endpoint(ask, "ai-sdk"))) as site:
            seen = await clients.ask("ai-7", site.ws, socket=True, stopAt="Half")
            assert seen["texts"] == ["Half "]
            await run.book.all_left.wait()
            refused = await clients.ask("ai-7", site.ws, socket=True, texts=["bad"])
            assert refused["error"] == "There is no such thing"
        assert run.book.closed


@pytest.mark.parametrize("name", READERS)
async def test_each_format_can_be_read_over_a_websocket(name: str) -> None:
    """A message is the data of a frame: what a transport of a few lines hands to the client."""
    scene = SCENES["two models at once"]
    endpoint = websocket_endpoint(lambda _, __: scene.make(), name)
    async with serving(ws_site(endpoint)) as site, websockets.connect(site.ws) as socket:
        for _ in range(2):
            await socket.send("{}")
            texts = [str(await socket.recv())]
            while "RUN_FINISHED" not in texts[-1] and texts[-1] != "[DONE]":
                texts.append(str(await socket.recv()))
            assert READERS[name](texts).end == "finish"
        await socket.send("no JSON")
        assert "The message is not JSON text" in str(await socket.recv())
