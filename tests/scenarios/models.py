"""Models, retrievers and small parts of the scenarios: LangChain's fakes where they exist, small subclasses elsewhere."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Optional

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForLLMRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.language_models.llms import LLM, BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, GenerationChunk, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field


class Flaw(Exception):  # noqa: N818 (its name is in every second scenario)
    """The error that the scenarios raise on purpose."""


def chat(*texts: str, **options: Any) -> GenericFakeChatModel:
    """A chat model that answers with these texts in turn, for ever, word by word."""
    return GenericFakeChatModel(messages=itertools.cycle([AIMessage(content=text) for text in texts]), **options)


def text_chunks(*texts: str) -> list[AIMessageChunk]:
    """Message chunks with these contents."""
    return [AIMessageChunk(content=text) for text in texts]


def tool_call_chunks(name: str, *arguments: str, call_id: str = "call_1") -> list[AIMessageChunk]:
    """A tool call as a provider streams it: name and id first, then the arguments in pieces."""
    first = {"name": name, "args": "", "id": call_id, "index": 0, "type": "tool_call_chunk"}
    pieces = [{"name": None, "args": piece, "id": None, "index": 0, "type": "tool_call_chunk"} for piece in arguments]
    return [AIMessageChunk(content="", tool_call_chunks=[piece]) for piece in (first, *pieces)]


class ScriptedChatModel(BaseChatModel):
    """A streaming chat model that plays scripts of chunks in turn, for ever.

    Scripts hold any chunk: list content, tool call pieces, usage. `fail_at` raises `Flaw` before that chunk.
    """

    scripts: list[list[AIMessageChunk]] = Field(repr=False)  # LangChain shows a model at each start, which takes its time
    turn: int = 0
    fail_at: Optional[int] = None  # noqa: UP045 (pydantic reads it on 3.10 in this module's namespace)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _script(self) -> Iterator[AIMessageChunk]:
        script = self.scripts[self.turn % len(self.scripts)]
        self.turn += 1
        for index, chunk in enumerate(script):
            if index == self.fail_at:
                raise Flaw(f"the model broke at chunk {index}")
            # LangChain gives ids to the chunks it is handed: hand out copies.
            yield chunk.model_copy(deep=True)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        first, *others = self._script()
        for other in others:
            first += other
        message = AIMessage(
            content=first.content, tool_calls=first.tool_calls, usage_metadata=first.usage_metadata, id=first.id
        )
        return ChatResult(generations=[ChatGeneration(message=message)], llm_output={"model_name": "scripted"})

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._script():
            yield ChatGenerationChunk(message=chunk, generation_info={"at": "work"})

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._script():
            yield ChatGenerationChunk(message=chunk, generation_info={"at": "work"})

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)


class SelfReportingChatModel(BaseChatModel):
    """A chat model of the old kind: no `_stream`; it reports its tokens out of `_generate`."""

    tokens: list[str]
    with_chunks: bool = False

    @property
    def _llm_type(self) -> str:
        return "self-reporting-chat"

    def _chunk(self, token: str) -> dict[str, Any]:
        return {"chunk": ChatGenerationChunk(message=AIMessageChunk(content=token))} if self.with_chunks else {}

    def _result(self) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(self.tokens)))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        for token in self.tokens if run_manager else ():
            run_manager.on_llm_new_token(token, **self._chunk(token))
        return self._result()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        for token in self.tokens if run_manager else ():
            await run_manager.on_llm_new_token(token, **self._chunk(token))
        return self._result()


class SelfReportingLLM(LLM):
    """A string LLM that reports its tokens itself, without chunks, as user-written LLMs do."""

    tokens: list[str]

    @property
    def _llm_type(self) -> str:
        return "self-reporting"

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        for token in self.tokens if run_manager else ():
            run_manager.on_llm_new_token(token)
        return "".join(self.tokens)

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        for token in self.tokens if run_manager else ():
            await run_manager.on_llm_new_token(token)
        return "".join(self.tokens)


class StreamingLLM(BaseLLM):
    """A string LLM with `_stream` and `_astream`; `fail_at` raises `Flaw` before that chunk.

    It reports its tokens, as every provider of that kind has to (LangChain does it for chat models only); not if `silent`.
    """

    tokens: list[str]
    fail_at: Optional[int] = None  # noqa: UP045 (as above)
    info: bool = False
    silent: bool = False

    @property
    def _llm_type(self) -> str:
        return "streaming"

    def _chunks(self) -> Iterator[GenerationChunk]:
        for index, token in enumerate(self.tokens):
            if index == self.fail_at:
                raise Flaw(f"the model broke at token {index}")
            last = self.info and index == len(self.tokens) - 1
            yield GenerationChunk(text=token, generation_info={"finish_reason": "stop"} if last else None)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        texts = ["".join(chunk.text for chunk in self._chunks()) for _ in prompts]
        info = {"finish_reason": "stop"} if self.info else None
        return LLMResult(
            generations=[[Generation(text=text, generation_info=info)] for text in texts], llm_output={"tokens": len(texts)}
        )

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        for chunk in self._chunks():
            if run_manager and not self.silent:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        for chunk in self._chunks():
            if run_manager and not self.silent:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class ListRetriever(BaseRetriever):
    """Returns its documents; `broken` raises `Flaw` instead."""

    texts: list[str] = Field(default=["tea is brewed", "water boils"])
    broken: bool = False

    def _documents(self, query: str) -> list[Document]:
        if self.broken:
            raise Flaw(f"no index for {query}")
        return [Document(page_content=text, metadata={"rank": rank}) for rank, text in enumerate(self.texts)]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self._documents(query)


class AsyncListRetriever(ListRetriever):
    """The same with a native async method."""

    async def _aget_relevant_documents(self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun) -> list[Document]:
        return self._documents(query)


class quiet(warnings.catch_warnings):  # noqa: N801 (reads like contextlib's own)
    """Silence a named third-party deprecation, or one category of them, while a scenario is built."""

    def __init__(self, message: str = "", category: type[Warning] = Warning) -> None:
        super().__init__()
        self._what: tuple[str, type[Warning]] = (message, category)

    def __enter__(self) -> None:  # type: ignore[override]
        super().__enter__()
        warnings.filterwarnings("ignore", *self._what)
