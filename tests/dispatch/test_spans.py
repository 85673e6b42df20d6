"""A tracer of OpenTelemetry records the same spans, fed from events or attached: same names, same parents, same traces.

The tracer does what those of vendors do: a run's span is below that of the run above it, a root's below the span that is
current where it starts, and each span is current in its context from its start to its end.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

import callbridge as cb

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Work = Callable[[list[Any]], Any]
"""Does something with handlers attached to its config; what it returns is to be awaited."""


class Tracer(BaseCallbackHandler):
    """One span for each run."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("runs")
        self.spans: dict[Any, Any] = {}
        self.tokens: dict[Any, Any] = {}
        self.strangers: list[str] = []

    def start(
        self, serialized: Any, *_: Any, run_id: Any, parent_run_id: Any = None, name: str | None = None, **__: Any
    ) -> Any:
        above = self.spans.get(parent_run_id)
        context = trace.set_span_in_context(above) if above is not None else None
        span = self.tracer.start_span(name or serialized["name"], context)
        self.spans[run_id] = span
        self.tokens[run_id] = otel.attach(trace.set_span_in_context(span))

    def end(self, *_: Any, run_id: Any, **__: Any) -> Any:
        if self.spans[run_id] is not trace.get_current_span():
            self.strangers.append(f"{self.spans[run_id].name} ends in {trace.get_current_span()}")
        otel.detach(self.tokens.pop(run_id))
        self.spans[run_id].end()

    on_chain_start = on_chat_model_start = on_llm_start = on_tool_start = on_retriever_start = start
    on_chain_end = on_llm_end = on_tool_end = on_retriever_end = end
    on_chain_error = on_llm_error = on_tool_error = on_retriever_error = end

    def tree(self) -> Counter[tuple[str, ...]]:
        """Return the path of each span from the root of its trace down, and how often it is there."""
        spans = {span.context.span_id: span for span in self.exporter.get_finished_spans()}

        def path(span: Any) -> tuple[str, ...]:
            above = () if span.parent is None else path(spans[span.parent.span_id])
            return (*above, span.name)

        return Counter(map(path, spans.values()))

    def traces(self) -> int:
        return len({span.context.trace_id for span in self.exporter.get_finished_spans()})


class AsyncTracer(AsyncCallbackHandler, Tracer):
    """The same with coroutine methods."""


def _asynchronous(name: str) -> Any:
    async def method(self: AsyncTracer, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        getattr(Tracer, name)(self, *args, **kwargs)
        await asyncio.sleep(0)

    return method


for _name in [name for name in vars(Tracer) if name.startswith("on_")]:
    setattr(AsyncTracer, _name, _asynchronous(_name))


class ByContext(Tracer):
    """A tracer that goes by the current span alone, as MLflow's does where it can."""

    def start(self, *args: Any, run_id: Any, parent_run_id: Any = None, **kwargs: Any) -> Any:
        super().start(*args, run_id=run_id, parent_run_id=None, **kwargs)

    on_chain_start = on_chat_model_start = on_llm_start = on_tool_start = on_retriever_start = start


def sequence(name: str) -> Any:
    prompt = ChatPromptTemplate.from_template("{q}")
    return (prompt | FakeListChatModel(responses=["hello"]) | StrOutputParser()).with_config(run_name=name)


def branches() -> Any:
    return RunnableParallel(one=sequence("one"), two=sequence("two"), three=RunnableParallel(four=sequence("four")))


def agents() -> Any:
    """An agent whose tool is an agent of its own."""

    @tool
    async def ask_the_other(q: str) -> str:
        """Ask."""
        return str(await other.ainvoke({"q": q}))

    async def decide(value: dict[str, str]) -> str:
        thoughts = [await sequence("thought").ainvoke(value), await sequence("thought").ainvoke(value)]
        found = await asyncio.gather(*(ask_the_other.ainvoke({"q": thought}) for thought in thoughts))
        return await sequence("answer").ainvoke({"q": str(found)})

    other = RunnableLambda(branches().ainvoke, name="inner agent") | RunnableLambda(str)
    return RunnableLambda(decide, name="outer agent")


RUNNABLES = {"a sequence": lambda: sequence("only"), "branches": branches, "nested agents": agents}
each_runnable = pytest.mark.parametrize("make", RUNNABLES.values(), ids=RUNNABLES)
each_tracer = pytest.mark.parametrize("kind", [Tracer, AsyncTracer])


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No span stays the current one of the reader."""
    yield
    assert otel.get_current() == {}


async def attached(work: Any, kind: type[Tracer]) -> Tracer:
    tracer = kind()
    await work([tracer])
    return tracer


def same(fed: Tracer, direct: Tracer) -> None:
    assert fed.tree() == direct.tree()
    assert fed.traces() == direct.traces()
    assert fed.strangers == []


@each_runnable
@each_tracer
def test_live_events_make_the_span_tree_of_direct_attachment(
    make: Any, kind: type[Tracer], caplog: pytest.LogCaptureFixture
) -> None:
    """Sequences, parallel branches, agents in agents: async handlers and sync ones."""

    async def direct(handlers: list[Any]) -> None:
        async for _ in make().astream_events({"q": "hi"}, {"callbacks": handlers}, version="v2"):
            pass

    expected = asyncio.run(attached(direct, kind))
    caplog.clear()
    tracer = kind()
    asyncio.run(cb.adrive(make().astream_events({"q": "hi"}, version="v2"), [tracer]))
    same(tracer, expected)
    assert "detach" not in caplog.text


@each_runnable
def test_recorded_events_make_it_too(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """From sync code, with coroutine methods in a loop of their own and with sync ones in the reader's thread."""

    async def read() -> list[Any]:
        return [event async for event in make().astream_events({"q": "hi"}, version="v2")]

    events = asyncio.run(read())
    tracers = [Tracer(), AsyncTracer(), ByContext()]
    for tracer in tracers:
        cb.drive(events, tracer)
        same(tracer, tracers[0])
    in_thread = ByContext()
    cb.drive(events, in_thread, sync_handlers="thread")
    same(in_thread, tracers[0])
    assert "detach" not in caplog.text


@each_tracer
def test_a_batch_makes_one_trace_for_each_input(kind: type[Tracer], caplog: pytest.LogCaptureFixture) -> None:
    """They overlap, in one dispatcher."""

    async def direct(handlers: list[Any]) -> None:
        await branches().abatch([{"q": "a"}, {"q": "b"}, {"q": "c"}], {"callbacks": handlers})

    expected = asyncio.run(attached(direct, kind))
    caplog.clear()
    tracer = kind()

    async def fed() -> None:
        call = cb.astream_call(branches().abatch, [{"q": "a"}, {"q": "b"}, {"q": "c"}], streaming=False)
        await cb.adrive(call, [tracer])

    asyncio.run(fed())
    assert tracer.traces() == 3
    same(tracer, expected)
    assert "detach" not in caplog.text


@pytest.mark.parametrize("kind", [Tracer, AsyncTracer, ByContext])
def test_requests_that_overlap_keep_to_the_span_of_their_own_request(
    kind: type[Tracer], caplog: pytest.LogCaptureFixture
) -> None:
    """A dispatcher that outlives them, fed from their tasks in turn, each of which has a span of its own."""
    tracer = kind()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(tracer.exporter))

    async def request(dispatcher: cb.CallbackDispatcher, name: str) -> None:
        with provider.get_tracer("requests").start_as_current_span(name) as span:
            async for event in sequence(f"answer to {name}").astream_events({"q": name}, version="v2"):
                await dispatcher.afeed(event)
                await asyncio.sleep(0)
                assert trace.get_current_span() is span

    async def serve() -> None:
        async with cb.CallbackDispatcher(tracer) as dispatcher:
            await asyncio.gather(*(request(dispatcher, name) for name in ("alice", "bob", "carol")))

    asyncio.run(serve())
    assert tracer.traces() == 3
    assert {path[:2] for path in tracer.tree() if len(path) > 1} == {
        (name, f"answer to {name}") for name in ("alice", "bob", "carol")
    }
    assert tracer.strangers == []
    assert "detach" not in caplog.text


def test_the_context_that_is_read_in_is_left_as_it_was() -> None:
    """By sync and async handlers, also when they fail."""

    class Fails(AsyncTracer):
        raise_error = True

        async def on_chain_end(self, *_: Any, **__: Any) -> None:
            raise LookupError

    async def read() -> None:
        before = dict(contextvars.copy_context())
        await cb.adrive(sequence("one").astream_events({"q": "hi"}, version="v2"), [Tracer(), AsyncTracer()])
        with pytest.raises(LookupError):
            await cb.adrive(sequence("one").astream_events({"q": "hi"}, version="v2"), [Tracer(), Fails()])
        assert dict(contextvars.copy_context()) == before

    asyncio.run(read())
