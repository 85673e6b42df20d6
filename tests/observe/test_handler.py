"""`EventStreamHandler`: what a callback is to each caller, and that none of them loses an event."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any
from uuid import uuid4

import pytest
from calllogs import SAMPLE, attached_alone, comparable_events, seen_by
from langchain_core.callbacks import AsyncCallbackManager, manager
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tracers._streaming import _StreamingCallbackHandler

import callbridge as cb
from callbridge.channel.memory import SendEnd
from callbridge.observe import callers
from oracle import AsyncRecorder, Recorder, arun_call, normalise, run_attached, run_call
from scenarios import SYNC, WARNINGS, Flaw, Mode, Scenario, by_name
from scenarios.models import StreamingLLM

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

WORDS = [f"{n} " for n in range(40)]


def talkative() -> StreamingLLM:
    """A model whose run makes many more events than fit into a small channel."""
    return StreamingLLM(tokens=WORDS)


def names(events: Any) -> list[str]:
    return [event["event"] for event in events]


ALL_EVENTS = ["on_llm_start", *["on_llm_stream"] * len(WORDS), "on_llm_end"]


def finished(handler: cb.EventStreamHandler) -> list[Any]:
    handler.finish()
    return list(handler)


# -- how each caller waits


async def until(condition: Callable[[], object]) -> None:
    """Let the other tasks run until it is so."""
    while not condition():  # noqa: ASYNC110 - nobody else knows of it
        await asyncio.sleep(0)


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_sync_run_in_a_thread_waits_for_its_reader() -> None:
    """`handle_event` without a loop gets a function that blocks the thread while the channel is full."""
    handler = cb.EventStreamHandler(capacity=2)
    iter(handler)
    thread = in_thread(lambda: list(talkative().stream("hi", {"callbacks": [handler]})))
    assert names(handler) == ALL_EVENTS
    thread.join()
    channel = handler.statistics().channel
    assert channel.peak <= 3
    assert channel.overruns == 0


@pytest.mark.anyio
async def test_an_async_run_waits_for_its_reader() -> None:
    """`ahandle_event` gets a coroutine function that waits while the channel is full."""
    handler = cb.EventStreamHandler(capacity=2)

    async def run() -> None:
        async for _ in talkative().astream("hi", {"callbacks": [handler]}):
            pass

    aiter_ = handler.__aiter__()
    task = asyncio.ensure_future(run())
    assert names([event async for event in aiter_]) == ALL_EVENTS
    await task
    channel = handler.statistics().channel
    assert channel.peak <= 3
    assert channel.overruns == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [cb.EventStreamHandler, lambda **options: cb.wrap_handler(AsyncRecorder(), **options)])
async def test_a_sync_run_in_the_readers_loop_never_waits(kind: Any) -> None:
    """`handle_event` in a loop's thread gets a function that lets the bound yield, and that is counted."""
    handler = kind(capacity=2)

    async def read() -> list[str]:
        return names([event async for event in handler])

    task = asyncio.ensure_future(read())
    await until(lambda: handler.statistics().channel.waiting_reader)
    list(talkative().stream("hi", {"callbacks": [handler]}))
    assert handler.statistics().channel.overruns > 30
    assert await task == ALL_EVENTS


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_a_run_that_nobody_reads_yet_does_not_wait(mode: Mode) -> None:
    """The caller may be the very code that will read next."""
    handler = cb.EventStreamHandler(capacity=2)
    config: dict[str, Any] = {"callbacks": [handler]}
    if mode in SYNC:
        run_call(mode, talkative(), "hi", config)
    else:
        asyncio.run(arun_call(mode, talkative(), "hi", config))
    assert handler.statistics().channel.overruns > 30
    assert names(handler) == ALL_EVENTS


@pytest.mark.anyio
async def test_a_cancelled_callback_has_delivered_its_event() -> None:
    """A run that is cancelled while it waits for room loses nothing that it has reported."""
    handler = cb.EventStreamHandler(capacity=1)
    recorder = Recorder(run_inline=True)
    handler.__aiter__()
    task = asyncio.ensure_future(arun_call("astream", talkative(), "hi", {"callbacks": [recorder, handler]}))
    await until(lambda: handler.statistics().channel.waiting_producers)
    task.cancel()
    heard = names([event async for event in handler])
    with pytest.raises(asyncio.CancelledError):
        await task
    # `on_llm_error`, which v2 has no event for, ends the run.
    assert len(heard) == len(recorder.calls) - 1


@pytest.mark.anyio
async def test_a_cancelled_run_does_not_wait_for_its_reader() -> None:
    """Code that cancels a run waits for its end before it reads on, or never reads on, as `asyncio.run` at its end."""
    handler = cb.EventStreamHandler(capacity=1, extended=True)
    runnable = RunnableLambda(lambda x: x).pipe(talkative())  # a root's own end closes the channel, and waits for nobody
    task = asyncio.ensure_future(arun_call("astream", runnable, "hi", {"callbacks": [handler]}))
    async for event in handler:
        if event["event"] == "on_llm_stream":
            break
    await until(lambda: handler.statistics().channel.waiting_producers)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handler.statistics().channel.overruns > 0
    assert names([event async for event in handler])[-1] == "on_chain_error"


# -- calls made by hand


def start_and_end(handler: Any) -> list[Any]:
    run_id = uuid4()
    return [
        handler.on_chain_start({}, {"x": 1}, run_id=run_id, name="by hand"),
        handler.on_chain_end({"y": 2}, run_id=run_id),
    ]


def test_calls_by_hand_outside_a_loop_are_plain_calls() -> None:
    """The user's own code may call a callback, and need not do anything with what it returns."""
    handler = cb.EventStreamHandler()
    results = start_and_end(handler)
    assert names(handler) == ["on_chain_start", "on_chain_end"]
    assert not any(inspect.iscoroutine(result) for result in results)


@pytest.mark.anyio
async def test_calls_by_hand_in_a_loop_need_not_be_awaited() -> None:
    """No coroutine is left behind; what exceeds the capacity is counted."""
    handler = cb.EventStreamHandler(capacity=1, roots=None)
    handler.__aiter__()
    start_and_end(handler)
    gc.collect()
    assert handler.statistics().channel.overruns == 1
    handler.finish()
    assert names([event async for event in handler]) == ["on_chain_start", "on_chain_end"]


@pytest.mark.anyio
async def test_calls_by_hand_in_a_loop_can_be_awaited() -> None:
    """Awaiting the result waits for room."""
    handler = cb.EventStreamHandler(capacity=1, roots=None)

    async def report() -> None:
        for _ in range(20):
            for result in start_and_end(handler):
                await result
        handler.finish()

    iterator = handler.__aiter__()
    task = asyncio.ensure_future(report())
    assert len([event async for event in iterator]) == 40
    await task
    assert handler.statistics().channel.peak <= 3
    assert handler.statistics().channel.waits > 0


def test_a_callback_of_the_class_can_be_looked_at() -> None:
    """Tools that list a class find the callbacks, with a docstring."""
    assert inspect.getdoc(cb.EventStreamHandler.on_llm_start) == "Report `on_llm_start`."


# -- subclasses


class SyncOverride(cb.EventStreamHandler):
    """A user's subclass with sync methods."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> Any:
        self.heard.append("on_chain_start")
        return super().on_chain_start(*args, **kwargs)

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> Any:
        self.heard.append("on_llm_new_token")
        return super().on_llm_new_token(*args, **kwargs)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> Any:
        self.heard.append("on_llm_end")
        super().on_llm_end(*args, **kwargs)


class AsyncOverride(cb.EventStreamHandler):
    """A user's subclass with coroutine methods."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard: list[str] = []

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("on_chain_start")
        await super().on_chain_start(*args, **kwargs)

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("on_llm_new_token")
        await super().on_llm_new_token(*args, **kwargs)

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("on_llm_end")
        super().on_llm_end(*args, **kwargs)


OVERRIDES = [SyncOverride, AsyncOverride]


@pytest.mark.blocks
@pytest.mark.parametrize("where", ["stream", "astream", "sync in a loop"])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", OVERRIDES)
def test_a_subclass_that_overrides_callbacks_loses_nothing(kind: Any, where: str, streaming: bool) -> None:
    """Overriding methods, sync or async, are called in sync and async runs, and the events are those of the plain handler."""
    plain, handler = cb.EventStreamHandler(streaming=streaming), kind(streaming=streaming)
    runnable, value = by_name("chat_with_prompt_and_parser").make()
    config = {"callbacks": [plain, handler]}

    async def occupy() -> None:
        run_call("stream", runnable, value, config)

    if where == "stream":
        run_call("stream", runnable, value, config)
    else:
        asyncio.run(arun_call("astream", runnable, value, config) if where == "astream" else occupy())  # type: ignore[arg-type]
    # What an async method reports of a sync run comes when the sync handlers have had their call.
    assert finished(handler) == finished(plain)
    assert {"on_chain_start", "on_llm_new_token", "on_llm_end"} == set(handler.heard)


class OneMethod(cb.EventStreamHandler):
    """Async in one method alone."""

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        await super().on_llm_new_token(*args, **kwargs)


@pytest.mark.anyio
async def test_an_async_override_in_the_readers_loop_is_no_deadlock() -> None:
    """LangChain runs it on another loop while the reader's thread waits: there it must not wait for the reader."""
    handler = OneMethod(capacity=2)

    async def read() -> list[str]:
        return names([event async for event in handler])

    task = asyncio.ensure_future(read())
    await until(lambda: handler.statistics().channel.waiting_reader)
    list(talkative().stream("hi", {"callbacks": [handler]}))
    assert handler.statistics().channel.overruns > 30
    assert await task == ALL_EVENTS


def test_an_async_override_in_a_thread_waits_for_the_reader() -> None:
    """Where nobody waits for the thread it may wait."""
    handler = OneMethod(capacity=2)
    iter(handler)
    thread = in_thread(lambda: list(talkative().stream("hi", {"callbacks": [handler]})))
    assert names(handler) == ALL_EVENTS
    thread.join()
    assert handler.statistics().channel.peak <= 3


# -- dispatchers of a LangChain to come


def renamed(function: Any) -> CodeType:
    """The code of a function under another name, that of its comprehensions included."""

    def rename(code: CodeType) -> CodeType:
        consts = tuple(rename(const) if isinstance(const, CodeType) else const for const in code.co_consts)
        return code.replace(co_name=f"{code.co_name}_to_come", co_consts=consts)

    return rename(function.__code__)


@pytest.fixture
def langchain_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LangChain whose dispatchers are not those known to `callers`."""
    for name in ("handle_event", "ahandle_event", "_ahandle_event_for_handler", "_run_coros"):
        known = getattr(manager, name)
        code = renamed(known)
        assert code not in (*callers.SYNC_DISPATCH, *callers.ASYNC_DISPATCH, *callers.ASYNC_DISPATCH_ONE)
        to_come = FunctionType(code, known.__globals__, name, known.__defaults__, known.__closure__)
        monkeypatch.setattr(manager, name, functools.wraps(known)(to_come))


@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_unknown_dispatchers_get_everything_delivered(scenario: Scenario, mode: Mode, request: pytest.FixtureRequest) -> None:
    """A dispatcher that is not recognised makes callbridge slower, not wrong: the same events, the same calls of others."""
    plain = cb.EventStreamHandler(roots=None)
    run_attached(scenario, mode, [plain])
    alone = attached_alone(scenario, mode)

    request.getfixturevalue("langchain_to_come")
    handler = cb.EventStreamHandler(roots=None)
    recorders = Recorder(), AsyncRecorder()
    wrapped = [cb.wrap_handler(recorder, roots=None) for recorder in recorders]
    outcome = run_attached(scenario, mode, [handler, *wrapped])
    expected = comparable_events(scenario, finished(plain))
    for one in (handler, *wrapped):
        assert comparable_events(scenario, finished(one)) == expected
    assert seen_by(scenario, recorders, outcome) == alone


@pytest.mark.anyio
@pytest.mark.usefixtures("langchain_to_come")
@pytest.mark.parametrize("mode", ["stream", "astream"])
async def test_unknown_dispatchers_are_no_deadlock(mode: Mode) -> None:
    """A full channel does not stop a run in the reader's loop, whichever function dispatches."""
    handler = cb.EventStreamHandler(capacity=16)

    async def read() -> list[str]:
        return names([event async for event in handler])

    task = asyncio.ensure_future(read())
    await until(lambda: handler.statistics().channel.waiting_reader)
    if mode in SYNC:
        run_call(mode, talkative(), "hi", {"callbacks": [handler]})
    else:
        await arun_call(mode, talkative(), "hi", {"callbacks": [handler]})
    assert await task == ALL_EVENTS


# -- inline or not


class Placed(cb.EventStreamHandler):
    """Notes in which task and thread its sync method is called."""

    def on_text(self, *args: Any, **kwargs: Any) -> None:
        self.place = (asyncio.current_task(), threading.get_ident())


@pytest.mark.anyio
async def test_it_is_inline_to_who_awaits_callbacks() -> None:
    """`ahandle_event` calls it in the run's own task, with no task or thread for each event."""
    handler = Placed()
    await manager.ahandle_event([handler], "on_text", None, "some text", run_id=uuid4())
    assert handler.place == (asyncio.current_task(), threading.get_ident())


@pytest.mark.anyio
async def test_it_is_not_inline_to_anybody_else() -> None:
    """`on_llm_start`, which drops the others as soon as one is inline, and the user's code are told that it is not."""
    handler, recorder = cb.EventStreamHandler(), AsyncRecorder()
    assert handler.run_inline is False
    assert not any(one.run_inline for one in [handler])
    await AsyncCallbackManager([handler, recorder]).on_llm_start({}, ["hi"])
    assert [method for method, _, _ in recorder.calls] == ["on_llm_start"]
    assert names(finished(handler)) == ["on_llm_start"]


# -- callbacks fired late


def pieces(source: Iterator[int]) -> Iterator[int]:
    for n in source:
        yield from range(n)


async def apieces(source: AsyncIterator[int]) -> AsyncIterator[int]:
    async for n in source:
        for i in range(n):
            yield i


def abandoned(handler: cb.EventStreamHandler) -> list[Any]:
    """A stream that was begun and will never be read on, in a cycle that only the garbage collector can break."""
    stream = RunnableGenerator(pieces, apieces).stream(3, {"callbacks": [handler]})
    assert next(stream) == 0
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    return cycle


def collect_in_thread() -> None:
    thread = in_thread(gc.collect)
    thread.join()


def test_a_callback_of_the_garbage_collector_is_delivered(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that was given up ends its run when it is collected, in any thread; the reader hears of it."""
    handler = cb.EventStreamHandler()
    gc.disable()
    try:
        abandoned(handler)
        collect_in_thread()
    finally:
        gc.enable()
    assert names(handler) == ["on_chain_start", "on_chain_end"]
    assert not caplog.messages


@pytest.mark.parametrize("leave", ["close", "finish"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_callback_after_the_end_is_harmless(leave: str, streaming: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that comes when the handler is closed or finished does nothing, logs nothing, and leaves nothing."""
    caplog.set_level(logging.DEBUG)
    handler = cb.EventStreamHandler(streaming=streaming)
    gc.disable()
    try:
        abandoned(handler)
        getattr(handler, leave)()
        collect_in_thread()
    finally:
        gc.enable()
    assert handler.statistics().runs == 0
    assert [record for record in caplog.records if record.name.startswith(("langchain", "callbridge"))] == []


@pytest.mark.anyio
async def test_a_callback_of_the_garbage_collector_wakes_a_parked_reader() -> None:
    """Fired in another thread, it reaches a reader that waits in its loop."""
    handler = cb.EventStreamHandler()

    async def read() -> list[str]:
        return names([event async for event in handler])

    gc.disable()
    try:
        abandoned(handler)
        task = asyncio.ensure_future(read())
        await until(lambda: handler.statistics().channel.waiting_reader)
        collect_in_thread()
    finally:
        gc.enable()
    assert await task == ["on_chain_start", "on_chain_end"]


# -- what LangChain takes it for


class Subclass(cb.EventStreamHandler):
    """A user's subclass."""


@pytest.mark.parametrize("kind", [cb.EventStreamHandler, Subclass])
def test_it_is_a_streaming_handler_only_if_asked(kind: Any) -> None:
    """LangChain asks by `isinstance`, LangGraph by the class's bases."""
    silent, streaming = kind(), kind(streaming=True)
    assert not isinstance(silent, _StreamingCallbackHandler)
    assert _StreamingCallbackHandler not in type(silent).__mro__
    assert isinstance(streaming, _StreamingCallbackHandler)
    assert _StreamingCallbackHandler in type(streaming).__mro__
    assert isinstance(streaming, kind)
    assert type(streaming) is type(kind(streaming=True))
    assert type(streaming).__name__ == kind.__name__


def test_it_asks_for_no_other_protocol() -> None:
    """A model is never switched to the content-block protocol of version 3."""
    marker = getattr(pytest.importorskip("langchain_core.tracers._streaming"), "_V2StreamingCallbackHandler", None)
    if marker is None:
        pytest.skip("this LangChain has no version 3")
    assert not isinstance(cb.EventStreamHandler(streaming=True), marker)


def test_copies_are_the_handler_itself() -> None:
    """Users copy configs; a copied handler would report to nobody."""
    handler = cb.EventStreamHandler()
    assert copy.copy(handler) is handler
    assert copy.deepcopy({"callbacks": [handler]})["callbacks"] == [handler]


# -- ends


@pytest.mark.parametrize("streaming", [False, True])
def test_reading_ends_with_the_run_however_it_ends(streaming: bool) -> None:
    """A run that fails ends the iteration; the error is the caller's."""
    handler = cb.EventStreamHandler(streaming=streaming)
    with pytest.raises(Flaw):
        RunnableLambda(lambda x: x).pipe(talkative().model_copy(update={"fail_at": 0})).invoke("hi", {"callbacks": [handler]})
    assert names(handler)[:2] == ["on_chain_start", "on_chain_start"]
    assert handler.statistics().runs == 0


def test_roots_say_after_how_many_runs_reading_ends() -> None:
    """One by default; more if asked; none ends it but `finish`."""
    chain = RunnableLambda(lambda x: x, name="same")
    for roots, expected in ((1, 1), (2, 2), (None, 3)):
        handler = cb.EventStreamHandler(roots=roots)
        for n in range(3):
            chain.invoke(n, {"callbacks": [handler]})
        if roots is None:
            handler.finish()
        assert names(handler).count("on_chain_end") == expected


@pytest.mark.parametrize("extended", [False, True])
def test_an_error_given_to_finish_is_raised_to_the_reader(extended: bool) -> None:
    """Also where it ends the last root, with which the iteration would have ended well."""
    handler = cb.EventStreamHandler(extended=extended)
    handler.on_chain_start({}, {"x": 1}, run_id=uuid4(), name="by hand")
    error = LookupError("lost")
    handler.finish(error)
    with pytest.raises(LookupError) as raised:
        list(handler)
    assert raised.value is error
    assert handler.statistics().channel.received == 1 + extended


def test_a_roots_end_on_its_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last root may end while another thread is about to send the end of the one before: both are delivered."""
    handler = cb.EventStreamHandler(roots=2)
    slow, quick = uuid4(), uuid4()
    arrived, gate = threading.Event(), threading.Event()
    push = SendEnd.push

    def push_late(send: Any, event: Any) -> bool:
        if event["run_id"] == str(slow) and event["event"] == "on_chain_end":
            arrived.set()
            gate.wait()
        return push(send, event)

    monkeypatch.setattr(SendEnd, "push", push_late)
    for run_id in (slow, quick):
        handler.on_chain_start({}, {"x": 1}, run_id=run_id, name="by hand")
    thread = in_thread(lambda: handler.on_chain_end({"y": 2}, run_id=slow))
    arrived.wait()
    last = in_thread(lambda: handler.on_chain_end({"y": 2}, run_id=quick))
    last.join(1)  # it may wait for the other
    gate.set()
    thread.join()
    last.join()
    assert names(handler) == ["on_chain_start"] * 2 + ["on_chain_end"] * 2


@pytest.mark.parametrize("roots", [0, -1, 1.0, True, "all"])
def test_a_wrong_number_of_roots_is_refused(roots: Any) -> None:
    """The error names the value."""
    with pytest.raises(cb.CallbridgeError, match=repr(roots)):
        cb.EventStreamHandler(roots=roots)


def test_the_result_is_the_last_roots_output() -> None:
    """There is none before the end, and then it is what the root run has returned."""
    handler = cb.EventStreamHandler()
    with pytest.raises(cb.CallbridgeError, match="not started"):
        _ = handler.result
    RunnableLambda(lambda x: x + 1).invoke(1, {"callbacks": [handler]})
    assert handler.result == 2


def test_events_equal_those_of_a_handler_that_is_read_meanwhile() -> None:
    """Reading in another thread while the run goes on gives what reading afterwards gives."""
    read, kept = cb.EventStreamHandler(capacity=1), cb.EventStreamHandler()
    iter(read)
    runnable, value = by_name("tool_called_by_model").make()
    thread = in_thread(lambda: runnable.invoke(value, {"callbacks": [kept, read]}))
    events = list(read)
    thread.join()
    assert normalise(events) == normalise(list(kept))


# -- leaving before the end


@pytest.mark.anyio
async def test_a_run_whose_reader_breaks_off_inside_async_with_goes_on() -> None:
    """The end of the block closes the handler, and the run that waits for room is woken: it is not the handler's."""

    async def stream(handler: cb.EventStreamHandler) -> str:
        return "".join([word async for word in talkative().astream("hi", {"callbacks": [handler]})])

    async with cb.EventStreamHandler(capacity=2) as handler:
        run = asyncio.create_task(stream(handler))
        async for _ in handler:
            break
        await until(lambda: handler.statistics().channel.waiting_producers)
    assert await run == "".join(WORDS)
    assert handler.statistics().runs == 0
    with pytest.raises(cb.StreamConsumedError, match="closed"):
        aiter(handler)


def test_a_run_whose_reader_breaks_off_inside_with_goes_on() -> None:
    """The same for sync code and threads."""
    results: list[str] = []
    with cb.EventStreamHandler(capacity=2) as handler:
        iter(handler)
        thread = in_thread(lambda: results.extend(talkative().stream("hi", {"callbacks": [handler]})))
        for _ in handler:
            break
    thread.join()
    assert results == WORDS


def test_with_closes_when_an_error_passes_and_lets_it_pass() -> None:
    """An error in the loop is the user's own."""
    handler = cb.EventStreamHandler()
    with pytest.raises(ZeroDivisionError), handler:
        raise ZeroDivisionError
    with pytest.raises(cb.StreamConsumedError):
        iter(handler)


def test_reading_to_the_end_inside_with_loses_nothing() -> None:
    """Leaving what has ended does nothing, and the result stays."""
    with cb.EventStreamHandler() as handler:
        list(talkative().stream("hi", {"callbacks": [handler]}))
        assert names(handler) == ALL_EVENTS
    assert "generations" in handler.result


@dataclass
class Counted(cb.EventStreamHandler):
    """Dataclasses compare by value, so they have no hash."""

    count: int = 0

    def __post_init__(self) -> None:
        super().__init__(roots=1)


def test_a_subclass_without_a_hash_can_be_read() -> None:
    """What is remembered of readers is not asked for its value."""
    handler = Counted()
    talkative().invoke("hi", {"callbacks": [handler]})
    assert names(handler)[-1] == "on_llm_end"


# -- how it shows


def test_handlers_and_streams_show_what_they_are_doing() -> None:
    """State, capacity, what is buffered and how many runs are remembered."""
    handler = cb.EventStreamHandler(capacity=3)
    assert repr(handler) == "<EventStreamHandler new capacity=3 buffered=0 runs=0>"
    handler.on_llm_start({}, ["hi"], run_id=uuid4())
    next(iter(handler))
    assert repr(handler) == "<EventStreamHandler reading capacity=3 buffered=0 runs=1>"
    handler.close()
    assert repr(handler) == "<EventStreamHandler closed capacity=3 buffered=0 runs=0>"
    assert repr(cb.wrap_handler(Recorder())) == "<WrappedHandler of Recorder new capacity=256 buffered=0 runs=0>"
    stream = cb.stream_events(talkative(), "hi", capacity=4)
    assert repr(stream) == "<EventStream new capacity=4 buffered=0 runs=0>"
    list(stream)
    assert repr(stream) == "<EventStream ended capacity=4 buffered=0 runs=0>"
    assert repr(cb.astream_events(talkative(), "hi")) == "<AsyncEventStream new capacity=256 buffered=0 runs=0>"
    assert repr(cb.dispatch_events([], [])) == "<DispatchedEvents new events=0 runs=0>"
