"""Events pushed into a dispatcher: who is called, where, in what order, and what becomes of errors."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessageChunk

from callbridge.dispatch.dispatcher import CallbackDispatcher
from callbridge.errors import ArgumentError, ChannelClosedError, EventFormatError, HandlerTypeError, RunUnfinishedError
from made_events import Run, chat_run
from oracle import AsyncRecorder, Recorder, TextOnlyRecorder

EVENTS = chat_run("green ", "tea")
METHODS = [
    "on_chain_start",
    "on_chat_model_start",
    "on_llm_new_token",
    "on_llm_new_token",
    "on_llm_end",
    "on_chain_end",
]

variable: ContextVar[int] = ContextVar("variable", default=0)


def methods(recorder: Any) -> list[str]:
    return [call[0] for call in recorder.calls]


def feed_sync(dispatcher: CallbackDispatcher, events: list[dict[str, Any]]) -> None:
    for event in events:
        dispatcher.feed(event)


def feed_async(dispatcher: CallbackDispatcher, events: list[dict[str, Any]]) -> None:
    async def feed() -> None:
        for event in events:
            await dispatcher.afeed(event)

    asyncio.run(feed())


each_feed = pytest.mark.parametrize("feed", [feed_sync, feed_async])
each_sync_handlers = pytest.mark.parametrize("sync_handlers", ["inline", "thread"])
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
Feed = Callable[[CallbackDispatcher, list[dict[str, Any]]], None]

# -- who is called ----------------------------------------------------------------------------------------------------


@each_feed
@each_sync_handlers
@pytest.mark.parametrize("recorder", [Recorder, AsyncRecorder])
def test_handlers_are_called_with_what_the_events_tell(feed: Feed, sync_handlers: Any, recorder: Any) -> None:
    """Sync and async handlers, from sync code and from a task, wherever sync methods run."""
    one = recorder()
    with CallbackDispatcher(one, sync_handlers=sync_handlers) as dispatcher:
        feed(dispatcher, EVENTS)
        assert methods(one) == METHODS
        assert one.calls[2][1] == ("green ",)
        assert dispatcher.output == "green tea"
    assert methods(one) == METHODS


def test_a_handler_given_twice_is_called_once() -> None:
    """Handlers are told apart by identity."""
    one = Recorder()
    feed_sync(CallbackDispatcher([one, one]), EVENTS)
    assert methods(one) == METHODS


@each_feed
def test_handlers_without_a_chat_models_start_get_that_of_a_completion_model(feed: Feed) -> None:
    """With the messages as text, sync and async handlers alike."""

    class AsyncTextOnly(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.prompts: list[Any] = []

        async def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
            self.prompts.append(prompts)

    class Refuses(AsyncTextOnly):
        async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            raise NotImplementedError

    model = Run("chat_model")
    handlers = [TextOnlyRecorder(), AsyncTextOnly(), Refuses()]
    with CallbackDispatcher(handlers) as dispatcher:
        feed(dispatcher, [model.start(input=[("human", "hi"), ("ai", "yes?")]), model.end("a")])
    assert methods(handlers[0]) == ["on_llm_start", "on_llm_end"]
    assert handlers[0].calls[0][1][1] == ["Human: hi\nAI: yes?"]
    assert handlers[1].prompts == handlers[2].prompts == [["Human: hi\nAI: yes?"]]


@pytest.mark.parametrize(("flag", "called"), [("ignore_llm", []), ("ignore_chat_model", [])])
def test_flags_hold_for_the_fallback_too(flag: str, called: list[str]) -> None:
    """Both that of the call and that of the one it becomes."""

    class Old(BaseCallbackHandler):
        def __init__(self) -> None:
            self.calls: list[str] = []

        def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            self.calls.append("on_llm_start")

    handler = type("Flagged", (Old,), {flag: True})()
    feed_sync(CallbackDispatcher(handler), EVENTS)
    assert handler.calls == called


def test_methods_are_looked_up_at_each_call() -> None:
    """A handler that changes its mind is heard."""
    seen: list[str] = []

    class Changing(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            seen.append(token)
            self.on_llm_new_token = lambda token, **kwargs: seen.append(token.upper())  # type: ignore[method-assign]

    feed_sync(CallbackDispatcher(Changing()), EVENTS)
    assert seen == ["green ", "TEA"]


def decorated(method: Any) -> Any:
    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return wrapper


class CallableObject:
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    async def __call__(self, token: str, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.seen.append(token)


async def note(seen: list[str], token: str, **kwargs: Any) -> None:
    await asyncio.sleep(0)
    seen.append(token)


@each_feed
@each_sync_handlers
@pytest.mark.parametrize(
    "make",
    [
        lambda seen: functools.partial(note, seen),
        lambda seen: decorated(functools.partial(note, seen)),
        CallableObject,
        lambda seen: lambda token, **kwargs: note(seen, token),
    ],
    ids=["partial", "decorated", "object", "lambda"],
)
def test_whatever_can_be_awaited_is(feed: Feed, sync_handlers: Any, make: Any) -> None:
    """A method need not look like a coroutine function to be one."""
    seen: list[str] = []
    handler = BaseCallbackHandler()
    handler.on_llm_new_token = make(seen)
    with CallbackDispatcher(handler, sync_handlers=sync_handlers) as dispatcher:
        feed(dispatcher, EVENTS)
    assert seen == ["green ", "tea"]


# -- where and in what order ------------------------------------------------------------------------------------------


class Places(BaseCallbackHandler):
    """Notes thread and context of each call."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.values: list[int] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.threads.append(threading.get_ident())
        self.values.append(variable.get())
        variable.set(variable.get() + 1)


class AsyncPlaces(AsyncCallbackHandler, Places):
    """The same, async, with the loop for the thread."""

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:  # type: ignore[override]
        self.threads.append(id(asyncio.get_running_loop()))
        Places.on_llm_new_token(self, token, **kwargs)


@each_feed
def test_sync_methods_run_in_the_readers_thread_and_in_the_context_of_their_run(feed: Feed) -> None:
    """What a handler sets it finds again, and nobody else does; the reader's variables are there to begin with."""
    places = Places()
    token = variable.set(5)
    try:
        feed(CallbackDispatcher(places), EVENTS)
        assert variable.get() == 5
    finally:
        variable.reset(token)
    assert places.values == [5, 6]
    assert set(places.threads) == {threading.get_ident()}


@each_feed
def test_sync_methods_run_in_one_thread_of_their_own_on_request(feed: Feed) -> None:
    """Always the same one; it ends with the dispatcher."""
    places = Places()
    before = threading.active_count()
    with CallbackDispatcher([places], sync_handlers="thread") as dispatcher:
        feed(dispatcher, EVENTS)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert places.values == [0, 1]
    assert len(set(places.threads)) == 1
    assert places.threads[0] != threading.get_ident()


def test_coroutine_methods_run_in_the_readers_loop_and_task() -> None:
    """So their futures, locks and sessions are of that loop."""
    places = AsyncPlaces()

    async def read() -> int:
        dispatcher = CallbackDispatcher(places)
        for event in EVENTS:
            await dispatcher.afeed(event)
        return id(asyncio.get_running_loop())

    loop = asyncio.run(read())
    assert places.threads[0::2] == [loop] * 2
    assert places.values == [0, 1]


def test_coroutine_methods_fed_from_sync_code_share_one_loop() -> None:
    """LangChain makes a new loop for each callback."""
    places = AsyncPlaces()
    before = threading.active_count()
    with CallbackDispatcher(places) as dispatcher:
        feed_sync(dispatcher, EVENTS)
    assert threading.active_count() == before
    assert len(set(places.threads[0::2])) == 1
    assert places.values == [0, 1]


def test_sync_code_inside_a_running_loop_may_feed_coroutine_methods() -> None:
    """As in a notebook: the loop waits, and nothing deadlocks."""
    one = AsyncRecorder()

    async def cell() -> None:
        with CallbackDispatcher(one) as dispatcher:
            feed_sync(dispatcher, EVENTS)

    asyncio.run(cell())
    assert methods(one) == METHODS


@both_backends
@pytest.mark.anyio
@each_sync_handlers
async def test_each_handler_sees_the_events_in_their_order(anyio_backend: str, sync_handlers: Any) -> None:
    """A slow handler makes the next event wait, also for several tasks that feed; asyncio and trio."""
    log: list[tuple[str, Any]] = []

    class Slow(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("slow begins", data))
            await anyio.lowlevel.checkpoint()
            log.append(("slow ends", data))

    class Quick(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("quick", data))

    dispatcher = CallbackDispatcher([Slow(), Quick()], sync_handlers=sync_handlers)
    async with dispatcher, anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(dispatcher.afeed, Run().event("on_custom_event", number))
    fed = [data for what, data in log if what == "quick"]
    assert sorted(fed) == list(range(5))
    assert log == [(what, data) for data in fed for what in ("slow begins", "slow ends", "quick")]


def test_threads_take_turns() -> None:
    """Events fed at once from several threads are delivered one at a time, and none is lost."""
    free: list[bool] = []

    class Asking(BaseCallbackHandler):
        def on_custom_event(self, *args: Any, **kwargs: Any) -> None:
            free.append(dispatcher._turn.acquire(blocking=False))

    dispatcher = CallbackDispatcher(Asking())
    barrier = threading.Barrier(4)

    def feed() -> None:
        barrier.wait()
        for _ in range(50):
            dispatcher.feed(Run().event("on_custom_event", 1))

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert free == [False] * 200


@each_feed
def test_the_fallback_comes_before_the_next_handler(feed: Feed) -> None:
    """Handlers are called in the order in which they were given."""
    log: list[str] = []

    class Old(BaseCallbackHandler):
        def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            log.append("old")

    class New(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            log.append("new")

    feed(CallbackDispatcher([New(), Old(), New(), Old()]), EVENTS)
    assert log == ["new", "old", "new", "old"]


def feeding(dispatcher_of: Any, log: list[Any]) -> list[BaseCallbackHandler]:
    """A handler that feeds a second event when it gets the first one, and one that just listens; both note the order."""

    class Feeds(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("feeds", data))
            if data == 1:
                dispatcher_of().feed(Run().event("on_custom_event", 2))
                log.append(("fed", data))

    class AsyncFeeds(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            log.append(("async", data))
            if data == 1:
                await dispatcher_of().afeed(Run().event("on_custom_event", 3))
                log.append(("async fed", data))

    return [Feeds(), AsyncFeeds()]


@each_feed
@each_sync_handlers
def test_a_handler_may_feed_the_dispatcher_that_calls_it(feed: Feed, sync_handlers: Any) -> None:
    """The event is delivered after the one being delivered, to all handlers, without a deadlock."""
    log: list[Any] = []
    handlers = feeding(lambda: dispatcher, log)
    with CallbackDispatcher(handlers, sync_handlers=sync_handlers) as dispatcher:
        feed(dispatcher, [Run().event("on_custom_event", 1)])
    assert log[:4] == [("feeds", 1), ("fed", 1), ("async", 1), ("async fed", 1)]
    assert log[4:] == [("feeds", 2), ("async", 2), ("feeds", 3), ("async", 3)]


@each_feed
@each_sync_handlers
def test_a_handler_may_close_the_dispatcher_that_calls_it(feed: Feed, sync_handlers: Any) -> None:
    """What is open is closed after the event being delivered, and no thread stays behind."""

    class Closes(Recorder):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            dispatcher.close()

    closes, other = Closes(), AsyncRecorder()
    dispatcher = CallbackDispatcher([closes, other], sync_handlers=sync_handlers)
    before = threading.active_count()
    feed(dispatcher, EVENTS[:2])
    assert methods(other) == ["on_chain_start", "on_chat_model_start", "on_llm_error", "on_chain_error"]
    assert methods(closes) == ["on_chain_start", "on_llm_error", "on_chain_error"]
    assert threading.active_count() <= before


# -- errors of handlers -----------------------------------------------------------------------------------------------


def failing(error: BaseException, *, raise_error: bool = False) -> type[BaseCallbackHandler]:
    class Failing(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            raise error

    Failing.raise_error = raise_error
    return Failing


def failing_async(error: BaseException, *, raise_error: bool = False) -> type[BaseCallbackHandler]:
    class Failing(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            raise error

    Failing.raise_error = raise_error
    return Failing


each_failing = pytest.mark.parametrize("make", [failing, failing_async])


@each_feed
@each_sync_handlers
@each_failing
def test_a_failing_handler_is_logged_and_the_others_are_called(
    feed: Feed, sync_handlers: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The line names the handler, the callback, the run and the error."""
    other = Recorder()
    with CallbackDispatcher([make(ValueError("no tea"))(), other], sync_handlers=sync_handlers) as dispatcher:
        feed(dispatcher, EVENTS)
    assert methods(other) == METHODS
    assert dispatcher.statistics().errors == 2
    model = EVENTS[1]["run_id"]
    line = f"Error in Failing.on_llm_new_token callback of run {model}: ValueError('no tea')"
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        ("callbridge.dispatch", logging.WARNING, line)
    ] * 2


@each_feed
@each_sync_handlers
@each_failing
def test_raise_error_raises_after_all_handlers_were_called(feed: Feed, sync_handlers: Any, make: Any) -> None:
    """The first error, the very one; in all combinations of sync and async."""
    first, second, other = ValueError("first"), ValueError("second"), Recorder()
    handlers = [make(first, raise_error=True)(), make(second, raise_error=True)(), other]
    with CallbackDispatcher(handlers, sync_handlers=sync_handlers) as dispatcher:
        with pytest.raises(ValueError, match="first") as raised:
            feed(dispatcher, EVENTS[:3])
        assert raised.value is first
        assert methods(other) == METHODS[:3]
        with pytest.raises(ValueError, match="first"):
            feed(dispatcher, EVENTS[3:4])
        feed(dispatcher, EVENTS[4:])
    assert methods(other) == METHODS


@each_feed
def test_what_is_not_implemented_is_never_raised(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    """LangChain takes it for a callback that the handler does not want, whatever `raise_error` says; but it is logged."""
    with CallbackDispatcher(failing(NotImplementedError("later"), raise_error=True)()) as dispatcher:
        feed(dispatcher, EVENTS)
    assert len(caplog.records) == 2


@each_feed
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_is_no_exception_is_raised_at_once(feed: Feed, error: BaseException) -> None:
    """What was still to be delivered comes with the next event."""
    other = Recorder()
    dispatcher = CallbackDispatcher([failing(error)(), other])
    with pytest.raises(type(error)):
        feed(dispatcher, EVENTS[:3])
    assert methods(other) == METHODS[:2]
    assert dispatcher.statistics().waiting == 1
    dispatcher.feed(EVENTS[4])
    assert methods(other) == [*METHODS[:3], METHODS[4]]


def test_a_hook_hears_of_each_error() -> None:
    """With the handler, the call and the error; the log has it all the same."""
    heard: list[Any] = []
    error = ValueError("no tea")
    handler = failing(error)()
    feed_sync(CallbackDispatcher(handler, on_handler_error=lambda *told: heard.append(told)), EVENTS[:3])
    ((who, call, what),) = heard
    assert (who, call.method, call.run_id, what) == (handler, "on_llm_new_token", UUID(EVENTS[1]["run_id"]), error)


def test_a_hook_that_raises_is_heard() -> None:
    """After all handlers were called."""
    other = Recorder()

    def hook(*_: Any) -> None:
        raise RuntimeError("stop here")

    dispatcher = CallbackDispatcher([failing(ValueError())(), other], on_handler_error=hook)
    with pytest.raises(RuntimeError, match="stop here"):
        feed_sync(dispatcher, EVENTS[:3])
    assert methods(other) == METHODS[:3]


# -- failing and closing ----------------------------------------------------------------------------------------------


def test_failing_closes_open_runs_innermost_first() -> None:
    """With the very error, which is not raised; runs that come afterwards are runs like others."""
    one = Recorder()
    dispatcher = CallbackDispatcher(one)
    feed_sync(dispatcher, EVENTS[:3])
    error = ValueError("the stream broke")
    dispatcher.fail(error)
    assert methods(one)[3:] == ["on_llm_error", "on_chain_error"]
    assert one.calls[-1][1][0] is one.calls[-2][1][0] is error
    assert dispatcher.statistics().open_runs == 0
    feed_sync(dispatcher, EVENTS)
    assert methods(one)[5:] == METHODS


@both_backends
@pytest.mark.anyio
async def test_the_same_from_a_task(anyio_backend: str) -> None:
    """`afail` and `aclose`, on asyncio and trio; sync methods alone here, for LangChain's async API is asyncio's."""
    one = Recorder()
    dispatcher = CallbackDispatcher(one)
    for event in EVENTS[:3]:
        await dispatcher.afeed(event)
    await dispatcher.afail(ValueError())
    await dispatcher.afeed(EVENTS[0])
    await dispatcher.aclose()
    assert methods(one)[3:] == ["on_llm_error", "on_chain_error", "on_chain_start", "on_chain_error"]


def test_closing_says_which_run_was_not_finished() -> None:
    """Closing again does nothing, and nothing can be fed."""
    one = Recorder()
    dispatcher = CallbackDispatcher(one)
    feed_sync(dispatcher, EVENTS[:1])
    dispatcher.close()
    dispatcher.close()
    assert methods(one) == ["on_chain_start", "on_chain_error"]
    assert isinstance(one.calls[1][1][0], RunUnfinishedError)
    with pytest.raises(ChannelClosedError):
        dispatcher.feed(EVENTS[0])


def test_leaving_with_an_error_gives_it_to_open_runs() -> None:
    """And raises it, also if a handler fails while it hears of it."""
    one = Recorder()

    class Failing(BaseCallbackHandler):
        raise_error = True

        def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            raise RuntimeError("in the handler")

    error = ValueError("no tea")

    def leave() -> None:
        with CallbackDispatcher([Failing(), one]) as dispatcher:
            dispatcher.feed(EVENTS[0])
            raise error

    with pytest.raises(ValueError, match="no tea") as raised:
        leave()
    assert raised.value is error
    assert one.calls[-1][1][0] is error
    with pytest.raises(RuntimeError, match="in the handler"), CallbackDispatcher(Failing()) as dispatcher:
        dispatcher.feed(EVENTS[0])


@pytest.mark.anyio
async def test_leaving_an_async_context_closes_inside_a_cancelled_scope() -> None:
    """AnyIO's level cancellation would cancel every await of the cleanup."""
    one = AsyncRecorder()

    class Waiting(AsyncCallbackHandler):
        async def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            await anyio.lowlevel.checkpoint()
            done.append(error)

    done: list[BaseException] = []
    with anyio.CancelScope() as scope:
        async with CallbackDispatcher([Waiting(), one]) as dispatcher:
            await dispatcher.afeed(EVENTS[0])
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert isinstance(done[0], asyncio.CancelledError)
    assert methods(one) == ["on_chain_start", "on_chain_error"]


@pytest.mark.anyio
async def test_a_cancelled_feed_cancels_the_handler_and_loses_nothing_for_the_others() -> None:
    """They hear of the event before they hear of the next."""
    log: list[str] = []

    class Hanging(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

    one = Recorder()
    dispatcher = CallbackDispatcher([Hanging(), one])
    async with anyio.create_task_group() as group:
        group.start_soon(dispatcher.afeed, EVENTS[0])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert (log, methods(one)) == (["cancelled"], [])
    await dispatcher.aclose()
    assert methods(one) == ["on_chain_start", "on_chain_error"]
    assert dispatcher.statistics().waiting == 0


@pytest.mark.parametrize("sync_handlers", ["inline", "thread"])
def test_a_dropped_dispatcher_leaves_no_thread(sync_handlers: Any) -> None:
    """Its own thread ends when the dispatcher is collected."""
    dispatcher = CallbackDispatcher([AsyncRecorder(), Recorder()], sync_handlers=sync_handlers)
    feed_sync(dispatcher, EVENTS)
    thread = dispatcher._loop._thread if dispatcher._loop is not None else None
    del dispatcher
    gc.collect()
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_no_thread_is_started_that_is_not_needed() -> None:
    """Sync handlers run where they are fed."""
    before = threading.active_count()
    dispatcher = CallbackDispatcher(Recorder())
    feed_sync(dispatcher, EVENTS)
    assert threading.active_count() == before


# -- bad input and figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"handlers": None}, HandlerTypeError),
        ({"handlers": [print]}, HandlerTypeError),
        ({"handlers": [], "sync_handlers": "pool"}, ArgumentError),
        ({"handlers": [], "on_handler_error": 5}, ArgumentError),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], error: type[ArgumentError]) -> None:
    """Each error says which, what came and what is allowed."""
    with pytest.raises(error) as raised:
        CallbackDispatcher(**options)
    assert raised.value.name in options


@each_feed
def test_a_bad_event_is_raised_and_the_next_one_delivered(feed: Feed) -> None:
    """Nothing has changed."""
    one = Recorder()
    dispatcher = CallbackDispatcher(one)
    feed(dispatcher, EVENTS[:1])
    with pytest.raises(EventFormatError):
        feed(dispatcher, [{"event": "on_tea"}])
    feed(dispatcher, EVENTS[1:])
    assert methods(one) == METHODS


def test_statistics_count_what_happened() -> None:
    """Events, calls and open runs."""
    dispatcher = CallbackDispatcher([Recorder(), failing(ValueError())()])
    feed_sync(dispatcher, EVENTS[:3])
    statistics = dispatcher.statistics()
    assert (statistics.events, statistics.calls, statistics.errors) == (3, 4, 1)
    assert (statistics.open_runs, statistics.waiting) == (2, 0)


def test_there_is_no_output_without_a_root_that_ended() -> None:
    """None then."""
    dispatcher = CallbackDispatcher([])
    feed_sync(dispatcher, EVENTS[:-1])
    assert dispatcher.output is None


def test_list_tokens_can_be_asked_for() -> None:
    """As LangChain hands them out."""
    model, blocks = Run("chat_model"), [{"type": "text", "text": "tea"}]
    as_text, as_list = Recorder(), Recorder()
    feed_sync(CallbackDispatcher(as_text), [model.start(input="x"), model.stream(AIMessageChunk(content=blocks))])
    feed_sync(
        CallbackDispatcher(as_list, list_tokens=True), [model.start(input="x"), model.stream(AIMessageChunk(content=blocks))]
    )
    assert (as_text.calls[1][1], as_list.calls[1][1]) == (("tea",), (blocks,))
