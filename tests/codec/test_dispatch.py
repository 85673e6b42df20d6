"""Events that were JSON drive old handlers: our own, LangServe's, and those of a LangGraph server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel

from callbridge import dispatch_events, dumps, loads
from oracle import Recorder, normalise
from scenarios import WARNINGS, Scenario, as_params, by_name

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

NAMES = (
    "chat_with_prompt_and_parser",
    "chat_without_streaming",
    "custom_between_children",
    "executor_tool_calling",
    "legacy_conversation",
    "llm_streaming_in_chain",
    "parallel_of_two",
    "retriever_in_rag_chain",
    "tool_runs_chain_with_config",
    "agent_with_tool",
    "graph_model_node",
)
UNHEARD = (
    "custom_between_children",
    "executor_tool_calling",
    "legacy_conversation",
    "llm_streaming_in_chain",
    "parallel_of_two",
)
"""Those without a chat model, and those of old, which no server of these sends."""

SCENARIOS_SENT = as_params([by_name(name) for name in NAMES])


def events_of(scenario: Scenario) -> list[Any]:
    """The events of a run, as LangChain makes them."""

    async def collect() -> list[Any]:
        runnable, value = scenario.make()
        return [event async for event in runnable.astream_events(value, scenario.new_config(), version="v2")]

    return asyncio.run(collect())


def calls_of(events: Any) -> Any:
    """What an old handler hears of events."""
    recorder = Recorder()
    for _ in dispatch_events(events, [recorder]):
        pass
    return normalise(recorder.calls)


@pytest.mark.parametrize("scenario", SCENARIOS_SENT)
def test_loaded_events_are_heard_as_live_ones_are(scenario: Scenario) -> None:
    """Same calls, same order, same arguments."""
    live = events_of(scenario)
    assert calls_of([loads(dumps(event)) for event in live]) == calls_of(live)


class Texts(BaseCallbackHandler):
    """An old handler: tokens, prompts, answers and tools."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        assert all(isinstance(message, BaseMessage) for message in messages[0])
        self.heard.append(("asked", [message.content for message in messages[0]]))

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(("token", token, type(kwargs["chunk"].message).__name__))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        message = response.generations[0][0].message
        assert isinstance(message, AIMessage)
        self.heard.append(("answered", message.content, [call["name"] for call in message.tool_calls]))

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.heard.append(("tool", kwargs.get("inputs")))

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.heard.append(("found", [document.page_content for document in documents]))


def plain(value: Any) -> Any:
    """What the JSON encoders of LangServe and LangGraph's server do with an object: its fields, and no mark."""
    return value.model_dump() if isinstance(value, BaseModel) else str(value)


def heard(events: Any) -> list[Any]:
    handler = Texts()
    for _ in dispatch_events(events, [handler]):
        pass
    return handler.heard


@pytest.mark.parametrize("scenario", as_params([by_name(name) for name in NAMES if name not in UNHEARD]))
def test_events_of_langserve_and_of_a_graph_server_are_heard(scenario: Scenario) -> None:
    """The data of a server-sent event of `/stream_events`, and of one in `stream_mode="events"`, which wraps nothing either."""
    live = events_of(scenario)
    sent = "".join(f"event: data\r\ndata: {json.dumps(event, default=plain)}\r\n\r\n" for event in live)
    received = [loads(line.removeprefix("data: ")) for line in sent.splitlines() if line.startswith("data: ")]
    assert heard(received) == heard(live)
    assert heard(received)
