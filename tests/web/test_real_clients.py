"""What users of the AI SDK, of AG-UI and of OpenAI's SDKs see of a run is what the run said: real clients, real uvicorn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from callbridge.web import AISDKFormat, EventStreamResponse, OpenAIFormat, WireFormat
from callbridge.web.ag_ui import AGUIFormat
from web.node_clients import Clients
from web.scenes import SCENES, SECRET, Scene
from web.serving import Site, serving, sse_site

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
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
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
        except openai.APIError as error:
            seen["error"] = str(error)
    return {**seen, "whole": seen["error"] is None and seen["reason"] == "stop"}
