"""The rows of the matrix: kinds of run, each with the call that makes it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool

import callbridge as cb
import lives
from callbridge.compat import CORE_VERSION, HAS_V3
from lives import Book, Provider, ProviderError, Run


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        name: As in the table.
        make: Makes a run of it; takes the options of `Provider`.
        open: Opens a stream of it; takes the run and the stream's options.
        instrumented: Whether LangChain itself begins and ends the provider's generator in one context.
    """

    name: str
    make: Callable[..., Run]
    open: Callable[..., Any]
    instrumented: bool = True

    def start(self, *, fails: bool, **options: Any) -> tuple[Run, Any]:
        """Make a run and open a stream of it, which is not started yet."""
        run = self.make(words=["word "] * 8, fails_at=2 if fails else None, instrumented=self.instrumented)
        return run, self.open(run, **options)


def model(**options: Any) -> Run:
    """A chat model alone."""
    provider = Provider(**options)
    return Run(provider, "tea", provider.book)


def tool(words: list[str], fails_at: int | None, instrumented: bool) -> Run:
    """A tool that reports its progress by custom events and uses no model."""
    book = Book()

    @contextlib.contextmanager
    def connection() -> Iterator[None]:
        book.begin()
        token = lives.span.set("tool")
        try:
            yield
        finally:
            lives.span.reset(token)
            book.leave()

    def check(index: int) -> None:
        if index == fails_at:
            raise ProviderError

    def search(q: str, config: RunnableConfig) -> str:
        with connection():
            for index, word in enumerate(words):
                check(index)
                dispatch_custom_event("progress", word, config=config)
        return q

    async def asearch(q: str, config: RunnableConfig) -> str:
        with connection():
            for index, word in enumerate(words):
                check(index)
                await asyncio.sleep(0)
                await adispatch_custom_event("progress", word, config=config)
        return q

    return Run(StructuredTool.from_function(search, coroutine=asearch, description="Search."), {"q": "tea"}, book)


def stage(place: str) -> Callable[..., Run]:
    """Return what makes a chain that blocks its thread for a moment before, in, or behind its model."""

    def make(**options: Any) -> Run:
        provider = Provider(**options)

        def block(value: Any) -> Any:
            time.sleep(0)  # lets go of the interpreter's lock, as blocking code does
            return value

        blocking = RunnableLambda(block, name=place)
        steps = {
            "the prompt": blocking | provider | StrOutputParser(),
            "the model": RunnableLambda(lambda q: provider.invoke(q)) | StrOutputParser(),
            "the parser": provider | blocking | StrOutputParser(),
        }
        return Run(steps[place], "tea", provider.book)

    return make


def looping_tool(**options: Any) -> Run:
    """A sync tool that runs a loop of its own for a chain."""
    provider = Provider(**options)
    inner = provider | StrOutputParser()

    def think(q: str) -> str:
        return asyncio.run(inner.ainvoke(q))

    return Run(StructuredTool.from_function(think, description="Think."), {"q": "tea"}, provider.book)


def on_own_loop(run: Run) -> Any:
    """Call async code from sync code, as scripts, Django's sync views and Celery's tasks do."""
    return asyncio.run(run.runnable.ainvoke(run.value))


def on_another_loop(run: Run) -> Any:
    """The same by a loop that another thread runs, as for clients that keep connections."""
    return asyncio.run_coroutine_threadsafe(run.runnable.ainvoke(run.value), _another_loop()).result()


@cache
def _another_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="the application's loop", daemon=True).start()
    return loop


async def in_pool(run: Run) -> Any:
    """Run sync code as web frameworks do: in a thread of a pool, with the caller's context."""
    return await asyncio.to_thread(run.runnable.invoke, run.value)


def by_events(run: Run, **options: Any) -> Any:
    return cb.astream_events(run.runnable, run.value, **options)


def by_call(run: Run, **options: Any) -> Any:
    return cb.astream_call(run.runnable.ainvoke, run.value, **options)


def by_sync_call(run: Run, **options: Any) -> Any:
    return cb.astream_call(run.runnable.invoke, run.value, **options)


async def answer(run: Run) -> Any:
    """Read a model under version 3."""
    return await (await run.runnable.astream_events(run.value, version="v3"))


async def state(run: Run) -> Any:
    """Read a graph under version 3."""
    return await (await run.runnable.astream_events(run.value, version="v3")).output()


def output(run: Run) -> Any:
    """Read either under version 3, from sync code."""
    return run.runnable.stream_events(run.value, version="v3").output


def by_v3(run: Run, **options: Any) -> Any:
    return cb.astream_call(answer, run, **options)


def by_v3_graph(run: Run, **options: Any) -> Any:
    return cb.astream_call(state, run, **options)


def by_sync_v3(run: Run, **options: Any) -> Any:
    return cb.stream_call(output, run, **options)


def by_own_loop(run: Run, **options: Any) -> Any:
    return cb.astream_call(on_own_loop, run, **options)


def by_another_loop(run: Run, **options: Any) -> Any:
    return cb.astream_call(on_another_loop, run, **options)


def by_pool(run: Run, **options: Any) -> Any:
    return cb.astream_call(in_pool, run, **options)


KINDS = [
    Kind("async chat model", model, by_events),
    Kind("async chain", lives.chain, by_call),
    Kind("sync model in a pool's thread", lives.chain, by_pool),
    Kind("sync invoke that blocks in the prompt", stage("the prompt"), by_sync_call),
    Kind("sync invoke that blocks in the model", stage("the model"), by_sync_call),
    Kind("sync invoke that blocks in the parser", stage("the parser"), by_sync_call),
    Kind("sync code that runs a loop of its own", lives.chain, by_own_loop),
    Kind("sync code that uses another thread's loop", lives.chain, by_another_loop),
    Kind("sync tool that runs a loop of its own", looping_tool, by_call),
    Kind("tool", tool, by_call),
    # Each step of a branch or of a sequence that is streamed is a task or a call in a pool of its own.
    Kind("retriever", lives.retriever, by_events, instrumented=False),
    Kind("parallel", lives.parallel, by_events, instrumented=False),
    Kind("stream inside a tool", lives.tool, by_call, instrumented=False),
]


def by_stream_events(run: Run, **options: Any) -> Any:
    return cb.stream_events(run.runnable, run.value, **options)


def by_stream_call(run: Run, **options: Any) -> Any:
    return cb.stream_call(run.runnable.invoke, run.value, **options)


def by_stream_call_of_coroutine(run: Run, **options: Any) -> Any:
    return cb.stream_call(run.runnable.ainvoke, run.value, **options)


def by_stream_call_of_own_loop(run: Run, **options: Any) -> Any:
    return cb.stream_call(on_own_loop, run, **options)


def by_stream_call_of_another_loop(run: Run, **options: Any) -> Any:
    return cb.stream_call(on_another_loop, run, **options)


SYNC_KINDS = [
    Kind("chat model", model, by_stream_events),
    Kind("chain", lives.chain, by_stream_call),
    Kind("async chain on the shared loop", lives.chain, by_stream_call_of_coroutine),
    Kind("sync invoke that blocks in the prompt", stage("the prompt"), by_stream_call),
    Kind("sync invoke that blocks in the model", stage("the model"), by_stream_call),
    Kind("sync invoke that blocks in the parser", stage("the parser"), by_stream_call),
    Kind("sync code that runs a loop of its own", lives.chain, by_stream_call_of_own_loop),
    Kind("sync code that uses another thread's loop", lives.chain, by_stream_call_of_another_loop),
    Kind("sync tool that runs a loop of its own", looping_tool, by_stream_call),
    Kind("tool", tool, by_stream_call),
    Kind("retriever", lives.retriever, by_stream_events, instrumented=False),
    Kind("parallel", lives.parallel, by_stream_events, instrumented=False),
    Kind("stream inside a tool", lives.tool, by_stream_call, instrumented=False),
]

if CORE_VERSION < (0, 3, 15):
    # Custom events know no parent inside a tool there.
    KINDS = [kind for kind in KINDS if kind.make is not tool]
    SYNC_KINDS = [kind for kind in SYNC_KINDS if kind.make is not tool]

if lives.HAS_LANGGRAPH:
    KINDS.insert(-1, Kind("graph with a subgraph", lives.graph, by_events))
    SYNC_KINDS.insert(-1, Kind("graph with a subgraph", lives.graph, by_stream_events))

if HAS_V3:
    KINDS.append(Kind("chat model under version 3", model, by_v3))
    SYNC_KINDS.append(Kind("chat model under version 3", model, by_sync_v3))

if HAS_V3 and lives.HAS_LANGGRAPH:
    KINDS.append(Kind("graph under version 3", lives.graph, by_v3_graph))
    SYNC_KINDS.append(Kind("graph under version 3", lives.graph, by_sync_v3))
