"""Runs that go on beside each other are reported in the order in which LangChain's own stream reports them.

Where its order is the same each time, that is: where branches wait for tasks of the loop, and not for threads or timers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from operator import add
from typing import Annotated, Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnablePassthrough
from typing_extensions import TypedDict

import callbridge as cb
from lives import HAS_LANGGRAPH

pytestmark = pytest.mark.anyio


class Speaker(BaseChatModel):
    """Says its words, and lets the loop go on before each."""

    words: str

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=self.words))])

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in self.words.split():
            await asyncio.sleep(0)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


class Library(BaseRetriever):
    """Finds one document, and lets the loop go on before."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(page_content=query)]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        await asyncio.sleep(0)
        return [Document(page_content=query)]


async def text(documents: list[Document]) -> str:
    return documents[0].page_content


async def two_at_once(question: str, config: RunnableConfig) -> str:
    models = Speaker(words="a b c"), Speaker(words="one two three four")
    return " ".join(str(answer.content) for answer in await asyncio.gather(*(m.ainvoke(question, config) for m in models)))


async def echo(question: str) -> str:
    return question


def retrieval() -> Runnable[Any, Any]:
    inputs: Any = {"context": Library() | RunnableLambda(text), "question": RunnablePassthrough()}
    prompt = PromptTemplate.from_template("{context} {question}")
    return inputs | prompt | Speaker(words="with hot water") | StrOutputParser()


def branches() -> Runnable[Any, Any]:
    inputs: Any = {"context": Library(), "question": RunnablePassthrough()}
    return inputs | RunnableLambda(lambda both: both["question"], afunc=lambda both: echo(both["question"]))


class State(TypedDict):
    said: Annotated[list[str], add]


def graph() -> Runnable[Any, Any]:
    """Return a graph of two nodes that go on beside each other; each asks a model."""
    from langgraph.graph import END, START, StateGraph

    def node(words: str) -> Any:
        async def ask(state: Any, config: RunnableConfig) -> Any:
            answer = await Speaker(words=words).ainvoke("tea?", config)
            return {"said": [str(answer.content)]}

        return ask

    building: Any = StateGraph(State)
    building.add_node("left", node("a b c"))
    building.add_node("right", node("one two"))
    for name in ("left", "right"):
        building.add_edge(START, name)
        building.add_edge(name, END)
    made: Runnable[Any, Any] = building.compile()
    return made


MADE: list[Any] = [
    pytest.param(retrieval, "tea", id="retrieval"),
    pytest.param(branches, "tea", id="branches"),
    pytest.param(lambda: RunnableLambda(two_at_once), "tea", id="gather"),
]
if HAS_LANGGRAPH:
    MADE.append(pytest.param(graph, {"said": []}, id="graph"))


async def outline(events: AsyncIterator[Any]) -> list[tuple[str, str, str]]:
    return [(event["event"], event["name"], str(getattr(event["data"].get("chunk"), "content", ""))) async for event in events]


@pytest.mark.parametrize(("make", "value"), MADE)
async def test_the_order_is_that_of_langchain(make: Callable[[], Runnable[Any, Any]], value: Any) -> None:
    theirs = [await outline(make().astream_events(value, version="v2")) for _ in range(3)]
    assert theirs[0] == theirs[1] == theirs[2]
    assert await outline(cb.astream_events(make(), value)) == theirs[0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in CPython 3.12")
@pytest.mark.parametrize(("make", "value"), MADE)
async def test_eager_tasks_change_the_order_alone(make: Callable[[], Runnable[Any, Any]], value: Any) -> None:
    """Of branches (D18): the events are the same."""
    asyncio.get_running_loop().set_task_factory(vars(asyncio)["eager_task_factory"])
    theirs = await outline(make().astream_events(value, version="v2"))
    ours = await outline(cb.astream_events(make(), value))
    assert sorted(ours) == sorted(theirs)
