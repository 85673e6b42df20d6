"""Runs whose every word is known, and what a user of any client has to see of them."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import StructuredTool, ToolException
from pydantic import PrivateAttr

from callbridge import AsyncEventStream, astream_call, astream_events
from callbridge.web import Limits

__all__ = ["SCENES", "SECRET", "Call", "Scene", "Script", "call_chunks", "text_chunks"]

SECRET: Final = "swordfish"
"""Stands in inputs, prompts and errors; no client is to see it."""

HAS_AGENTS: Final = bool(
    importlib.util.find_spec("langchain")
    and importlib.util.find_spec("langgraph")
    and importlib.util.find_spec("langchain.agents.middleware")
)
"""Whether there is `create_agent` (langchain 1.0)."""


# -- a model that says what it is told to -----------------------------------------------------------------------------


def text_chunks(*words: str) -> list[Any]:
    """Return the chunks of a text."""
    return [AIMessageChunk(content=word) for word in words]


def call_chunks(*calls: tuple[str, str, Sequence[str]]) -> list[Any]:
    """Return the chunks of tool calls (id, name, pieces of arguments) that come in turns, as parallel calls do."""
    chunks = []
    for index, (call_id, name, _) in enumerate(calls):
        chunks.append(_call_chunk(index, id=call_id, name=name, args=""))
    longest = max(len(pieces) for _, _, pieces in calls)
    for step in range(longest):
        for index, (_, _, pieces) in enumerate(calls):
            if step < len(pieces):
                chunks.append(_call_chunk(index, id=None, name=None, args=pieces[step]))
    return chunks


def _call_chunk(index: int, **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content="", tool_call_chunks=[{"type": "tool_call_chunk", "index": index, **fields}])


def finish(reason: str = "stop", tokens: int = 5) -> AIMessageChunk:
    """Return the chunk with which a provider says why it ends, and what it cost."""
    usage: Any = {"input_tokens": 3, "output_tokens": tokens, "total_tokens": 3 + tokens}
    return AIMessageChunk(content="", response_metadata={"finish_reason": reason}, usage_metadata=usage)


class Script(BaseChatModel):
    """A chat model that says one part after the other: chunks, exceptions to raise, or functions to await."""

    parts: Any = ()
    _turn: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return self.bind(tools=[getattr(tool, "name", "tool") for tool in tools])

    def _next(self) -> Sequence[Any]:
        part: Sequence[Any] = self.parts[min(self._turn, len(self.parts) - 1)]
        self._turn += 1
        return part

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self._next():
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, AIMessageChunk):
                yield ChatGenerationChunk(message=piece.model_copy(deep=True))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for piece in self._next():
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, AIMessageChunk):
                await asyncio.sleep(0)
                yield ChatGenerationChunk(message=piece.model_copy(deep=True))
            else:
                await piece()

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        message = AIMessageChunk(content="")
        for piece in self._next():
            if isinstance(piece, Exception):
                raise piece
            message = message + piece
        whole = AIMessage(**{name: getattr(message, name) for name in ("content", "tool_calls", "response_metadata", "id")})
        return ChatResult(generations=[ChatGeneration(message=whole)])


# -- tools, retrievers ------------------------------------------------------------------------------------------------


def weather(city: str) -> str:
    """Say what the weather is like."""
    if city == "Nowhere":
        raise ToolException(f"no weather for {SECRET}")
    return f"sunny in {city}"


def tools(**options: Any) -> list[StructuredTool]:
    return [StructuredTool.from_function(weather, **options)]


class Shelf(BaseRetriever):
    """Finds the same two documents whatever is asked."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [
            Document("Tea is a leaf.", metadata={"title": "Tea", "source": "tea.md"}, id="d1"),
            Document("Leaves grow.", metadata={"title": "Leaf", "url": "https://example.org/leaf"}, id="d2"),
        ]


# -- scenes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A tool call as a user sees it."""

    name: str
    input: Any
    output: Any = None
    failed: bool = False


@dataclass(frozen=True)
class Scene:
    """A run and what is to be seen of it."""

    make: Callable[[], AsyncEventStream[Any]]
    texts: tuple[str, ...] = ()
    """The text of each model in the order of their beginning."""
    calls: tuple[Call, ...] = ()
    sources: tuple[str, ...] = ()
    reasoning: str = ""
    ends: str = "finished"
    """`"finished"`, `"failed"`, `"limited"` or `"cancelled"`."""
    error: str = "Internal Server Error"
    limits: Limits = field(default_factory=Limits)
    between: str = ""
    """What is between the texts where there is one text for all."""


def events_of(runnable: Any, value: Any = SECRET) -> Callable[[], AsyncEventStream[Any]]:
    return lambda: astream_events(runnable(), value)


def messages(text: str = SECRET) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


def agent(*parts: Sequence[Any], **options: Any) -> Callable[[], Runnable[Any, Any]]:
    def build() -> Runnable[Any, Any]:
        from langchain.agents import create_agent

        return create_agent(Script(parts=list(parts)), tools(**options), system_prompt=SECRET)

    return build


def executor(*parts: Sequence[Any]) -> Any:
    try:
        from langchain_classic.agents import AgentExecutor, create_tool_calling_agent
    except ImportError:  # before langchain 1.0
        from langchain.agents import AgentExecutor, create_tool_calling_agent
    prompt = ChatPromptTemplate.from_messages(
        [("system", SECRET), ("human", "{input}"), MessagesPlaceholder("agent_scratchpad")]
    )
    made = create_tool_calling_agent(Script(parts=list(parts)), tools(), prompt)
    return AgentExecutor(agent=made, tools=tools())


def rag() -> Runnable[Any, Any]:
    prompt = ChatPromptTemplate.from_template(f"{SECRET} {{context}} {{question}}")
    answer = prompt | Script(parts=[text_chunks("A ", "leaf.")])
    return RunnableParallel(context=Shelf(), question=RunnablePassthrough()).assign(answer=answer)


def two_models() -> Runnable[Any, Any]:
    """Two models that speak in turns: one is over long before the other."""
    first = Script(parts=[text_chunks("one ", "two")]).with_config(run_name="first")
    second = Script(parts=[text_chunks("a ", "b ", "c ", "d ", "e ", "f")]).with_config(run_name="second")
    return RunnableParallel(first=first, second=second)


def fallback() -> Runnable[Any, Any]:
    torn = Script(parts=[[*text_chunks("half "), ValueError(SECRET)]])
    return RunnableLambda(_ask(torn)).with_fallbacks([RunnableLambda(_ask(Script(parts=[text_chunks("whole ", "answer")])))])


def retry() -> Runnable[Any, Any]:
    model = Script(parts=[[*text_chunks("half "), ValueError(SECRET)], text_chunks("whole ", "answer")])
    return RunnableLambda(_ask(model)).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)


def _ask(model: Script) -> Any:
    async def ask(value: str, config: RunnableConfig) -> str:  # given on, which contexts do from CPython 3.11 on
        return str((await model.ainvoke(value, config)).content)

    return ask


async def _forever() -> None:
    await asyncio.Event().wait()


async def _cancel() -> None:
    raise asyncio.CancelledError


CITY: Final = call_chunks(("call_1", "weather", ['{"city": ', '"Paris"}']))
CITIES: Final = call_chunks(("call_1", "weather", ['{"city": ', '"Paris"}']), ("call_2", "weather", ['{"city"', ': "Rome"}']))
NOWHERE: Final = call_chunks(("call_1", "weather", ['{"city": "Nowhere"}']))
PARIS: Final = Call("weather", {"city": "Paris"}, "sunny in Paris")
ROME: Final = Call("weather", {"city": "Rome"}, "sunny in Rome")
LOST: Final = Call("weather", {"city": "Nowhere"}, failed=True)
THOUGHT: Final = [
    AIMessageChunk(content=[{"type": "reasoning", "reasoning": "Think ", "index": 0}]),
    AIMessageChunk(content="", additional_kwargs={"reasoning_content": "twice"}),
]

_agents: dict[str, Scene] = {
    "one tool": Scene(
        events_of(agent([*text_chunks("Let me "), *CITY], text_chunks("Sun", "ny.")), messages()),
        ("Let me ", "Sunny."),
        (PARIS,),
    ),
    "two parallel tools": Scene(
        events_of(agent(CITIES, text_chunks("Both sunny.")), messages()), ("Both sunny.",), (PARIS, ROME)
    ),
    "tool error": Scene(
        events_of(agent(NOWHERE, text_chunks("No idea."), handle_tool_error=True), messages()), ("No idea.",), (LOST,)
    ),
    "tool error that ends the run": Scene(events_of(agent(NOWHERE), messages()), (), (LOST,), ends="failed"),
    "executor": Scene(
        lambda: astream_call(executor([*text_chunks("Let me "), *CITY], text_chunks("Sun", "ny.")).ainvoke, {"input": SECRET}),
        ("Let me ", "Sunny."),
        (PARIS,),
    ),
}

SCENES: Final[Mapping[str, Scene]] = MappingProxyType(
    {
        "text": Scene(
            events_of(lambda: Script(parts=[text_chunks("Green ", "tea – ", "ü🍵\n\n", "end")])), ("Green tea – ü🍵\n\nend",)
        ),
        "not streamed": Scene(
            lambda: astream_call(Script(parts=[text_chunks("Green ", "tea")]).invoke, SECRET), ("Green tea",)
        ),
        "reasoning": Scene(
            events_of(lambda: Script(parts=[[*THOUGHT, *text_chunks("So.")]])), ("So.",), reasoning="Think twice"
        ),
        "two models at once": Scene(events_of(two_models), ("one two", "a b c d e f")),
        "fallback": Scene(events_of(fallback), ("half ", "whole answer"), between="\n\n"),
        "retry": Scene(lambda: astream_call(retry().ainvoke, SECRET), ("half ", "whole answer"), between="\n\n"),
        "sources": Scene(events_of(rag), ("A leaf.",), sources=("Tea", "Leaf")),
        "model error": Scene(
            events_of(lambda: Script(parts=[[*text_chunks("Half "), ValueError(SECRET)]])), ("Half ",), ends="failed"
        ),
        "limit of time": Scene(
            events_of(lambda: Script(parts=[[*text_chunks("Half "), _forever]])),
            ("Half ",),
            ends="limited",
            error="Time limit exceeded",
            limits=Limits(max_seconds=0.3),
        ),
        "limit of events": Scene(
            events_of(lambda: Script(parts=[text_chunks("Half ", "way ", "there")])),
            ("Half ",),
            ends="limited",
            error="Event limit exceeded",
            limits=Limits(max_events=2),
        ),
        "cancelled by the server": Scene(
            events_of(lambda: Script(parts=[[*text_chunks("Half "), _cancel]])), ("Half ",), ends="cancelled", error="Cancelled"
        ),
        **(_agents if HAS_AGENTS else {}),
    }
)
