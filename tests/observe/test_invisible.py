"""Nobody but the reader notices: the user's own handlers, models and managers see the same with and without the bridge."""

from __future__ import annotations

import asyncio
import copy
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from calllogs import BY_OTHER_TURNS, SAMPLE, attached_alone, comparable_events, seen_by
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, CallbackManager
from langchain_core.callbacks import manager as langchains_manager
from langchain_core.runnables import RunnableBinding, RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers import context as tracer_context

import callbridge as cb
from callbridge.observe.observed_calls import observed
from oracle import AsyncRecorder, Recorder, arun_call, normalise, reference_handler, run_attached, run_call
from scenarios import SYNC, WARNINGS, Mode, Scenario, by_name
from scenarios.legacy import llm_chain
from scenarios.models import StreamingLLM, chat

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

Outcome = tuple[Any, "BaseException | None"]
Handlers = list[BaseCallbackHandler]


def call(mode: Mode, runnable: Any, value: Any, config: dict[str, Any]) -> Outcome:
    if "batch" in mode:
        config = {"max_concurrency": 1, **config}
    if mode in SYNC:
        return run_call(mode, runnable, value, config)
    return asyncio.run(arun_call(mode, runnable, value, config))


def finished(handler: cb.EventStreamHandler) -> list[Any]:
    handler.finish()
    return list(handler)


# -- beside the user's handlers, over everything


@pytest.mark.parametrize(("scenario", "mode"), BY_OTHER_TURNS)
def test_a_handler_beside_them_changes_nothing_for_others(scenario: Scenario, mode: Mode) -> None:
    """A sync and an async handler get the same calls, and the caller the same result, with a stream handler beside them."""
    ours = cb.EventStreamHandler(roots=None)
    recorders = Recorder(), AsyncRecorder()
    outcome = run_attached(scenario, mode, [ours, *recorders] if mode in SYNC else [*recorders, ours])
    assert seen_by(scenario, recorders, outcome) == attached_alone(scenario, mode)
    assert bool(finished(ours)) == bool(recorders[0].calls)


# -- every way to attach


def in_manager(runnable: Any, config: dict[str, Any], others: Handlers, ours: Handlers) -> tuple[Any, dict[str, Any]]:
    handlers = [*others, *ours]
    return runnable, {**config, "callbacks": CallbackManager([*handlers], inheritable_handlers=[*handlers])}


def in_async_manager(runnable: Any, config: dict[str, Any], others: Handlers, ours: Handlers) -> tuple[Any, dict[str, Any]]:
    handlers = [*ours, *others]
    return runnable, {**config, "callbacks": AsyncCallbackManager([*handlers], inheritable_handlers=[*handlers])}


@pytest.mark.parametrize("attach", [in_manager, in_async_manager])
@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_a_handler_in_a_manager_changes_nothing(scenario: Scenario, mode: Mode, attach: Callable[..., Any]) -> None:
    """The same in every mode, in managers of either kind, which are left as they were."""
    ours = cb.EventStreamHandler(roots=None)
    recorders = Recorder(), AsyncRecorder()
    runnable, value = scenario.make()
    runnable, config = attach(runnable, scenario.new_config(), [*recorders], [ours])
    manager = config["callbacks"]
    handlers = list(manager.handlers)
    outcome = call(mode, runnable, value, config)
    assert seen_by(scenario, recorders, outcome) == attached_alone(scenario, mode)
    assert manager.handlers == manager.inheritable_handlers == handlers
    assert finished(ours)


def by_with_config(runnable: Any, config: dict[str, Any], others: Handlers, ours: Handlers) -> tuple[Any, dict[str, Any]]:
    # Without us it is bound all the same: binding alone sorts the tags.
    return RunnableBinding(bound=runnable, config={"callbacks": ours}), {**config, "callbacks": others}


def beside_inline_tracer(runnable: Any, config: dict[str, Any], others: Handlers, ours: Handlers) -> tuple[Any, dict[str, Any]]:
    return runnable, {**config, "callbacks": [*others, Recorder(run_inline=True), *ours]}


@pytest.mark.parametrize("attach", [by_with_config, beside_inline_tracer])
@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_with_config_and_tracers_change_nothing(scenario: Scenario, mode: Mode, attach: Callable[..., Any]) -> None:
    """The same for a handler that comes by `with_config`, and beside an inline tracer (LangChain issue 39633)."""
    seen = []
    ours = cb.EventStreamHandler(roots=None)
    for handlers in ([], [ours]):
        runnable, value = scenario.make()
        recorders = Recorder(), AsyncRecorder()
        runnable, config = attach(runnable, scenario.new_config(), [*recorders], handlers)
        seen.append(seen_by(scenario, recorders, call(mode, runnable, value, config)))
    without, beside = seen
    assert beside == without
    assert finished(ours)


@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_observing_a_call_changes_nothing_for_others(scenario: Scenario, mode: Mode) -> None:
    """The same for a call inside `stream_call` and `astream_call` that does not ask for streaming."""
    runnable, value = scenario.make()
    recorders = Recorder(), AsyncRecorder()
    config: dict[str, Any] = {**scenario.new_config(), "callbacks": [*recorders]}
    if "batch" in mode:
        config["max_concurrency"] = 1
    events: list[Any] = []

    async def observe() -> Outcome:
        async with cb.astream_call(arun_call, mode, runnable, value, config, streaming=False) as stream:
            events.extend([event async for event in stream])
            return stream.result

    if mode in SYNC:
        with cb.stream_call(run_call, mode, runnable, value, config, streaming=False) as stream:
            events.extend(stream)
            outcome = stream.result
    else:
        outcome = asyncio.run(observe())
    assert seen_by(scenario, recorders, outcome) == attached_alone(scenario, mode)
    assert events


HAS_LEGACY = by_name("legacy_llm_chain").missing is None
CONSTRUCTED = [
    "chat model",
    "llm",
    "tool",
    pytest.param("legacy chain", marks=pytest.mark.skipif(not HAS_LEGACY, reason="needs a legacy package")),
]


def constructed(kind: str, callbacks: Handlers) -> tuple[Any, Any]:
    if kind == "chat model":
        return chat("a few words", callbacks=callbacks), "hi"
    if kind == "llm":
        return StreamingLLM(tokens=["a", "b"], callbacks=callbacks), "hi"
    if kind == "legacy chain":
        return llm_chain(StreamingLLM(tokens=["a", "b"]), callbacks=callbacks), {"topic": "tea"}

    @tool
    def double(n: int) -> int:
        """Double a number."""
        return 2 * n

    double.callbacks = callbacks
    return double, {"n": 1}


@pytest.mark.parametrize("mode", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("kind", CONSTRUCTED)
def test_a_handler_given_to_a_constructor_changes_nothing_for_others(kind: str, mode: Mode) -> None:
    """The same for a handler that a model, a tool or a chain is built with; it hears of that run."""
    ours = cb.EventStreamHandler()
    seen = []
    for handlers in ([], [ours]):
        recorder = Recorder()
        runnable, value = constructed(kind, [*handlers, recorder])
        outer = RunnableLambda(lambda x: x, name="same") | runnable
        outcome = call(mode, outer, value, {})
        for _, args, _ in recorder.calls:
            if args and isinstance(args[0], dict):
                args[0].pop("repr", None)  # of the model, its handlers included
        seen.append((normalise(recorder.calls), normalise(outcome)))
    without, beside = seen
    assert beside == without
    events = list(ours)
    assert len({event["run_id"] for event in events}) == 1
    assert events[-1]["event"].endswith("_end")


# -- streaming


def names(calls: list[Any]) -> list[str]:
    return [method for method, _, _ in calls]


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_a_model_streams_only_if_asked(mode: Mode) -> None:
    """A model that is invoked reports tokens with `streaming=True`, and none without."""
    for streaming in (False, True):
        recorder = Recorder()
        call(mode, *by_name("chat_root_text").make(), {"callbacks": [cb.EventStreamHandler(streaming=streaming), recorder]})
        assert ("on_llm_new_token" in names(recorder.calls)) is streaming


@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_asking_for_streaming_has_the_effect_of_langchains_handler(scenario: Scenario, mode: Mode) -> None:
    """With `streaming=True` others get what they get beside LangChain's own event handler."""
    recorders = Recorder(), AsyncRecorder()
    outcome = run_attached(scenario, mode, [cb.EventStreamHandler(streaming=True, roots=None), *recorders])
    theirs, _ = reference_handler()
    beside_theirs = Recorder(), AsyncRecorder()
    expected = run_attached(scenario, mode, [theirs, *beside_theirs])
    assert seen_by(scenario, recorders, outcome) == seen_by(scenario, beside_theirs, expected)


# -- order


class _Noting:
    """Writes its name and the method into a list shared with others."""

    def __init__(self, name: str, order: list[str], **options: Any) -> None:
        super().__init__(**options)
        self._name, self._order = name, order

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._order.append(f"{self._name} {method}")


class Noting(_Noting, Recorder):
    pass


class AsyncNoting(_Noting, AsyncRecorder):
    pass


@pytest.mark.parametrize("mode", ["invoke", "stream", "ainvoke", "astream"])
def test_the_order_between_handlers_stays(mode: Mode) -> None:
    """Handlers are called in the same order, sync and async ones in a sync run, inline ones in an async run."""
    orders: list[list[str]] = []
    for ours in ([], [cb.EventStreamHandler()]):
        order: list[str] = []
        inline = mode not in SYNC
        first = Noting("first", order, run_inline=inline)
        second = AsyncNoting("second", order, run_inline=inline)
        third = Noting("third", order, run_inline=inline)
        runnable, value = by_name("chat_with_prompt_and_parser").make()
        call(mode, runnable, value, {"callbacks": [first, *ours, second, third]})
        orders.append(order)
    without, beside = orders
    assert beside == without
    assert len(without) > 10


# -- payloads


class Before(Recorder):
    """Keeps a deep copy of the latest call's payload."""

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.latest = (method, _copied(args), _copied(kwargs))


class After(Recorder):
    """Compares the payload with the copy that was made before."""

    def __init__(self, before: Before) -> None:
        super().__init__(run_inline=True)
        self._before = before
        self.compared = 0

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert normalise(self._before.latest) == normalise((method, args, kwargs))
        self.compared += 1


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_copied(item) for item in value)
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock, a generator: nothing that anybody writes to
        return value


IN_ORDER = [
    one
    for one in SAMPLE
    # Where two callback managers are merged, LangChain puts the handlers into any order.
    if not one.values[0].concurrent and one.values[0].name != "custom_between_children"
]


@pytest.mark.parametrize(("scenario", "mode"), IN_ORDER)
def test_no_payload_is_written_to(scenario: Scenario, mode: Mode) -> None:
    """Metadata, tags, messages, inputs are after our callback what they were before it."""
    before = Before(run_inline=True)
    after = After(before)
    after.raise_error = True
    ours = cb.EventStreamHandler(streaming=True, extended=True, roots=None)
    _, error = run_attached(scenario, mode, [before, ours, after])
    assert not isinstance(error, AssertionError), error
    assert after.compared


# -- scopes


def everywhere(runnable: Any, handler: Any) -> tuple[Any, dict[str, Any]]:
    bound = RunnableBinding(bound=runnable.with_config(callbacks=[handler]), config={"callbacks": [handler]})
    return bound, {"callbacks": [handler]}


@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_a_handler_at_several_scopes_delivers_once(scenario: Scenario, mode: Mode) -> None:
    """A handler in the config, in `with_config` twice and in a hook makes the events of one that is attached once."""
    seen = []
    for often in (False, True):
        runnable, value = scenario.make()
        handler = cb.EventStreamHandler(roots=None, extended=True)
        # Bound all the same: binding alone sorts the tags.
        runnable, config = everywhere(runnable, handler) if often else (runnable.with_config(callbacks=[handler]), {})
        context = observed(handler) if often else copy_context()
        context.run(call, mode, runnable, value, {**scenario.new_config(), **config})
        seen.append(comparable_events(scenario, finished(handler)))
    once, many_times = seen
    assert many_times == once


@pytest.mark.parametrize("mode", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("kind", CONSTRUCTED)
def test_a_handler_of_constructor_and_config_delivers_once(kind: str, mode: Mode) -> None:
    """A handler that a model was built with and that comes with the call makes the events of one that is attached once."""
    seen = []
    for constructor in (False, True):
        handler = cb.EventStreamHandler(extended=True)
        runnable, value = constructed(kind, [handler] if constructor else [])
        runnable, config = everywhere(runnable, handler) if constructor else (runnable, {"callbacks": [handler]})
        call(mode, runnable, value, config)
        # Reading ends by itself, with nothing remembered: all copies of the end have been told from it.
        seen.append(normalise(list(handler)))
        assert handler.statistics().runs == 0
    once, often = seen
    assert often == once


# -- an inline tracer is present (LangChain issue 39633)


def test_others_keep_the_start_of_string_models() -> None:
    """Beside a stream handler, a handler that is not inline gets `on_llm_start` in async runs."""
    recorder = Recorder()
    handler = cb.EventStreamHandler()
    call("ainvoke", StreamingLLM(tokens=["a", "b"]), "hi", {"callbacks": [recorder, handler]})
    assert names(recorder.calls) == ["on_llm_start", "on_llm_end"]


@pytest.mark.parametrize("mode", ["ainvoke", "astream"])
def test_events_are_complete_beside_an_inline_tracer(mode: Mode) -> None:
    """A string model whose start LangChain keeps from everybody but the tracer has all its events."""
    complete = []
    for tracers in ([], [Recorder(run_inline=True)]):
        handler = cb.EventStreamHandler()
        runnable, value = by_name("llm_streaming_in_chain").make()
        call(mode, runnable, value, {"callbacks": [*tracers, handler]})
        complete.append([(event["event"], event["parent_ids"] != []) for event in handler])
    without, beside = complete
    assert beside == without
    assert ("on_llm_start", True) in beside


# -- two streaming handlers on one run


def chunks(events: list[Any]) -> Any:
    """What taps alone can know."""
    return normalise([(event["event"], event["name"], event["data"]["chunk"]) for event in events if "chunk" in event["data"]])


def piped() -> tuple[Any, Any]:
    return by_name("chat_with_prompt_and_parser").make()


async def apieces(source: AsyncIterator[int]) -> AsyncIterator[int]:
    async for n in source:
        for i in range(n):
            yield i


def pieces(source: Iterator[int]) -> Iterator[int]:
    for n in source:
        yield from range(n)


async def read_langchains(runnable: Any, value: Any, callbacks: Handlers) -> list[Any]:
    return [event async for event in runnable.astream_events(value, version="v2", config={"callbacks": callbacks})]


def test_beside_astream_events_both_get_their_chunks() -> None:
    """A streaming handler inside LangChain's own event stream takes nothing from it, and misses nothing."""
    alone = asyncio.run(read_langchains(*piped(), []))
    ours = cb.EventStreamHandler(streaming=True)
    theirs = asyncio.run(read_langchains(*piped(), [ours]))
    assert normalise(theirs) == normalise(alone)
    assert chunks(list(ours)) == chunks(alone)


def test_beside_our_own_stream_both_get_their_chunks() -> None:
    """The same inside `callbridge.astream_events`."""

    async def read(callbacks: Handlers) -> list[Any]:
        return [event async for event in cb.astream_events(*piped(), config={"callbacks": callbacks})]

    alone = asyncio.run(read([]))
    ours = cb.EventStreamHandler(streaming=True)
    assert normalise(asyncio.run(read([ours]))) == normalise(alone)
    assert chunks(list(ours)) == chunks(alone)


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_two_of_ours_both_get_their_chunks(mode: Mode) -> None:
    """Two streaming handlers on one call see the same."""
    handlers = cb.EventStreamHandler(streaming=True), cb.EventStreamHandler(streaming=True)
    call(mode, *piped(), {"callbacks": [*handlers]})
    first, second = (list(handler) for handler in handlers)
    assert first == second
    assert any(event["event"] == "on_chain_stream" for event in first)


def test_beside_astream_log_both_get_their_chunks() -> None:
    """A streaming handler inside `astream_log` takes nothing from it, and misses nothing."""

    async def read(callbacks: Handlers) -> list[Any]:
        runnable = RunnableLambda(lambda n: n + 1, name="more") | RunnableGenerator(pieces, apieces)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated since langchain-core 1.0
            return [patch.ops async for patch in runnable.astream_log(2, config={"callbacks": callbacks})]

    alone = asyncio.run(read([]))
    ours = cb.EventStreamHandler(streaming=True)
    assert normalise(asyncio.run(read([ours]))) == normalise(alone)
    assert len([event for event in ours if event["event"] == "on_chain_stream"]) == 7


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_nobody_gets_more_chunks_for_our_sake(mode: Mode) -> None:
    """Of several streaming handlers of others only the first is let in by LangChain: so it is behind ours."""
    seen = []
    for ours in ([], [cb.EventStreamHandler(streaming=True)]):
        (first, first_events), (second, second_events) = reference_handler(), reference_handler()
        call(mode, *piped(), {"callbacks": [*ours, first, second]})
        seen.append((chunks(first_events), chunks(second_events)))
    without, beside = seen
    assert beside == without


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_behind_another_streaming_handler_only_models_tokens_arrive(mode: Mode) -> None:
    """Known limit: LangChain lets the first streaming handler tap a chain, and if that is not ours, we have no chain chunks."""
    theirs, their_events = reference_handler()
    ours = cb.EventStreamHandler(streaming=True)
    call(mode, *piped(), {"callbacks": [theirs, ours]})
    streamed = {event["event"] for event in ours if event["event"].endswith("_stream")}
    assert streamed == {"on_chat_model_stream"}
    assert {"on_chain_stream", "on_parser_stream"} <= {event["event"] for event in their_events}


def test_beside_langgraphs_messages_both_get_their_chunks() -> None:
    """A streaming handler beside `stream_mode="messages"` takes nothing from it, and misses nothing."""
    pytest.importorskip("langgraph")

    async def read(callbacks: Handlers, stream_mode: str) -> list[Any]:
        graph, value = by_name("graph_model_node").make()
        return [part async for part in graph.astream(value, {"callbacks": callbacks}, stream_mode=stream_mode)]

    alone = asyncio.run(read([], "messages"))
    undisturbed = cb.EventStreamHandler(streaming=True)
    asyncio.run(read([undisturbed], "values"))
    ours = cb.EventStreamHandler(streaming=True)
    assert normalise(asyncio.run(read([ours], "messages"))) == normalise(alone)
    expected = [one for one in chunks(list(undisturbed)) if one[1] != "LangGraph"]
    # What the graph itself yields is what its mode says.
    assert [one for one in chunks(list(ours)) if one[1] != "LangGraph"] == expected


def beside_handler(runnable: Any, value: Any, config: dict[str, Any], options: dict[str, Any]) -> list[Any]:
    handler = cb.EventStreamHandler(roots=None)
    parts = list(runnable.stream(value, {**config, "callbacks": [handler]}, **options))
    assert finished(handler)
    return parts


def in_call(runnable: Any, value: Any, config: dict[str, Any], options: dict[str, Any]) -> list[Any]:
    with cb.stream_call(lambda: list(runnable.stream(value, config, **options)), streaming=False) as stream:
        assert list(stream)
        return stream.result


def in_async_call(runnable: Any, value: Any, config: dict[str, Any], options: dict[str, Any]) -> list[Any]:
    async def run() -> list[Any]:
        return [part async for part in runnable.astream(value, config, **options)]

    async def read() -> list[Any]:
        async with cb.astream_call(run, streaming=False) as stream:
            assert [event async for event in stream]
            return stream.result

    return asyncio.run(read())


@pytest.mark.parametrize("stream_mode", ["values", "updates", "messages", "custom", ["updates", "messages"]], ids=str)
@pytest.mark.parametrize("around", [beside_handler, in_call, in_async_call])
def test_langgraphs_own_streaming_goes_on_around_ours(around: Callable[..., list[Any]], stream_mode: Any) -> None:
    """Every `stream_mode` yields what it yields without us, unless we are asked to make models stream."""
    pytest.importorskip("langgraph")
    for name in ("graph_model_node", "subgraph_as_node"):
        options = {"stream_mode": stream_mode, "subgraphs": True}
        graph, value = by_name(name).make()
        alone = list(graph.stream(value, by_name(name).new_config(), **options))
        graph, value = by_name(name).make()
        assert normalise(around(graph, value, by_name(name).new_config(), options)) == normalise(alone)


# -- global state


def globals_of_langchain() -> Any:
    gc.collect()
    return (
        dict(vars(langchains_manager)),
        dict(vars(BaseCallbackHandler)),
        list(tracer_context._configure_hooks),
        {thread.name for thread in threading.enumerate()},
        list(warnings.filters),
        sys.gettrace(),
        sys.getprofile(),
    )


def test_attaching_changes_no_global() -> None:
    """Attaching and reading a handler leaves nothing behind in LangChain or the interpreter."""
    call("invoke", *piped(), {})
    before = globals_of_langchain()
    for streaming in (False, True):
        handler = cb.EventStreamHandler(streaming=streaming)
        call("invoke", *piped(), {"callbacks": [handler]})
        assert list(handler)
    assert globals_of_langchain() == before


IMPORTING = """
import asyncio, logging, signal, sys, threading, warnings
import langchain_core.callbacks.manager as manager
import langchain_core.runnables, langchain_core.tracers.event_stream, langchain_core.tracers.context as context
import anyio, anyio.lowlevel  # brings exceptiongroup before CPython 3.11, which sets an excepthook

def world():
    return (
        {module: dict(vars(sys.modules[module])) for module in before_modules},
        list(context._configure_hooks), threading.enumerate(), list(warnings.filters), signal.getsignal(signal.SIGINT),
        logging.root.handlers[:], sys.excepthook, sys.unraisablehook, threading.excepthook, asyncio.get_event_loop_policy(),
        sys.path[:], sys.gettrace(), sys.getswitchinterval(), list(gc.callbacks), gc.get_threshold(),
    )

import gc
asyncio.get_event_loop_policy()
patchable = ("langchain_core.callbacks", "langchain_core.tracers", "anyio")
before_modules = [name for name in sys.modules if name.startswith(patchable)]
before = world()
import callbridge
for name in callbridge.__all__:
    getattr(callbridge, name)
after = world()
for was, now in zip(before, after):
    if isinstance(was, dict):
        # A submodule that is imported becomes an attribute of its package.
        for module in was:
            for name, value in was[module].items():
                assert now[module][name] is value, (module, name)
    else:
        assert was == now, (was, now)
"""


@pytest.mark.thorough
@pytest.mark.filterwarnings("default")
def test_importing_changes_nothing() -> None:
    """Importing callbridge, and every public name of it, patches, registers, starts and configures nothing."""
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
