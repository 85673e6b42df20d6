"""Terminal truth: in the extended vocabulary every start has exactly one terminal event, children before parents.

However a run ends: well, failed, cancelled, interrupted, rescued, retried, out of sight, or without a word of LangChain's.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from calllogs import BY_OTHER_TURNS, BY_TURNS, SAMPLE
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from pydantic import PrivateAttr

import callbridge as cb
from callbridge.channel.memory import SendEnd
from lives import HAS_LANGGRAPH, chain, graph, retriever, tool
from oracle import Recorder, arun_call, run_attached, run_call
from scenarios import SYNC, WARNINGS, Mode, Scenario, by_name
from scenarios.models import Flaw, chat
from terminals import check_lives, nothing_remembered, statuses

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

needs_interrupt = pytest.mark.skipif(by_name("interrupt_in_node").missing is not None, reason="needs LangGraph's interrupt()")


def finished(handler: cb.EventStreamHandler) -> list[Any]:
    handler.finish()
    return list(handler)


# -- over everything --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "mode"), BY_OTHER_TURNS)
def test_every_run_of_an_attached_handler_ends_once(scenario: Scenario, mode: Mode) -> None:
    """Whatever the scenario is about. Its own end closes what nobody ended, before anybody says that no more will come."""
    handler = cb.EventStreamHandler(extended=True, streaming=True, roots=None)
    run_attached(scenario, mode, [handler])
    gc.collect()  # what a failed run drops reports late
    nothing_remembered(handler)
    events = finished(handler)
    check_lives(events)


async def call_events(scenario: Scenario, mode: Mode) -> list[Any]:
    runnable, value = scenario.make()
    config = scenario.new_config()
    async with cb.astream_call(arun_call, mode, runnable, value, config, extended=True) as stream:
        return [event async for event in stream]


@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_every_run_of_an_observed_call_ends_once(scenario: Scenario, mode: Mode) -> None:
    """Also those that only the context leads to."""
    if mode in SYNC:
        runnable, value = scenario.make()
        with cb.stream_call(run_call, mode, runnable, value, scenario.new_config(), extended=True) as stream:
            events = list(stream)
    else:
        events = asyncio.run(call_events(scenario, mode))
    check_lives(events)


async def read_events(scenario: Scenario) -> list[Any]:
    runnable, value = scenario.make()
    events: list[Any] = []
    with suppress(Exception):
        async with cb.astream_events(runnable, value, scenario.new_config(), extended=True) as stream:
            async for event in stream:
                events.append(event)
    return events


@pytest.mark.parametrize(("scenario", "mode"), BY_TURNS)
def test_every_run_of_an_event_stream_ends_once(scenario: Scenario, mode: Mode) -> None:
    """The drop-in for LangChain's own, which ends hardly any run that fails."""
    if "astream_events" not in scenario.modes:
        pytest.skip("this scenario is not streamed")
    check_lives(asyncio.run(read_events(scenario)))


# -- each way to end --------------------------------------------------------------------------------------------------


class Silent(BaseChatModel):
    """A chat model that never answers; LangChain says nothing when its `ainvoke` is cancelled."""

    _asked: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    @property
    def _llm_type(self) -> str:
        return "silent"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("never"))])

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self._asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def cancelled_when_asked(model: Silent, runnable: Any, **config: Any) -> None:
    task = asyncio.ensure_future(runnable.ainvoke("tea", config))
    await model._asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def fail(_: Any) -> Any:
    raise Flaw("on purpose")


def broken(**options: Any) -> Any:
    return RunnableLambda(fail, name="broken", **options)


def ended() -> list[Any]:
    handler = cb.EventStreamHandler(extended=True)
    chain().runnable.invoke({"q": "tea"}, {"callbacks": [handler]})
    return list(handler)


def failed() -> list[Any]:
    handler = cb.EventStreamHandler(extended=True)
    with suppress(Flaw):
        (RunnableLambda(str, name="fine") | broken()).invoke("tea", {"callbacks": [handler]})
    return list(handler)


def cancelled() -> list[Any]:
    async def main() -> list[Any]:
        run = chain(waits_at=1)
        handler = cb.EventStreamHandler(extended=True)

        async def read() -> None:
            async for _ in run.runnable.astream(run.value, {"callbacks": [handler]}):
                pass

        task = asyncio.ensure_future(read())
        await run.book.waits.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return [event async for event in handler]

    return asyncio.run(main())


def dangling() -> list[Any]:
    async def main() -> list[Any]:
        model = Silent()
        handler = cb.EventStreamHandler(extended=True)
        await cancelled_when_asked(model, model | StrOutputParser(), callbacks=[handler])
        return [event async for event in handler]

    return asyncio.run(main())


def dangling_at_the_root() -> list[Any]:
    async def main() -> list[Any]:
        model = Silent()
        handler = cb.EventStreamHandler(extended=True)
        await cancelled_when_asked(model, model, callbacks=[handler])
        handler.finish()  # nobody else can say it
        return [event async for event in handler]

    return asyncio.run(main())


def dangling_in_a_call() -> list[Any]:
    async def main() -> list[Any]:
        model = Silent()

        async def call() -> None:
            await cancelled_when_asked(model, model)

        async with cb.astream_call(call, extended=True) as stream:
            return [event async for event in stream]

    return asyncio.run(main())


def rescued() -> list[Any]:
    handler = cb.EventStreamHandler(extended=True)
    runnable = broken().with_fallbacks([RunnableLambda(str, name="fallback")])
    runnable.invoke("tea", {"callbacks": [handler]})
    return list(handler)


def retried() -> list[Any]:
    tries: list[int] = []

    def flaky(value: Any) -> Any:
        tries.append(1)
        return fail(value) if len(tries) < 3 else value

    handler = cb.EventStreamHandler(extended=True)
    runnable = RunnableLambda(flaky, name="flaky").with_retry(wait_exponential_jitter=False)
    RunnableLambda(lambda value, config: runnable.invoke(value, config), name="root").invoke("tea", {"callbacks": [handler]})
    return list(handler)


def asking() -> Any:
    """A graph that asks somebody."""
    from langgraph.checkpoint.memory import MemorySaver
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"q": interrupt("which tea?")}

    builder = StateGraph(dict)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=MemorySaver())


def interrupted() -> list[Any]:
    handler = cb.EventStreamHandler(extended=True)
    asking().invoke({"q": "?"}, {"callbacks": [handler], "configurable": {"thread_id": "1"}, "run_name": "root"})
    return list(handler)


WAYS_TO_END: list[Any] = [
    (ended, {"RunnableSequence": "ended", "Provider": "ended"}),
    (failed, {"RunnableSequence": "failed", "broken": "failed", "fine": "ended"}),
    (cancelled, {"RunnableSequence": "cancelled", "Provider": "cancelled", "StrOutputParser": "cancelled"}),
    (dangling, {"RunnableSequence": "cancelled", "Silent": "cancelled"}),
    (dangling_at_the_root, {"Silent": "failed"}),
    (dangling_in_a_call, {"Silent": "failed"}),
    (rescued, {"RunnableWithFallbacks": "ended", "broken": "failed", "fallback": "ended"}),
    (retried, {"root": "ended", "flaky": "ended"}),
    pytest.param(interrupted, {"root": "ended", "ask": "interrupted"}, marks=needs_interrupt),
]


@pytest.mark.parametrize(("run", "expected"), WAYS_TO_END)
def test_each_way_to_end_is_told(run: Callable[[], list[Any]], expected: dict[str, str]) -> None:
    """One terminal event each, and the status that fits."""
    events = run()
    check_lives(events)
    found = statuses(events)
    assert {name: found[name] for name in expected} == expected


@needs_interrupt
def test_an_interrupted_graph_has_the_result_that_its_call_has() -> None:
    """Of a call what it returned, and of an event stream the root's output, where the interrupt is among the chunks."""
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}

    async def main() -> None:
        returned = await asking().ainvoke({"q": "?"}, config)
        async with cb.astream_call(asking().ainvoke, {"q": "?"}, config) as call:
            assert [event async for event in call][-1]["event"] == "on_chain_end"
        assert call.result.keys() == returned.keys()
        assert call.result["q"] == returned["q"] == "?"
        async with cb.astream_events(asking(), {"q": "?"}, config) as stream:
            *_, streamed, end = [event async for event in stream]
        assert stream.result == end["data"]["output"] == {"q": "?"}
        assert streamed["event"] == "on_chain_stream"
        assert streamed["data"]["chunk"]["__interrupt__"][0].value == "which tea?"

    asyncio.run(main())


def test_each_try_is_a_run_of_its_own() -> None:
    """Two that failed and one that did not, inside the run that tries."""
    around, *tries, _ = [one for one in retried() if one["name"] == "flaky"]
    assert [one["event"].removeprefix("on_chain_") for one in tries] == ["start", "error", "start", "error", "start", "end"]
    assert all(around["run_id"] in one["parent_ids"] for one in tries)


def test_a_run_that_nobody_ended_says_so() -> None:
    """Its error names it, and says what is known: nothing."""
    for run in (dangling_at_the_root, dangling_in_a_call):
        (error,) = [one["data"]["error"] for one in run() if one["event"] == "on_chat_model_error"]
        assert isinstance(error, cb.RunUnfinishedError)


def test_filtered_runs_end_out_of_sight() -> None:
    """The shown runs are complete, and the hidden ones leave nothing behind: their parent's end closes them, too."""

    async def main() -> None:
        model = Silent()
        handler = cb.EventStreamHandler(extended=True, include_types=["chain"], roots=None)
        await cancelled_when_asked(model, model | StrOutputParser(), callbacks=[handler])
        nothing_remembered(handler)
        events = finished(handler)
        assert [one["event"] for one in events] == ["on_chain_start", "on_chain_error"]
        check_lives(events)

    asyncio.run(main())


def test_a_run_that_begins_while_its_root_ends_begins_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is about to send its start when another one ends the root, and with it whatever is open."""
    handler = cb.EventStreamHandler(extended=True)
    root, branch = uuid4(), uuid4()
    arrived, gate = threading.Event(), threading.Event()
    push = SendEnd.push

    def push_late(send: Any, event: Any) -> bool:
        if (event["run_id"], event["event"]) == (str(branch), "on_chain_start"):
            arrived.set()
            gate.wait()
        return push(send, event)

    monkeypatch.setattr(SendEnd, "push", push_late)
    handler.on_chain_start({}, {"x": 1}, run_id=root, name="root")
    beginning = threading.Thread(
        target=lambda: handler.on_chain_start({}, {"x": 1}, run_id=branch, parent_run_id=root, name="branch")
    )
    ending = threading.Thread(target=lambda: handler.on_chain_end({"y": 2}, run_id=root))
    beginning.start()
    arrived.wait()
    ending.start()
    ending.join(1)  # it may have to wait for the other, or leave its events to it
    gate.set()
    for thread in (beginning, ending):
        thread.join()
    check_lives(list(handler))


# -- a handler that lives as long as a server -------------------------------------------------------------------------


def nested() -> Any:
    """Two branches in a chain, one of them with a run that is passed the handler again."""
    model = chat("red green blue")
    return RunnableParallel(one=model | StrOutputParser(), two=RunnableLambda(str) | StrOutputParser())


class Mixed:
    """Runs of every kind and end through one handler, in an order that a seed decides."""

    def __init__(self, handler: Any, seed: int) -> None:
        self.config = {"callbacks": [handler]}
        self.twice = {"callbacks": [handler, handler]}
        self.source = random.Random(seed)

    async def run(self, count: int) -> None:
        kinds = [self.well, self.twofold, self.fails, self.streamed, self.left, self.cancelled, self.dangling, self.others]
        for _ in range(count):
            await self.source.choice(kinds)()
            await asyncio.sleep(0)  # sync runs leave no turn to the reader
        gc.collect()

    async def well(self) -> None:
        await nested().ainvoke("tea", self.config)

    async def twofold(self) -> None:
        nested().with_config(callbacks=self.config["callbacks"]).invoke("tea", self.twice)

    async def fails(self) -> None:
        with suppress(Flaw):
            (RunnableLambda(str) | broken()).invoke("tea", self.config)

    async def streamed(self) -> None:
        run = self.source.choice([chain, tool, retriever])()
        async for _ in run.runnable.astream(run.value, self.config):
            pass

    async def left(self) -> None:
        for _ in nested().stream("tea", self.config):
            break

    async def cancelled(self) -> None:
        run = chain(waits_at=1)
        task = asyncio.ensure_future(anext_to_end(run, self.config))
        await run.book.waits.wait()
        task.cancel()
        await asyncio.wait([task])
        await run.book.all_left.wait()

    async def dangling(self) -> None:
        model = Silent()
        await cancelled_when_asked(model, model | StrOutputParser(), **self.config)

    async def others(self) -> None:
        run = (graph if HAS_LANGGRAPH else chain)()
        await run.runnable.ainvoke(run.value, self.config)


async def anext_to_end(run: Any, config: Any) -> None:
    async for _ in run.runnable.astream(run.value, config):
        pass


@pytest.mark.thorough
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("wrap", [False, True])
def test_a_long_lived_handler_remembers_nothing(wrap: bool, streaming: bool) -> None:
    """After a thousand runs over all four cases of this test, 250 in each."""
    options: dict[str, Any] = {"roots": None, "extended": True, "streaming": streaming, "capacity": 64}
    handler: Any = cb.wrap_handler(Recorder(), **options) if wrap else cb.EventStreamHandler(**options)

    async def main() -> None:
        events: list[Any] = []

        async def read() -> None:
            async for event in handler:
                events.append(event)

        reading = asyncio.ensure_future(read())
        await Mixed(handler, seed=wrap * 2 + streaming).run(250)
        await asyncio.get_running_loop().shutdown_asyncgens()
        nothing_left = handler.statistics().runs
        handler.finish()
        await reading
        assert nothing_left == 0
        assert len(check_lives(events, abandoned=True)) > 250

    asyncio.run(main())
    nothing_remembered(handler)


# -- runs that share one object ---------------------------------------------------------------------------------------


def talk(number: int) -> Any:
    """A chain in which every run carries its number in its tags and output."""
    model = chat(f"n{number} " * 3)
    return (model | StrOutputParser() | RunnableLambda(lambda text: text.strip())).with_config(tags=[f"n{number}"])


def check_kept_apart(events: list[Any], count: int) -> None:
    """Every run belongs to one root, and has nothing of another one's."""
    check_lives(events)
    roots: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        roots[event["parent_ids"][0] if event["parent_ids"] else event["run_id"]].append(event)
    assert len(roots) == count
    for own in roots.values():
        (tag,) = {tag for event in own for tag in event["tags"] if tag.startswith("n")}
        assert all(tag in event["tags"] for event in own if not event["parent_ids"])
        said = {word for event in own if event["event"].endswith(("_stream", "_end")) for word in words(event["data"])}
        assert said == {tag}


def words(data: dict[str, Any]) -> list[str]:
    value = data.get("chunk", data.get("output"))
    text = getattr(value, "content", value)
    return text.split() if isinstance(text, str) else []


@pytest.mark.parametrize("make", [cb.EventStreamHandler, lambda **options: cb.wrap_handler(BaseCallbackHandler(), **options)])
def test_a_hundred_runs_at_once_do_not_cross(make: Callable[..., Any]) -> None:
    """Through one handler, in tasks."""

    async def main() -> list[Any]:
        handler = make(roots=100, extended=True, streaming=True, capacity=8)

        async def run(number: int) -> None:
            await talk(number).ainvoke("tea", {"callbacks": [handler]})

        running = [asyncio.ensure_future(run(number)) for number in range(100)]
        events = [event async for event in handler]
        await asyncio.gather(*running)
        nothing_remembered(handler)
        return events

    check_kept_apart(asyncio.run(main()), 100)


# LangChain before its 1.0 hides this warning by `warnings.catch_warnings`, which is for one thread at a time.
@pytest.mark.filterwarnings("ignore:Importing .* from langchain root module is no longer supported:UserWarning")
@pytest.mark.parametrize("make", [cb.EventStreamHandler, lambda **options: cb.wrap_handler(BaseCallbackHandler(), **options)])
def test_a_hundred_runs_in_threads_do_not_cross(make: Callable[..., Any]) -> None:
    """Ten at a time, which interrupt each other wherever they can."""
    handler = make(roots=100, extended=True, streaming=True, capacity=8)

    def run(first: int) -> None:
        for number in range(first, first + 10):
            talk(number).invoke("tea", {"callbacks": [handler]})

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(first,)) for first in range(0, 100, 10)]
        for thread in threads:
            thread.start()
        events = list(handler)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    check_kept_apart(events, 100)
    nothing_remembered(handler)


def test_a_hundred_runs_through_one_dispatcher_do_not_cross() -> None:
    """Their events interleaved as a server's would be; each run's calls are those of its own."""

    async def main() -> None:
        source = cb.EventStreamHandler(roots=100, extended=True, streaming=True)
        recorder = Recorder()
        dispatcher = cb.CallbackDispatcher([recorder])

        async def run(number: int) -> None:
            await talk(number).ainvoke("tea", {"callbacks": [source]})

        running = [asyncio.ensure_future(run(number)) for number in range(100)]
        async for event in source:
            await dispatcher.afeed(event)
        await asyncio.gather(*running)
        assert dispatcher.statistics().open_runs == 0
        tokens: dict[Any, set[str]] = defaultdict(set)
        for method, args, kwargs in recorder.calls:
            if method == "on_llm_new_token" and args[0].strip():
                tokens[kwargs["run_id"]].add(args[0].strip())
        assert sorted(tokens.values(), key=repr) == sorted(({f"n{number}"} for number in range(100)), key=repr)

    asyncio.run(main())


def test_a_run_inside_a_callback_config_belongs_to_its_parent() -> None:
    """A run that is passed the config of the run around it."""

    def outer(value: str, config: RunnableConfig) -> str:
        return str(talk(1).invoke(value, config))

    handler = cb.EventStreamHandler(extended=True)
    RunnableLambda(outer).invoke("tea", {"callbacks": [handler]})
    events = list(handler)
    assert len({event["run_id"] for event in events if not event["parent_ids"]}) == 1
    check_lives(events)
