"""Chat models that say what a script says, as chunks of every kind of content; sync and async, silent and not.

`SCRIPTS` are what providers stream: text, usage, tool calls one after the other and interleaved, arguments that are no JSON,
reasoning with signatures, images, calls and results of tools that run at the provider, citations, nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from callbridge import compat

needs_v3 = pytest.mark.skipif(not compat.HAS_V3, reason='langchain-core before 1.4 has no version="v3"')
MIXES = compat.CORE_VERSION < (1, 5, 0)
"""Whether LangChain itself makes one block of a text and a call that follows it."""

quiet_beta = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def call(index: int, args: str, name: str | None = None, call_id: str | None = None) -> AIMessageChunk:
    """Return a part of a tool call."""
    return AIMessageChunk(
        content="",
        tool_call_chunks=[{"type": "tool_call_chunk", "name": name, "args": args, "id": call_id, "index": index}],
    )


def blocks(*content: Any, **fields: Any) -> AIMessageChunk:
    """Return a chunk of content blocks in LangChain's own form."""
    metadata = {"output_version": "v1", **fields.pop("response_metadata", {})}
    return AIMessageChunk(content=list(content), response_metadata=metadata, **fields)


def usage(given: int, taken: int) -> AIMessageChunk:
    """Return the closing chunk of providers that count tokens."""
    counted = {"input_tokens": given, "output_tokens": taken, "total_tokens": given + taken}
    metadata = {"finish_reason": "stop", "model_name": "scripted-1"}
    return AIMessageChunk(content="", usage_metadata=counted, response_metadata=metadata)


def text(*parts: str) -> list[AIMessageChunk]:
    """Return chunks of plain text."""
    return [AIMessageChunk(content=part) for part in parts]


CALLS = [call(0, "", "weather", "c1"), call(0, '{"city"'), call(0, ': "Oslo"}')]

SCRIPTS: Mapping[str, list[AIMessageChunk]] = MappingProxyType(
    {
        "text": text("Let", " me", " see."),
        "usage": [*text("Yes", "."), usage(3, 2)],
        "metadata": [
            AIMessageChunk(content="Hi", response_metadata={"model_provider": "openai", "model_name": "m"}),
            *text("!"),
        ],
        "one tool call": [*text("Let me ", "see."), *CALLS, usage(5, 7)],
        "two tool calls": [*CALLS, call(1, "", "time", "c2"), call(1, '{"zone": 1}')],
        "interleaved tool calls": [
            call(0, "", "weather", "c1"),
            call(1, "", "time", "c2"),
            call(0, '{"city": '),
            call(1, '{"zone"'),
            call(0, '"Oslo"}'),
            call(1, ": 1}"),
        ],
        "a call without arguments": [call(0, "", "now", "c1")],
        "arguments that are no JSON": [call(0, "", "weather", "c1"), call(0, "{city"), call(0, " oslo")],
        "reasoning": [
            blocks({"type": "reasoning", "reasoning": "Hm", "index": 0}),
            blocks({"type": "reasoning", "reasoning": ", yes", "index": 0}),
            blocks({"type": "reasoning", "reasoning": "", "index": 0, "extras": {"signature": "c2ln"}}),
            blocks({"type": "text", "text": "Yes", "index": 1}),
            blocks({"type": "text", "text": ".", "index": 1}),
        ],
        "image": [
            blocks({"type": "text", "text": "Here: ", "index": 0}),
            blocks({"type": "image", "id": "i1", "mime_type": "image/png", "base64": "aGk=", "index": 1}),
        ],
        "server tools": [
            blocks({"type": "server_tool_call_chunk", "id": "s1", "name": "search", "args": "", "index": 0}),
            blocks({"type": "server_tool_call_chunk", "args": '{"query": ', "index": 0}),
            blocks({"type": "server_tool_call_chunk", "args": '"tea"}', "index": 0}),
            blocks({"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": "tea", "index": 1}),
            blocks({"type": "text", "text": "Found.", "index": 2}),
        ],
        "citations": [
            blocks({"type": "text", "text": "Tea", "index": 0}),
            blocks({"type": "text", "text": " is hot", "index": 0}),
            blocks({"type": "text", "text": "", "index": 0, "annotations": [{"type": "citation", "url": "a.example"}]}),
        ],
        "empty": [AIMessageChunk(content="")],
        "words of all kinds": text("", "é", "\n", "\U0001f375", " "),
    }
)


class Scripted(BaseChatModel):
    """Streams a script.

    `reports`: whether the model tells of its tokens itself under version 3, `"before"` it yields them, `"after"`, or not: `""`.
    `fails_after`: after how many chunks it raises.
    """

    script: list[AIMessageChunk] = Field(repr=False)  # LangChain shows a model at each start, which takes its time
    made: list[int]
    closed: list[int]
    reports: str = ""
    fails_after: int = -1
    pause: float = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        whole = self.script[0]
        for chunk in self.script[1:]:
            whole = whole + chunk  # type: ignore[assignment]
        message = AIMessage(content=whole.content, tool_calls=whole.tool_calls, usage_metadata=whole.usage_metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> Iterator[Any]:
        try:
            for made in self._chunks():
                if self.reports == "before" and run_manager:
                    run_manager.on_llm_new_token(_token(made), chunk=made)
                yield made
                if self.reports == "after" and run_manager:
                    run_manager.on_llm_new_token(_token(made), chunk=made)
        finally:
            self.closed.append(len(self.made))

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[Any]:
        try:
            for made in self._chunks():
                if self.pause:
                    await asyncio.sleep(self.pause)
                if self.reports == "before" and run_manager:
                    await run_manager.on_llm_new_token(_token(made), chunk=made)
                yield made
                if self.reports == "after" and run_manager:
                    await run_manager.on_llm_new_token(_token(made), chunk=made)
        finally:
            self.closed.append(len(self.made))

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        for count, chunk in enumerate(self.script):
            if count == self.fails_after:
                raise ConnectionError("the provider has gone")
            self.made.append(count)
            yield ChatGenerationChunk(message=chunk.model_copy(deep=True))


class Turns(Scripted):
    """Streams one script after the other, a call each: for agents."""

    turns: list[list[AIMessageChunk]] = Field(repr=False)

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """Take any tools; the script knows which it calls."""
        return self

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        turn = self.turns[len(self.closed) % len(self.turns)]
        for count, chunk in enumerate(turn):
            self.made.append(count)
            yield ChatGenerationChunk(message=chunk.model_copy(deep=True))


def _token(chunk: ChatGenerationChunk) -> str:
    return str(chunk.text)


def model(script: str | list[AIMessageChunk] = "text", **fields: Any) -> Scripted:
    """Return a model for one script, with lists of its own."""
    chunks = SCRIPTS[script] if isinstance(script, str) else script
    return Scripted(script=chunks, made=[], closed=[], **fields)


def turns(*scripts: str | list[AIMessageChunk], **fields: Any) -> Turns:
    """Return a model that says one script in each call."""
    chunks = [SCRIPTS[one] if isinstance(one, str) else one for one in scripts]
    return Turns(script=chunks[0], turns=chunks, made=[], closed=[], **fields)


def read_v3(one: BaseChatModel) -> list[Any]:
    """Return the message events of a model under version 3."""
    return list(one.stream_events("hi", version="v3"))


async def answer_v3(one: BaseChatModel) -> AIMessage:
    """Return the answer of a model under version 3."""
    stream: Any = await one.astream_events("hi", version="v3")  # type: ignore[misc]
    answer: AIMessage = await stream
    return answer
