"""The runs that handlers are attached to, made anew for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import adispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool

__all__ = ["RUNS", "Run"]


@dataclass(frozen=True)
class Run:
    """One run."""

    make: Callable[[str], tuple[Any, Any]]
    """Makes the runnable and its input, given the provider's URL."""

    config: dict[str, Any] = field(default_factory=dict)
    is_parallel: bool = False
    """Branches go on side by side, in no certain order."""


def _model(url: str, name: str = "gpt-4o-mini", **options: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        model=name, base_url=url, api_key="none", temperature=0.2, max_tokens=64, stream_usage=True, max_retries=0, **options
    )


class _Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(page_content=f"about {query}", metadata={"page": 1})]


class _Blocks(GenericFakeChatModel):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        for text in ("sun", "ny"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=[{"type": "text", "text": text, "index": 0}]))


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@tool
def broken(city: str) -> str:
    """Fail."""
    raise ValueError(f"no weather in {city}")


_PROMPT = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{q}")])


def _rag(url: str) -> Any:
    found = {"context": _Shelf() | RunnableLambda(lambda found: found[0].page_content), "q": RunnablePassthrough()}
    return RunnableParallel(found) | ChatPromptTemplate.from_template("{context}: {q}") | _model(url) | StrOutputParser()


def _agent(url: str, *tools: Any) -> Any:
    from langchain.agents import create_agent

    return create_agent(_model(url), list(tools))


def _executor(*answers: str) -> Any:
    from langchain_classic.agents import AgentExecutor, create_react_agent

    prompt = PromptTemplate.from_template("{tools} {tool_names}\n{input}\n{agent_scratchpad}")
    agent = create_react_agent(FakeListLLM(responses=list(answers)), [weather], prompt)
    return AgentExecutor(agent=agent, tools=[weather], stream_runnable=False)


def _graph(url: str, *, interrupts: bool = False) -> Any:
    from typing import TypedDict

    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    class State(TypedDict):
        q: str

    async def ask(state: State) -> State:
        answer = await (_PROMPT | _model(url)).ainvoke(state)
        return {"q": interrupt("sure?") if interrupts else str(answer.content)}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", lambda state: END)
    inner = graph.compile(checkpointer=InMemorySaver() if interrupts else None)
    if interrupts:
        return inner
    outer = StateGraph(State)
    outer.add_node("sub", inner)
    outer.add_edge(START, "sub")
    return outer.compile()


async def _tell(value: Any) -> Any:
    await adispatch_custom_event("progress", {"done": 1})
    return value


def _upper(chunks: Any) -> Any:
    for chunk in chunks:
        yield chunk.upper()


async def _aupper(chunks: Any) -> Any:
    async for chunk in chunks:
        yield chunk.upper()


_Q = {"q": "Is it sunny?"}

RUNS: dict[str, Run] = {
    "chat model": Run(lambda url: (_model(url), "Is it sunny?")),
    "sequence": Run(
        lambda url: (_PROMPT | _model(url) | StrOutputParser(), _Q),
        {"tags": ["mine"], "metadata": {"user": "u"}, "run_name": "answer"},
    ),
    "rag": Run(lambda url: (_rag(url), "sun"), is_parallel=True),
    "string model": Run(lambda _: (PromptTemplate.from_template("{q}") | FakeListLLM(responses=["sunny"]), _Q)),
    "agent": Run(lambda url: (_agent(url, weather), {"messages": [("human", "Oslo?")]})),
    "tool error": Run(lambda url: (_agent(url, broken), {"messages": [("human", "Oslo?")]})),
    "react executor": Run(
        lambda _: (_executor("Thought: look\nAction: weather\nAction Input: Oslo", "Final Answer: sunny"), {"input": "Oslo?"})
    ),
    "graph": Run(lambda url: (_graph(url), _Q)),
    "interrupt": Run(lambda url: (_graph(url, interrupts=True), _Q), {"configurable": {"thread_id": "1"}}),
    "model error": Run(lambda url: (_PROMPT | _model(url, "broken") | StrOutputParser(), _Q)),
    "cut off": Run(lambda url: (_PROMPT | _model(url, "cut") | StrOutputParser(), _Q)),
    "fallback": Run(lambda url: (_PROMPT | _model(url, "broken").with_fallbacks([_model(url)]) | StrOutputParser(), _Q)),
    "retry": Run(
        lambda url: (_PROMPT | _model(url, "broken").with_retry(stop_after_attempt=2, wait_exponential_jitter=False), _Q)
    ),
    "parallel": Run(lambda url: (RunnableParallel(one=_PROMPT | _model(url), two=_PROMPT | _model(url)), _Q), is_parallel=True),
    "custom event": Run(lambda _: (RunnableLambda(_tell) | RunnableLambda(str), 1)),
    "generator": Run(lambda _: (FakeListLLM(responses=["sunny"]) | RunnableGenerator(_upper, _aupper), "q")),
    "tool": Run(lambda _: (weather, {"city": "Oslo"})),
    "retriever": Run(lambda _: (_Shelf(), "sun")),
    "content blocks": Run(lambda _: (_Blocks(messages=iter([AIMessage("unused")])), "q")),
    "no usage": Run(
        lambda _: (_PROMPT | GenericFakeChatModel(messages=iter([AIMessage("It is sunny.")])) | itemgetter_content(), _Q)
    ),
}


def itemgetter_content() -> Any:
    """The text of a message, by a plain function."""
    return RunnableLambda(lambda message: message.content)
