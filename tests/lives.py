"""What the tests of streams' lives share: a provider that notices how it is treated, runs around it, and a strict watch.

A `Book` counts how many of the provider's generators were begun and how many were left again: a run has been stopped
properly when the two are equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, PrivateAttr
from typing_extensions import TypedDict

span: ContextVar[str] = ContextVar("span", default="")
"""What an instrumented provider sets for as long as it is at work, as OpenTelemetry does with its spans."""

HAS_LANGGRAPH = importlib.util.find_spec("langgraph") is not None


class Book:
    """What a provider has noticed; one per run. Its events of asyncio belong to the loop that first waits for them."""

    def __init__(self) -> None:
        self._begun: list[None] = []  # lists, because appending is atomic: branches run in threads
        self._left: list[None] = []
        self._said: list[None] = []
        self.waits = asyncio.Event()
        """Set when an async generator has come to the word that it will never say."""
        self.all_left = asyncio.Event()
        """Set when as many async generators have been left as were begun."""
        self.blocks = threading.Event()
        """Set when a sync generator has come to its gate."""
        self.gate = threading.Event()
        """What a sync generator that blocks waits for."""

    def begin(self) -> None:
        self._begun.append(None)

    def say(self) -> None:
        self._said.append(None)

    def leave(self) -> None:
        self._left.append(None)

    @property
    def begun(self) -> int:
        """Generators begun."""
        return len(self._begun)

    @property
    def said(self) -> int:
        """Words handed out."""
        return len(self._said)

    @property
    def closed(self) -> bool:
        """Whether the `finally` of every generator that was begun has run."""
        return len(self._begun) == len(self._left)


class ProviderError(Exception):
    """Raised by providers."""


class Provider(BaseChatModel):
    """A streaming chat model; its generators stand for connections, which must be closed.

    Attributes:
        words: What it says, one chunk each.
        waits_at: The word that the async generator never comes to say: it waits for the network for ever.
        blocks_at: The word before which the sync generator blocks its thread until `book.gate` is set.
        fails_at: The word instead of which it raises `ProviderError`.
        instrumented: Whether its generators set a context variable and put it back, which works in one context only.
    """

    words: list[str] = Field(default_factory=lambda: ["red ", "green "])
    waits_at: int | None = None
    blocks_at: int | None = None
    fails_at: int | None = None
    instrumented: bool = False
    _book: Book = PrivateAttr(default_factory=Book)

    @property
    def _llm_type(self) -> str:
        return "provider"

    @property
    def book(self) -> Book:
        return self._book

    def recorded_in(self, book: Book) -> Provider:
        self._book = book
        return self

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(self.words)))])

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        book = self._book
        book.begin()
        token = span.set("provider") if self.instrumented else None
        try:
            for index, word in enumerate(self.words):
                if index == self.blocks_at:
                    book.blocks.set()
                    book.gate.wait()
                if index == self.fails_at:
                    raise ProviderError
                book.say()
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        finally:
            if token is not None:
                span.reset(token)
            book.leave()

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        book = self._book
        book.begin()
        book.all_left.clear()
        token = span.set("provider") if self.instrumented else None
        try:
            for index, word in enumerate(self.words):
                if index == self.waits_at:
                    book.waits.set()
                    await asyncio.Event().wait()
                if index == self.fails_at:
                    raise ProviderError
                book.say()
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        finally:
            if token is not None:
                span.reset(token)
            book.leave()
            if book.closed:
                book.all_left.set()
            await asyncio.sleep(0)  # closing a connection takes a turn of the loop


class Shelf(BaseRetriever):
    """A retriever; its searches are begun and left like the provider's generators."""

    _book: Book = PrivateAttr(default_factory=Book)

    def recorded_in(self, book: Book) -> Shelf:
        self._book = book
        return self

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(page_content=query)]

    async def _aget_relevant_documents(self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun) -> list[Document]:
        self._book.begin()
        try:
            await asyncio.sleep(0)
            return [Document(page_content=query)]
        finally:
            self._book.leave()


# -- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A runnable with its input, and the book of the provider inside."""

    runnable: Any
    value: Any
    book: Book


def chain(**options: Any) -> Run:
    """A prompt, a model and a parser."""
    model = Provider(**options)
    return Run(ChatPromptTemplate.from_template("{q}") | model | StrOutputParser(), {"q": "tea"}, model.book)


class _Question(BaseModel):
    """What the tool takes; made once, for it takes longer than a run."""

    q: str


def tool(**options: Any) -> Run:
    """A tool that streams a chain inside."""
    model = Provider(**options)
    inner = model | StrOutputParser()

    def think(q: str, config: RunnableConfig) -> str:
        return "".join(inner.stream(q, config))

    async def athink(q: str, config: RunnableConfig) -> str:
        return "".join([piece async for piece in inner.astream(q, config)])

    return Run(
        StructuredTool.from_function(think, athink, description="Think.", args_schema=_Question), {"q": "tea"}, model.book
    )


def retriever(**options: Any) -> Run:
    """A retriever whose documents go to a model."""
    model = Provider(**options)
    shelf = Shelf().recorded_in(model.book)
    return Run(shelf | RunnableLambda(lambda found: found[0].page_content, name="read") | model, "tea", model.book)


def parallel(**options: Any) -> Run:
    """Two branches at once."""
    model = Provider(**options)
    other = Provider(**options).recorded_in(model.book)
    return Run(RunnableParallel(one=model | StrOutputParser(), two=other), "tea", model.book)


class _State(TypedDict):
    q: str


def graph(**options: Any) -> Run:
    """A graph: a sync node, and a subgraph with a node that is sync or async as the caller is."""
    from langgraph.graph import END, START, StateGraph

    model = Provider(**options)

    def shout(state: _State) -> _State:
        return {"q": state["q"] + "!"}

    def answer(state: _State, config: RunnableConfig) -> _State:
        return {"q": str(model.invoke(state["q"], config).content)}

    async def aanswer(state: _State, config: RunnableConfig) -> _State:
        return {"q": str((await model.ainvoke(state["q"], config)).content)}

    inner = StateGraph(_State)
    inner.add_node("answer", RunnableLambda(answer, aanswer, name="answer"))
    inner.add_edge(START, "answer")
    inner.add_edge("answer", END)
    outer = StateGraph(_State)
    outer.add_node("shout", shout)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "shout")
    outer.add_edge("shout", "inner")
    outer.add_edge("inner", END)
    return Run(outer.compile(), {"q": "tea"}, model.book)


RUNS: dict[str, Callable[..., Run]] = {"chain": chain, "tool": tool, "retriever": retriever, "parallel": parallel}
if HAS_LANGGRAPH:
    RUNS["graph"] = graph


# -- the watch --------------------------------------------------------------------------------------------------------


class _Complaints(logging.Handler):
    """Everything that somebody complained about where nobody could catch it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(f"{record.name}: {record.getMessage()}")

    def unraisable(self, found: Any) -> None:
        self.heard.append(f"unraisable: {found.exc_value!r} in {found.object!r}")

    def in_thread(self, found: Any) -> None:
        self.heard.append(f"in thread {found.thread}: {found.exc_value!r}")

    def in_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.heard.append(f"in loop: {context}")


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Assert that nobody complains: no warning, no log record, no error in a finalizer, thread or callback of the loop."""
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in ("asyncio", "callbridge", "langchain_core")]
    hooks = sys.unraisablehook, threading.excepthook
    try:
        loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    for logger in loggers:
        logger.addHandler(complaints)
    sys.unraisablehook, threading.excepthook = complaints.unraisable, complaints.in_thread
    if loop is not None:
        loop.set_exception_handler(complaints.in_loop)
    try:
        yield  # warnings are errors in the whole suite
        gc.collect()
    finally:
        if loop is not None:
            assert loop.get_exception_handler() == complaints.in_loop
            loop.set_exception_handler(None)
        sys.unraisablehook, threading.excepthook = hooks
        for logger in loggers:
            logger.removeHandler(complaints)
    assert not complaints.heard, "\n".join(complaints.heard)


def our_threads() -> list[str]:
    """Return the threads of callbridge that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("callbridge")]
