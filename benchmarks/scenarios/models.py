"""Fake models that never wait, and chains and agents around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import tool

__all__ = ["LegacyModel", "Silent", "Talker", "agent", "chain", "graph"]

TOKEN = "tok "


def _chunks(tokens: int) -> Iterator[ChatGenerationChunk]:
    for _ in range(tokens):
        yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))


def _answer(text: str) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])


class Talker(BaseChatModel):
    """Streams a number of tokens; with a tool bound, it calls the tool first."""

    tokens: int
    waits: bool = False
    """Whether it yields to the loop before each token, like a model that waits for its provider."""
    calls_tool: bool = False

    @property
    def _llm_type(self) -> str:
        return "talker"

    def bind_tools(self, tools: Any, **_: Any) -> Runnable[Any, Any]:
        """Take note of the tools."""
        return Talker(tokens=self.tokens, calls_tool=True)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return _answer(TOKEN * self.tokens)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        if self.calls_tool and not any(isinstance(message, ToolMessage) for message in messages):
            call = {"name": "look_up", "args": '{"what": "tea"}', "id": "call-1", "index": 0, "type": "tool_call_chunk"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))
        else:
            yield from _chunks(self.tokens)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            if self.waits:
                await asyncio.sleep(0)
            yield chunk


class Silent(Talker):
    """Waits for ever after its first token, like a model whose provider has stalled."""

    tokens: int = 1

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk
        await asyncio.get_running_loop().create_future()


class LegacyModel(BaseChatModel):
    """Reports its tokens to callbacks while it generates, as models did before streaming existed."""

    tokens: int

    @property
    def _llm_type(self) -> str:
        return "legacy"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        for chunk in _chunks(self.tokens):
            run_manager.on_llm_new_token(TOKEN, chunk=chunk)
        return _answer(TOKEN * self.tokens)


@cache
def chain(tokens: int, waits: bool = False) -> Runnable[Any, Any]:
    """Return prompt, model and parser."""
    return PromptTemplate.from_template("How do I make {drink}?") | Talker(tokens=tokens, waits=waits) | StrOutputParser()


@cache
def agent(tokens: int) -> Runnable[Any, Any]:
    """Return an agent that calls a tool once and then talks."""
    from langchain.agents import create_agent  # noqa: PLC0415 - a peer may be missing

    @tool
    def look_up(what: str) -> str:
        """Look something up."""
        return f"{what}: hot water"

    made: Runnable[Any, Any] = create_agent(Talker(tokens=tokens), tools=[look_up])
    return made


@cache
def graph(tokens: int) -> Runnable[Any, Any]:
    """Return a LangGraph graph with one node, which calls a model."""
    from langgraph.graph import END, START, MessagesState, StateGraph  # noqa: PLC0415 - a peer may be missing

    model = Talker(tokens=tokens)

    async def talk(state: Any, config: RunnableConfig) -> Any:
        answer = [chunk async for chunk in model.astream(state["messages"], config)]
        return {"messages": [AIMessage(content="".join(str(chunk.content) for chunk in answer))]}

    building: Any = StateGraph(MessagesState)
    building.add_node("talk", talk)
    building.add_edge(START, "talk")
    building.add_edge("talk", END)
    made: Runnable[Any, Any] = building.compile()
    return made
