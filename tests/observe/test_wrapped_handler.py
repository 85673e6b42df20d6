"""`wrap_handler`: the old handler's methods run as if it were attached alone, and the events come besides."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from calllogs import BY_TURNS, SAMPLE, attached_alone, comparable_calls, comparable_events, seen_by
from langchain_core.callbacks import BaseCallbackHandler, StdOutCallbackHandler, StreamingStdOutCallbackHandler
from langchain_core.globals import get_debug, set_debug
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langchain_core.tracers import ConsoleCallbackHandler, LangChainTracer
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

import callbridge as cb
from oracle import AsyncRecorder, Recorder, TextOnlyRecorder, arun_call, normalise, reference_handler, run_attached, run_call
from scenarios import SYNC, WARNINGS, Flaw, Mode, Scenario, by_name
from scenarios.legacy import llm_chain, old
from scenarios.models import StreamingLLM

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

Handlers = list[BaseCallbackHandler]

needs_legacy = pytest.mark.skipif(by_name("legacy_llm_chain").missing is not None, reason="needs a legacy package")


def call(mode: Mode, runnable: Any, value: Any, callbacks: Handlers) -> tuple[Any, BaseException | None]:
    config: dict[str, Any] = {"callbacks": callbacks}
    if mode in SYNC:
        return run_call(mode, runnable, value, config)
    return asyncio.run(arun_call(mode, runnable, value, config))


def sync_in_loop(runnable: Any, value: Any, callbacks: Handlers) -> tuple[Any, BaseException | None]:
    """A sync `invoke` that occupies the thread of a running loop."""

    async def occupy() -> Any:
        return run_call("invoke", runnable, value, {"callbacks": callbacks})

    return asyncio.run(occupy())


def calls_of(where: str) -> Callable[[Any, Any, Handlers], Any]:
    if where == "sync in a loop":
        return sync_in_loop
    return lambda runnable, value, callbacks: call(where, runnable, value, callbacks)  # type: ignore[arg-type]


def finished(handler: cb.EventStreamHandler) -> list[Any]:
    handler.finish()
    return list(handler)


# -- calls, over everything


@pytest.mark.parametrize(("scenario", "mode"), BY_TURNS)
def test_wrapped_handlers_get_the_calls_they_get_alone(scenario: Scenario, mode: Mode) -> None:
    """A sync and an async handler, wrapped, get the calls they get alone; both see the events of a plain stream handler."""
    recorders = Recorder(), AsyncRecorder()
    wrapped = [cb.wrap_handler(recorder, roots=None) for recorder in recorders]
    plain = cb.EventStreamHandler(roots=None)
    outcome = run_attached(scenario, mode, [*wrapped, plain])
    assert seen_by(scenario, recorders, outcome) == attached_alone(scenario, mode)
    expected = finished(plain)
    for handler in wrapped:
        events = finished(handler)
        assert events == expected or comparable_events(scenario, events) == comparable_events(scenario, expected)


@pytest.mark.parametrize("options", [{"run_inline": True}, {"raise_error": True}], ids=["inline", "raising"])
@pytest.mark.parametrize(("scenario", "mode"), SAMPLE)
def test_what_the_handler_asks_for_is_kept(scenario: Scenario, mode: Mode, options: dict[str, bool]) -> None:
    """The same for handlers that want to run inline, or to raise, in every mode."""
    alone = Recorder(**options), AsyncRecorder(**options)
    expected = run_attached(scenario, mode, [*alone])
    recorders = Recorder(**options), AsyncRecorder(**options)
    outcome = run_attached(scenario, mode, [cb.wrap_handler(recorder) for recorder in recorders])
    assert seen_by(scenario, recorders, outcome) == seen_by(scenario, alone, expected)


FLAGS = sorted(name for name in dir(BaseCallbackHandler) if name.startswith("ignore_"))


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize("kind", [Recorder, AsyncRecorder])
@pytest.mark.parametrize("flag", FLAGS)
def test_what_the_handler_ignores_stays_ignored(flag: str, kind: Any, mode: Mode) -> None:
    """A handler that ignores a family of callbacks gets none of them; the events are complete all the same."""
    ignoring = type("Ignoring", (kind,), {flag: True})
    scenario = by_name("tool_called_by_model")
    alone, recorder = ignoring(), ignoring()
    run_attached(scenario, mode, [alone])
    plain = cb.EventStreamHandler()
    wrapped = cb.wrap_handler(recorder)
    run_attached(scenario, mode, [wrapped, plain])
    assert comparable_calls(scenario, recorder.calls) == comparable_calls(scenario, alone.calls)
    assert finished(wrapped) == finished(plain)


class AsyncTextOnlyRecorder(AsyncRecorder):
    """An async handler without `on_chat_model_start`."""

    on_chat_model_start = BaseCallbackHandler.on_chat_model_start


class AwaitingTextOnlyRecorder(AsyncRecorder):
    """The same, found out only when it is awaited."""

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("where", ["invoke", "ainvoke", "sync in a loop"])
@pytest.mark.parametrize("kind", [TextOnlyRecorder, AsyncTextOnlyRecorder, AwaitingTextOnlyRecorder])
def test_handlers_without_chat_models_get_the_text(kind: Any, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that knows no chat models gets `on_llm_start` where LangChain does that, and the model is one in the events."""
    logs, messages = [], []
    wrapped = cb.wrap_handler(kind(), roots=None)
    plain = cb.EventStreamHandler(roots=None)
    for handlers in ([kind()], [wrapped, plain]):
        caplog.clear()
        calls_of(where)(*by_name("chat_with_prompt_and_parser").make(), handlers)
        messages.append(normalise(caplog.messages))
        logs.append(normalise(handlers[0].calls))  # the wrapped handler's, through the wrapper
    assert logs[1] == logs[0]
    assert messages[1] == messages[0]
    assert finished(wrapped) == finished(plain)


# -- threads, loops, contexts

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


class _Witness:
    """Notes where it is called: which thread, which loop, in which context."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.thread = threading.get_ident()
        self.loop: Any = None

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        loop = asyncio._get_running_loop()
        where = "no loop" if loop is None else "the run's loop" if loop is self.loop else "another loop"
        name = "the run's" if threading.get_ident() == self.thread else re.sub(r"\d+", "#", threading.current_thread().name)
        self.calls.append((method, (name, where, SEEN.get()), {}))  # type: ignore[attr-defined]
        SEEN.set(f"set in {method}")


class Witness(_Witness, Recorder):
    pass


class AsyncWitness(_Witness, AsyncRecorder):
    pass


def witnessed(handler: Any, attached: Handlers, where: str) -> Any:
    """Run a chain whose steps see what handlers have set; return what it saw, and what the handler saw."""

    def note_loop(x: Any) -> list[str]:
        handler.loop = handler.loop or asyncio._get_running_loop()
        return [SEEN.get()]

    async def anote_loop(x: Any) -> list[str]:
        return note_loop(x)

    async def run() -> Any:
        handler.loop = asyncio.get_running_loop()
        if where == "ainvoke":
            return await arun_call("ainvoke", chain, 1, {"callbacks": attached})
        return run_call("invoke", chain, 1, {"callbacks": attached})

    def outside() -> Any:
        SEEN.set("set outside")
        return run_call("invoke", chain, 1, {"callbacks": attached}) if where == "invoke" else asyncio.run(run())

    chain = RunnableLambda(note_loop, afunc=anote_loop) | RunnableLambda(lambda seen: [*seen, SEEN.get()])
    return copy_context().run(outside), handler.calls


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("kind", [Witness, AsyncWitness])
@pytest.mark.parametrize("where", ["invoke", "ainvoke", "sync in a loop"])
def test_threads_loops_and_contexts_are_the_same(where: str, kind: Any, inline: bool) -> None:
    """The handler runs in the thread, loop and context in which it runs alone, and the run sees what it sets there."""
    alone, handler = kind(run_inline=inline), kind(run_inline=inline)
    expected = witnessed(alone, [alone], where)
    assert witnessed(handler, [cb.wrap_handler(handler)], where) == expected
    assert len(alone.calls) == 6


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


@pytest.mark.parametrize("where", ["invoke", "sync in a loop", "ainvoke"])
def test_the_order_between_handlers_is_the_same(where: str) -> None:
    """Async handlers of a sync run come after all sync ones, wrapped or not; inline ones come in their order."""
    orders: list[list[str]] = []
    inline = where == "ainvoke"
    for wrap in (lambda handler: handler, cb.wrap_handler):
        order: list[str] = []
        kinds = (Noting, AsyncNoting, Noting, AsyncNoting)
        handlers = [kind(str(place), order, run_inline=inline) for place, kind in enumerate(kinds)]
        handlers[0], handlers[1] = wrap(handlers[0]), wrap(handlers[1])
        calls_of(where)(*by_name("chat_with_prompt_and_parser").make(), handlers)
        orders.append(order)
    assert orders[1] == orders[0]
    assert len(orders[0]) > 20


# -- errors


class _Failing:
    """Raises in one of its methods."""

    fails_in = ""

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._note(method, args, kwargs)  # type: ignore[misc]
        if method == self.fails_in:
            raise Flaw("the handler broke")


class Failing(_Failing, Recorder):
    pass


class AsyncFailing(_Failing, AsyncRecorder):
    pass


@pytest.mark.parametrize("where", ["invoke", "ainvoke", "sync in a loop"])
@pytest.mark.parametrize("fails_in", ["on_chain_start", "on_llm_end", "on_chain_end"])
@pytest.mark.parametrize("options", [{}, {"raise_error": True}, {"raise_error": True, "run_inline": True}], ids=str)
@pytest.mark.parametrize("kind", [Failing, AsyncFailing])
def test_errors_of_the_handler_are_treated_the_same(
    kind: Any, options: dict[str, bool], fails_in: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They reach the run, the log and the other handlers as they do without us: the same text, as often."""
    seen = []
    for wrap in (lambda handler: handler, cb.wrap_handler):
        caplog.clear()
        # In an async run a sync handler's thread races against the end of the run.
        failing, other = kind(fails_in=fails_in, **options), AsyncRecorder() if where == "ainvoke" else Recorder()
        outcome = calls_of(where)(*by_name("chat_with_prompt_and_parser").make(), [wrap(failing), other])
        messages = [record.getMessage() for record in caplog.records if record.name.startswith("langchain")]
        seen.append(normalise([failing.calls, other.calls, outcome, messages]))
    alone, wrapped = seen
    assert wrapped == alone
    assert alone[3]


def test_a_call_at_which_the_handler_fails_makes_its_event() -> None:
    """An error of the handler, raised or not, loses no event."""
    failing = Failing(fails_in="on_chain_end", raise_error=True)
    wrapped = cb.wrap_handler(failing, roots=None)
    _, error = call("invoke", *by_name("sequence_of_two").make(), [wrapped])
    assert isinstance(error, Flaw)
    assert [event["event"] for event in finished(wrapped)] == ["on_chain_start", "on_chain_start", "on_chain_end"]


# -- streaming handlers


@pytest.mark.parametrize("mode", ["stream", "astream", "invoke", "ainvoke"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_streaming_handler_goes_on_tapping(mode: Mode, streaming: bool) -> None:
    """A handler that taps gets the chunks it gets alone; ours come besides if asked for."""
    alone, expected = reference_handler()
    call(mode, *by_name("chat_with_prompt_and_parser").make(), [alone])
    handler, events = reference_handler()
    wrapped = cb.wrap_handler(handler, streaming=streaming)
    call(mode, *by_name("chat_with_prompt_and_parser").make(), [wrapped])
    assert normalise(events) == normalise(expected)
    ours = list(wrapped)
    assert (normalise(ours) == normalise(events)) is (streaming or "stream" not in mode)


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_wrapping_makes_no_model_stream(mode: Mode) -> None:
    """A model is switched to streaming by the wrapper of a handler that does that alone, and if asked."""
    for handler, streaming, streams in (
        (Recorder(), False, False),
        (Recorder(), True, True),
        (reference_handler()[0], False, True),
    ):
        other = Recorder()
        wrapped = cb.wrap_handler(handler, streaming=streaming)
        call(mode, *by_name("chat_root_text").make(), [wrapped, other])
        assert ("on_llm_new_token" in {method for method, _, _ in other.calls}) is streams


@pytest.mark.parametrize("mode", ["stream", "astream"])
def test_another_streaming_handler_gets_no_more_and_no_less(mode: Mode) -> None:
    """Behind a wrapped streaming handler, one of LangChain's is left out as behind that handler alone; ours is not."""
    seen = []
    for wrap in (lambda handler: handler, cb.wrap_handler):
        (first, first_events), (second, second_events) = reference_handler(), reference_handler()
        ours = cb.EventStreamHandler(streaming=True)
        call(mode, *by_name("chat_with_prompt_and_parser").make(), [wrap(first), second, ours])
        seen.append((normalise(first_events), normalise(second_events)))
    assert seen[1] == seen[0]
    assert normalise(list(ours)) == seen[1][0]


# -- LangChain's own handlers


def printed(output: str) -> str:
    """What a handler has printed, durations and colours aside."""
    return re.sub(r"\[\d+(\.\d+)?m?s\]", "[time]", re.sub(r"\x1b\[[\d;]*m", "", output))


@pytest.mark.parametrize("mode", ["invoke", "astream"])
@pytest.mark.parametrize("kind", [StdOutCallbackHandler, StreamingStdOutCallbackHandler, ConsoleCallbackHandler])
def test_handlers_that_print_print_the_same(kind: Any, mode: Mode, capsys: pytest.CaptureFixture[str]) -> None:
    """What LangChain's printing handlers print is the same when they are wrapped."""
    outputs = []
    for wrap in (lambda handler: handler, cb.wrap_handler):
        call(mode, *by_name("tool_called_by_model").make(), [wrap(kind())])
        outputs.append(normalise(printed(capsys.readouterr().out)))
    assert outputs[1] == outputs[0]


@needs_legacy
@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_a_verbose_chain_prints_once(mode: Mode, capsys: pytest.CaptureFixture[str]) -> None:
    """A verbose chain adds a printing handler unless it finds one, and takes the wrapper for the one it is."""
    outputs = []
    for wrap in (lambda handler: handler, cb.wrap_handler):
        chain = llm_chain(StreamingLLM(tokens=["a"]), verbose=True)
        call(mode, chain, {"topic": "tea"}, [wrap(StdOutCallbackHandler())])
        outputs.append(capsys.readouterr().out)
    assert outputs[1] == outputs[0]
    assert outputs[0].count("Finished chain") == 1


@pytest.fixture
def debug() -> Iterator[None]:
    was = get_debug()
    set_debug(True)
    yield
    set_debug(was)


@pytest.mark.usefixtures("debug")
def test_debugging_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for LangChain's debug mode and its tracer."""
    call("invoke", *by_name("sequence_of_two").make(), [cb.wrap_handler(ConsoleCallbackHandler())])
    assert capsys.readouterr().out.count("Entering Chain run with input") == 3


@pytest.mark.parametrize("mode", ["invoke", "astream"])
def test_a_collector_of_traces_collects_the_same(mode: Mode) -> None:
    """A tracer builds the same tree of runs, and has it where it had it."""
    traced = []
    for wrap in (lambda handler: handler, cb.wrap_handler):
        handler = wrap(RunCollectorCallbackHandler())
        call(mode, *by_name("tool_called_by_model").make(), [handler])
        (root,) = handler.traced_runs
        traced.append(_tree(root))
    assert traced[1] == traced[0]


def _tree(run: Any) -> Any:
    return run.name, run.run_type, normalise(run.inputs), normalise(run.outputs), [_tree(child) for child in run.child_runs]


@needs_legacy
@pytest.mark.anyio
async def test_the_async_iterator_handler_still_iterates() -> None:
    """The handler that everybody copied hands out its tokens; the wrapper is an iterator of events beside it."""
    wrapped = cb.wrap_handler(old("callbacks", "AsyncIteratorCallbackHandler")())
    runnable, value = by_name("llm_streaming_in_chain").make()
    task = asyncio.ensure_future(arun_call("astream", runnable, value, {"callbacks": [wrapped]}))
    tokens = [token async for token in wrapped.aiter()]
    await task
    assert tokens == ["green", " ", "tea"]
    assert [event["data"]["chunk"].text async for event in wrapped if event["event"] == "on_llm_stream"] == tokens


class QuietTracer(LangChainTracer):
    """A tracer that sends nothing anywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"client": object(), **options})
        self.started: list[str] = []

    def _start_trace(self, run: Any) -> None:
        self.run_map[str(run.id)] = run
        self.started.append(run.name)

    def _end_trace(self, run: Any) -> None:
        self.run_map.pop(str(run.id))

    def copy_with_metadata_defaults(self, **_: Any) -> QuietTracer:
        copied = QuietTracer(client=self.client)
        copied.run_map, copied.started = self.run_map, self.started
        return copied


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_a_tracer_that_langchain_copies_goes_on_reporting(mode: Mode) -> None:
    """LangChain replaces tracers by copies for runs with metadata; the copies report to the same reader."""
    runnable, value = by_name("sequence_of_two").make()
    tracer = QuietTracer()
    wrapped = cb.wrap_handler(tracer)
    runnable = RunnableBinding(bound=runnable, config={"metadata": {"a": 1}, "configurable": {"b": 2}})
    call(mode, runnable, value, [wrapped])
    events = finished(wrapped)
    assert len(events) == 6
    assert tracer.started == [event["name"] for event in events if event["event"] == "on_chain_start"]


def test_langgraphs_own_callbacks_reach_the_handler() -> None:
    """LangGraph tells interrupts to handlers of a class of its own, and takes the wrapper for one."""
    callbacks = pytest.importorskip("langgraph.callbacks")
    heard: list[str] = []

    class Listening(callbacks.GraphCallbackHandler):  # type: ignore[misc, name-defined]
        def on_interrupt(self, event: Any) -> None:
            heard.append(event.status)

    scenario = by_name("interrupt_in_node")
    wrapped = cb.wrap_handler(Listening())
    run_attached(scenario, "invoke", [wrapped])
    assert len(heard) == 1
    assert finished(wrapped)


# -- scopes


@pytest.mark.parametrize("kind", [Recorder, AsyncRecorder, TextOnlyRecorder])
@pytest.mark.parametrize("mode", ["invoke", "ainvoke", "astream"])
def test_at_several_scopes_the_events_come_once(mode: Mode, kind: Any) -> None:
    """A wrapped handler in two lists is called as often as it would be alone, and its events come once."""
    once, often, alone = cb.wrap_handler(kind()), cb.wrap_handler(kind()), kind()
    for handler, scopes in ((once, 1), (often, 3), (alone, 3)):
        runnable, value = by_name("chat_root_text").make()
        call(mode, RunnableBinding(bound=runnable, config={"callbacks": [handler] * (scopes - 1)}), value, [handler])
    assert normalise(often.calls) == normalise(alone.calls)
    assert normalise(list(often)) == normalise(list(once))


# -- standing for the handler


class Legacy(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.streaming = "yes"

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)

    def shout(self) -> str:
        return "".join(self.tokens).upper()


def test_attributes_are_the_handlers() -> None:
    """Attributes are read and set there, methods included; what a stream handler has is the wrapper's."""
    legacy = Legacy()
    wrapped: Any = cb.wrap_handler(legacy)
    wrapped.tokens = ["a", "b"]
    assert legacy.tokens == ["a", "b"]
    assert wrapped.shout() == "AB"
    wrapped.raise_error = True
    assert legacy.raise_error is True
    assert wrapped.raise_error is True
    assert (wrapped.streaming, legacy.streaming) == (False, "yes")
    assert wrapped.wrapped is legacy
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = wrapped.no_such_thing


def test_it_is_an_instance_of_both_classes() -> None:
    """`isinstance` finds the handler's class and ours."""
    wrapped = cb.wrap_handler(Legacy())
    assert isinstance(wrapped, Legacy)
    assert isinstance(wrapped, cb.EventStreamHandler)
    assert not isinstance(wrapped, Recorder)


def test_it_is_a_thing_of_its_own() -> None:
    """Copies are the wrapper itself; it is true, and found in lists by identity."""
    legacy = Legacy()
    wrapped = cb.wrap_handler(legacy)
    assert copy.copy(wrapped) is wrapped
    assert copy.deepcopy({"callbacks": [wrapped]})["callbacks"][0] is wrapped
    assert bool(wrapped)
    assert wrapped in [legacy, wrapped]
    assert wrapped not in [legacy]
    assert len({wrapped, legacy}) == 2


def test_calls_made_by_hand_reach_the_handler() -> None:
    """A caller that is not LangChain gets what the old handler's method gives, sync or async."""
    legacy = Legacy()
    wrapped = cb.wrap_handler(legacy)
    assert wrapped.on_llm_new_token("by hand", run_id=None) is None
    assert legacy.tokens == ["by hand"]
    recorder = AsyncRecorder()
    asyncio.run(cb.wrap_handler(recorder).on_text("by hand", run_id=None))
    assert recorder.calls == [("on_text", ("by hand",), {"run_id": None})]


@pytest.mark.parametrize("thing", [None, print, BaseCallbackHandler, object()])
def test_what_is_no_handler_is_refused(thing: Any) -> None:
    """Anything but a handler object is named in the error."""
    with pytest.raises(cb.CallbridgeError, match="handler"):
        cb.wrap_handler(thing)


def test_nothing_is_logged_without_need(caplog: pytest.LogCaptureFixture) -> None:
    """A run with a wrapped handler logs nothing at all."""
    caplog.set_level(logging.DEBUG, logger="langchain_core")
    wrapped = cb.wrap_handler(Recorder())
    call("ainvoke", *by_name("chat_with_prompt_and_parser").make(), [wrapped])
    assert not caplog.messages


# -- names that both have, and `with`


class Transcript(BaseCallbackHandler):
    """An old handler with a `text` of its own, and a context manager of both kinds."""

    def __init__(self) -> None:
        self.text = ""
        self.language = "en"
        self.log: list[str] = []

    def on_llm_start(self, *_: Any, **__: Any) -> None:
        self.text += "started"

    def __enter__(self) -> str:
        self.log.append("enter")
        return "of its own"

    def __exit__(self, *raised: object) -> bool:
        self.log.append(f"exit {raised[0]}")
        return raised[0] is KeyError

    async def __aenter__(self) -> str:
        self.log.append("aenter")
        return "of its own"

    async def __aexit__(self, *raised: object) -> bool:
        self.log.append(f"aexit {raised[0]}")
        return raised[0] is KeyError


def test_a_name_of_the_stream_cannot_be_set_and_the_old_handlers_own_is_at_wrapped() -> None:
    """What is read and what is written are the same, or there is an error that says where the other one is."""
    wrapped = cb.wrap_handler(Transcript())
    StreamingLLM(tokens=["a"]).invoke("hi", {"callbacks": [wrapped]})
    assert "".join(wrapped.text()) == "a"
    for name in ("text", "result", "finish", "close", "aclose", "statistics"):
        with pytest.raises(cb.WrappedNameError, match=f"'{name}'.*`wrapped.{name}`"):
            setattr(wrapped, name, "x")
    assert wrapped.wrapped.text == "started"
    wrapped.wrapped.text = ""
    assert wrapped.wrapped.text == ""


def test_other_names_are_read_and_set_on_the_old_handler() -> None:
    """Settings of any handler included."""
    wrapped = cb.wrap_handler(Transcript())
    wrapped.language = "de"
    wrapped.raise_error = True
    assert (wrapped.language, wrapped.wrapped.language) == ("de", "de")
    assert (wrapped.raise_error, wrapped.wrapped.raise_error) == (True, True)


def test_with_enters_the_old_handler_too() -> None:
    """`with MyHandler() as handler` goes on meaning what it meant, its way with errors included."""
    old_handler = Transcript()
    with cb.wrap_handler(old_handler) as wrapped:
        assert isinstance(wrapped, Transcript)
        assert wrapped.wrapped is old_handler
    with cb.wrap_handler(old_handler):
        raise KeyError
    with pytest.raises(ZeroDivisionError), cb.wrap_handler(old_handler):
        raise ZeroDivisionError
    ends = ["exit None", f"exit {KeyError}", f"exit {ZeroDivisionError}"]
    assert old_handler.log == [entry for end in ends for entry in ("enter", end)]
    with pytest.raises(cb.StreamConsumedError):
        iter(wrapped)


@pytest.mark.anyio
async def test_async_with_enters_the_old_handler_too() -> None:
    """The same for `async with`. An old handler that is not a context manager is left alone."""
    old_handler = Transcript()
    async with cb.wrap_handler(old_handler):
        raise KeyError
    assert old_handler.log == ["aenter", f"aexit {KeyError}"]
    async with cb.wrap_handler(Recorder()) as wrapped:
        assert wrapped.statistics().runs == 0
    with pytest.raises(cb.StreamConsumedError):
        aiter(wrapped)
