"""The graphs that the server runs: an agent with a tool, one with a subgraph, and one whose tool fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

__all__ = ["GRAPHS", "agent", "broken", "nested"]


class Talker(BaseChatModel):
    """Calls a tool if it has one, and then says three words."""

    tool: str = ""

    @property
    def _llm_type(self) -> str:
        return "talker"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """Take note of the first."""
        return Talker(tool=tools[0].name)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="Rain in Oslo."))])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        if self.tool and not any(isinstance(one, ToolMessage) for one in messages):
            call = {"name": self.tool, "args": '{"city": "Oslo"}', "id": "c1", "index": 0, "type": "tool_call_chunk"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))  # type: ignore[list-item]
            return
        for word in ("Rain", " in", " Oslo."):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def no_weather(city: str) -> str:
    """Raise."""
    raise ConnectionError("no net")


def _talking(name: str, talk: Any) -> Any:
    building: Any = StateGraph(MessagesState)
    building.add_node("talk", talk)
    building.add_edge(START, "talk")
    building.add_edge("talk", END)
    return building.compile(name=name)


def _talk(state: Any) -> Any:
    return {"messages": [Talker().invoke(state["messages"])]}


agent: Any = create_agent(Talker(), tools=[weather])
nested: Any = _talking("nested", _talking("child", _talk))
broken: Any = create_agent(Talker(), tools=[no_weather])

GRAPHS = {"agent": agent, "nested": nested, "broken": broken}
"""By the names that the server knows them by."""
