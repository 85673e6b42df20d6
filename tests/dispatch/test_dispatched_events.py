"""Sources of events, passed on while handlers are called: how it ends, and which handlers are left out."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    FileCallbackHandler,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
)
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_core.tracers.stdout import ConsoleCallbackHandler

from callbridge import DuplicateHandlerWarning, adispatch_events, adrive, dispatch_events, drive
from callbridge.errors import (
    ArgumentError,
    ConcurrentReadError,
    EventFormatError,
    EventSequenceError,
    HandlerTypeError,
    RunUnfinishedError,
    StreamConsumedError,
)
from made_events import Run, chat_run
from oracle import AsyncRecorder, Recorder

EVENTS = chat_run("green ", "tea")
METHODS = ["on_chain_start", "on_chat_model_start", "on_llm_new_token", "on_llm_new_token", "on_llm_end", "on_chain_end"]
OPEN = 3
"""Events after which both runs of `EVENTS` are open."""
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def methods(recorder: Any) -> list[str]:
    return [call[0] for call in recorder.calls]


def errors(recorder: Any) -> list[BaseException]:
    return [call[1][0] for call in recorder.calls if call[0].endswith("_error")]


class Source:
    """An iterator of events, sync and async, that notes when it is closed."""

    def __init__(self, events: list[dict[str, Any]], error: BaseException | None = None) -> None:
        self._events = iter(events)
        self._error = error
        self.closed = 0

    def _next(self, stop: type[Exception]) -> dict[str, Any]:
        for event in self._events:
            return event
        raise self._error or stop

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        return self._next(StopIteration)

    def close(self) -> None:
        self.closed += 1


class AsyncSource(Source):
    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return self._next(StopAsyncIteration)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed += 1


async def generated(events: list[dict[str, Any]], log: list[str]) -> AsyncIterator[dict[str, Any]]:
    try:
        for event in events:
            yield event
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        log.append("source closed")


def chain(*tokens: str) -> Runnable[Any, Any]:
    model = GenericFakeChatModel(messages=iter([AIMessage(content="".join(tokens or ("green tea",)))]))
    return ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()


async def live(runnable: Runnable[Any, Any], value: Any, **config: Any) -> list[Any]:
    return [event async for event in runnable.astream_events(value, config, version="v2")]


# -- passing through --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [list, tuple, iter, lambda events: (event for event in events), Source])
def test_events_are_passed_on_after_the_handlers_were_called(source: Any) -> None:
    """From any iterable: the very events, each when its handlers have returned."""
    one = Recorder()
    seen = []
    dispatched = dispatch_events(source(EVENTS), [one])
    for event in dispatched:
        seen.append(event)
        assert methods(one) == METHODS[: len(seen)]
    assert all(came is was for came, was in zip(seen, EVENTS, strict=True))
    assert dispatched.output == "green tea"
    assert dispatched.statistics().events == len(EVENTS)


@both_backends
@pytest.mark.anyio
@pytest.mark.parametrize("source", [AsyncSource, list, lambda events: (event for event in events)])
async def test_events_of_an_async_loop_come_from_either_kind_of_source(anyio_backend: str, source: Any) -> None:
    """On asyncio and trio."""
    one = Recorder()
    dispatched = adispatch_events(source(EVENTS), one)
    assert [event async for event in dispatched] == EVENTS
    assert methods(one) == METHODS
    assert dispatched.output == "green tea"


@pytest.mark.blocks("test_driving_returns_the_roots_output")  # the sync call does
@pytest.mark.anyio
async def test_driving_returns_the_roots_output() -> None:
    """From recorded and live events, sync and async handlers."""
    recorders: list[Any] = [Recorder(), AsyncRecorder()]
    assert drive(EVENTS, recorders) == "green tea"
    assert await adrive(EVENTS, recorders) == "green tea"
    assert await adrive(chain().astream_events({"q": "hi"}, version="v2"), recorders) == "green tea"
    assert methods(recorders[0]) == methods(recorders[1])
    assert drive([], recorders) is None


@pytest.mark.anyio
async def test_other_tasks_run_while_a_long_recording_is_read() -> None:
    """A list never waits, so the loop pauses by itself."""
    events = [Run().event("on_custom_event", 1)] * 500
    turns = 0
    reading = True

    async def other() -> None:
        nonlocal turns
        while reading:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await adrive(events, [])
        reading = False
    assert turns > 1


def test_events_that_were_json_on_their_way_call_handlers_with_objects() -> None:
    """Recorded by `dumpd` or `model_dump`, read from a file."""

    def dumped(value: Any) -> Any:
        return value.model_dump() if hasattr(value, "model_dump") else str(value)

    events = asyncio.run(live(chain("green tea"), {"q": "hi"}))
    direct, first, second = Recorder(), Recorder(), Recorder()
    drive(events, direct)
    drive([json.loads(json.dumps(event, default=dumpd)) for event in events], first)
    drive([json.loads(json.dumps(event, default=dumped)) for event in events], second)
    for recorder in (first, second):
        assert methods(recorder) == methods(direct)
        for (method, args, kwargs), (_, expected, keywords) in zip(recorder.calls, direct.calls, strict=True):
            assert kwargs["run_id"] == keywords["run_id"]
            if "llm" in method or "chat" in method:
                assert args == expected
                assert kwargs == keywords


# -- endings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no tea"), KeyboardInterrupt()])
def test_an_error_of_the_source_closes_open_runs_and_goes_on(error: BaseException) -> None:
    """The very error, to handlers innermost first and to the reader."""
    one = Recorder()
    source = Source(EVENTS[:OPEN], error)
    with pytest.raises(type(error)) as raised:
        drive(source, one)
    assert raised.value is error
    assert methods(one)[OPEN:] == ["on_llm_error", "on_chain_error"]
    assert all(told is error for told in errors(one))


@both_backends
@pytest.mark.anyio
async def test_an_error_of_an_async_source_does_the_same(anyio_backend: str) -> None:
    """On asyncio and trio."""
    one, error = Recorder(), ValueError("no tea")
    source = AsyncSource(EVENTS[:OPEN], error)
    dispatched = adispatch_events(source, one)
    with pytest.raises(ValueError, match="no tea") as raised:
        async for _ in dispatched:
            pass
    assert raised.value is error
    assert [told is error for told in errors(one)] == [True, True]
    with pytest.raises(StreamConsumedError):
        aiter(dispatched)


@pytest.mark.anyio
async def test_a_failing_run_reaches_handlers_as_it_does_directly() -> None:
    """A live one: same callbacks, same error."""

    def fail(value: Any) -> Any:
        raise ValueError("no tea")

    runnable = RunnableLambda(lambda x: x) | RunnableLambda(fail)
    direct, driven = Recorder(), Recorder()
    with pytest.raises(ValueError, match="no tea"):
        await adrive(runnable.astream_events(1, {"callbacks": [direct]}, version="v2"), driven)
    assert methods(driven) == methods(direct)
    assert all(error is other for error, other in zip(errors(driven), errors(direct), strict=True))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (5, EventFormatError),
        ({"event": "on_tea"}, EventFormatError),
        (Run().stream("a"), EventSequenceError),
    ],
)
def test_bad_events_end_the_stream_with_a_clear_error(bad: Any, error: type[Exception]) -> None:
    """What is open is closed with it, and the source is closed."""
    one = Recorder()
    source = Source([*EVENTS[:OPEN], bad])
    with pytest.raises(error) as raised:
        drive(source, one)
    assert all(told is raised.value for told in errors(one))
    assert (len(errors(one)), source.closed) == (2, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_handler_with_raise_error_ends_the_stream(asynchronous: bool) -> None:
    """All handlers get the event first; what is open is closed with its error, as in the run itself."""

    class Guard(BaseCallbackHandler):
        raise_error = True

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            if token == "tea":
                raise ValueError("not allowed")

        def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            raise RuntimeError("and a second one, which must not hide the first")

    one, log = Recorder(), []
    handlers = [Guard(), one]
    read = adrive(generated(EVENTS, log), handlers) if asynchronous else anyio.to_thread.run_sync(drive, EVENTS, handlers)
    with pytest.raises(ValueError, match="not allowed") as raised:
        await read
    assert methods(one) == [*METHODS[:4], "on_llm_error", "on_chain_error"]
    assert all(told is raised.value for told in errors(one))
    assert log == (["source closed"] if asynchronous else [])


def test_runs_that_the_source_left_open_are_closed_at_its_end() -> None:
    """A recording that was cut."""
    one = Recorder()
    assert drive(EVENTS[:OPEN], one) is None
    assert methods(one)[OPEN:] == ["on_llm_error", "on_chain_error"]
    assert all(isinstance(error, RunUnfinishedError) for error in errors(one))


def leave_by_close(dispatched: Any) -> None:
    dispatched.close()
    dispatched.close()


def leave_by_with(dispatched: Any) -> None:
    with dispatched:
        pass


@pytest.mark.parametrize("at", range(len(EVENTS)))
@pytest.mark.parametrize("leave", [leave_by_close, leave_by_with])
def test_leaving_closes_the_source_and_then_the_runs(leave: Callable[[Any], None], at: int) -> None:
    """After any number of events; the runs hear `GeneratorExit`, as attached handlers do when a sync stream is closed."""
    one = Recorder()
    source = Source(EVENTS)
    dispatched = dispatch_events(source, [one])
    for _ in range(at):
        next(dispatched)
    leave(dispatched)
    assert source.closed == 1
    assert all(isinstance(error, GeneratorExit) for error in errors(one))
    assert len(errors(one)) == {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 1}[at]
    assert dispatched.statistics().open_runs == 0
    assert next(dispatched, None) is None
    with pytest.raises(StreamConsumedError):
        iter(dispatched)


def test_a_bare_break_closes_too() -> None:
    """The iterator is dropped with the loop; no thread stays."""
    one, other = Recorder(), AsyncRecorder()
    source = Source(EVENTS)
    for _ in dispatch_events(source, [one, other]):
        if len(one.calls) == OPEN:
            break
    gc.collect()
    assert methods(one)[OPEN:] == methods(other)[OPEN:] == ["on_llm_error", "on_chain_error"]
    assert source.closed == 1


@both_backends
@pytest.mark.anyio
@pytest.mark.parametrize("at", range(len(EVENTS)))
@pytest.mark.parametrize("kind", [AsyncSource, Source])
async def test_leaving_an_async_loop_closes_the_source_and_then_the_runs(anyio_backend: str, at: int, kind: Any) -> None:
    """After any number of events; the runs hear `CancelledError`, as handlers of a cancelled `astream_events` do."""
    one = Recorder()
    source = kind(EVENTS)
    async with adispatch_events(source, [one]) as dispatched:
        for _ in range(at):
            await anext(dispatched)
    assert source.closed == 1
    assert all(isinstance(error, asyncio.CancelledError) for error in errors(one))
    assert len(errors(one)) == {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 1}[at]
    await dispatched.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(dispatched)
    with pytest.raises(StreamConsumedError):
        aiter(dispatched)


@pytest.mark.anyio
async def test_a_dropped_async_iterator_tells_all_handlers() -> None:
    """Sync ones at once, coroutine methods in the reader's loop soon after; the source is dropped with it."""
    log: list[str] = []
    one, other = Recorder(), AsyncRecorder()
    source = generated(EVENTS[:OPEN], log)
    dispatched = adispatch_events(source, [one, other])
    del source
    for _ in range(OPEN):
        await anext(dispatched)
    del dispatched
    gc.collect()
    assert methods(one)[OPEN:] == ["on_llm_error", "on_chain_error"]
    await anyio.wait_all_tasks_blocked()
    assert methods(other) == methods(one)
    assert log == ["source closed"]
    assert [error for error in errors(other) if not isinstance(error, asyncio.CancelledError)] == []


def test_a_dropped_async_iterator_whose_loop_is_over_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Coroutine methods cannot be called any more; sync ones are."""
    one, other = Recorder(), AsyncRecorder()

    async def read() -> Any:
        dispatched = adispatch_events(EVENTS, [one, other])
        await anext(dispatched)
        return dispatched

    dispatched = asyncio.run(read())
    del dispatched
    gc.collect()
    assert methods(one) == ["on_chain_start", "on_chain_error"]
    assert methods(other) == ["on_chain_start"]
    assert "1 callbacks of async handlers were not made" in caplog.text


@pytest.mark.anyio
async def test_a_cancelled_reader_closes_everything_and_stays_cancelled() -> None:
    """Native cancellation while it waits for the source: the error passes, handlers hear that very one."""
    log: list[str] = []
    one = AsyncRecorder()

    async def read() -> None:
        await adrive(generated(EVENTS[:OPEN], log), one)

    task = asyncio.create_task(read())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["source closed"]
    assert methods(one)[OPEN:] == ["on_llm_error", "on_chain_error"]
    assert all(isinstance(error, asyncio.CancelledError) for error in errors(one))


@both_backends
@pytest.mark.anyio
async def test_cleanup_survives_a_cancelled_scope(anyio_backend: str) -> None:
    """AnyIO's cancellation would end every await of the cleanup; handlers that wait are waited for."""
    log: list[str] = []

    class Waiting(AsyncCallbackHandler):
        async def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
            await anyio.lowlevel.checkpoint()
            log.append("handler told")

    with anyio.CancelScope() as scope:
        async for _ in adispatch_events(generated(EVENTS[:OPEN], log), Waiting()):
            if not log:
                log.append("reading")
            else:
                scope.cancel()
    assert scope.cancelled_caught
    assert log == ["reading", "source closed", "handler told"]


@both_backends
@pytest.mark.anyio
async def test_a_source_is_closed_in_a_cancelled_scope(anyio_backend: str) -> None:
    """Also one that does not guard its own cleanup."""
    source, one = AsyncSource(EVENTS), Recorder()
    with anyio.CancelScope() as scope:
        async with adispatch_events(source, one) as dispatched:
            await anext(dispatched)
            scope.cancel()
    assert source.closed == 1
    assert methods(one) == ["on_chain_start", "on_chain_error"]


def test_what_was_never_started_leaves_nothing() -> None:
    """Nothing is read, nothing is called, no warning when it is dropped."""
    one, log = Recorder(), []
    source = Source(EVENTS)
    dropped: Any = dispatch_events(source, [one])
    asynchronous: Any = adispatch_events(generated(EVENTS, log), [one])
    del dropped, asynchronous
    gc.collect()
    assert (one.calls, log, source.closed, len(list(source))) == ([], [], 0, len(EVENTS))


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [dispatch_events, adispatch_events, drive])
@pytest.mark.parametrize("bad", [None, 5, "events", {"event": "on_chain_start"}])
def test_what_is_no_source_is_named(function: Any, bad: Any) -> None:
    """A single event is none either."""
    with pytest.raises(ArgumentError, match="iterable") as raised:
        function(bad, [])
    assert (raised.value.name, raised.value.value) == ("events", bad)


@pytest.mark.anyio
async def test_an_async_source_needs_an_async_loop() -> None:
    """The error says which function takes it."""
    source: Any = generated(EVENTS, [])
    with pytest.raises(ArgumentError, match="adispatch_events"):
        dispatch_events(source, [])
    waiting = asyncio.get_running_loop().create_future()
    with pytest.raises(ArgumentError, match="await"):
        adispatch_events(waiting, [])


@pytest.mark.parametrize("function", [dispatch_events, adispatch_events, drive, lambda *args: asyncio.run(adrive(*args))])
def test_handlers_are_checked_before_anything_is_read(function: Any) -> None:
    """Nothing half-started is left behind."""
    source = Source(EVENTS)
    with pytest.raises(HandlerTypeError):
        function(source, [print])
    assert len(list(source)) == len(EVENTS)


def test_a_second_reader_is_refused() -> None:
    """Be it a handler that reads the stream that calls it."""
    refused: list[Exception] = []

    class Reads(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            for attempt in (lambda: next(dispatched), dispatched.close):
                try:
                    attempt()
                except ConcurrentReadError as error:
                    refused.append(error)

    dispatched = dispatch_events(EVENTS, Reads())
    assert len(list(dispatched)) == len(EVENTS)
    assert len(refused) == 2


@pytest.mark.anyio
async def test_a_second_task_is_refused() -> None:
    """One stream has one reader."""
    dispatched = adispatch_events(generated([], []), [])
    async with anyio.create_task_group() as group:
        group.start_soon(anext, dispatched)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ConcurrentReadError):
            await anext(dispatched)
        with pytest.raises(ConcurrentReadError):
            await dispatched.aclose()
        group.cancel_scope.cancel()


# -- handlers that hear of the run already ----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_attached_handler_is_not_called_twice() -> None:
    """It hears each callback once, from the run; the others are called by the events."""
    attached, other = Recorder(), Recorder()
    with pytest.warns(DuplicateHandlerWarning, match="Recorder") as caught:
        await adrive(chain().astream_events({"q": "hi"}, {"callbacks": [attached]}, version="v2"), [attached, other])
    assert methods(attached) == methods(other)
    assert caught[0].filename == __file__


def test_recorded_events_are_dispatched_to_any_handler() -> None:
    """Also to one that was attached when they were recorded."""
    attached = Recorder()
    events = asyncio.run(live(chain(), {"q": "hi"}, callbacks=[attached]))
    before = methods(attached)
    drive(events, attached)
    assert methods(attached) == before * 2


def test_one_dispatch_around_another_tells_each_handler_once() -> None:
    """The outer one knows whom the inner one tells."""
    inner, outer = Recorder(), Recorder()
    with pytest.warns(DuplicateHandlerWarning):
        dispatched = dispatch_events(dispatch_events(EVENTS, [inner]), [inner, outer])
    assert list(dispatched) == EVENTS
    assert methods(inner) == methods(outer) == METHODS


# -- real handlers ----------------------------------------------------------------------------------------------------


@tool
def weigh(item: str) -> str:
    """Weigh an item."""
    return f"{item}: 4 g"


def real_run() -> Any:
    """A run with a prompt, a streaming model, a parser and a tool."""
    return chain("green tea") | RunnableLambda(lambda text: {"item": text}) | weigh


class Deaf:
    """Stands in for a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...


@pytest.mark.parametrize("kind", [StdOutCallbackHandler, StreamingStdOutCallbackHandler])
def test_terminal_handlers_print_what_they_print_attached(
    kind: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Driven, they never meet a `serialized` that is None, which those of langchain-core 0.3.0 cannot stand."""
    events = asyncio.run(live(real_run(), {"q": "hi"}, callbacks=[kind()]))
    direct, failures = capsys.readouterr().out, len(caplog.records)
    drive(events, kind())
    driven = capsys.readouterr().out
    assert len(caplog.records) == failures
    assert driven == direct != "" or (failures and "Entering new RunnableSequence chain" in driven)


def test_the_console_tracer_prints_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """`ConsoleCallbackHandler`, whose lines have times in them."""
    drive(asyncio.run(live(real_run(), {"q": "hi"})), ConsoleCallbackHandler())
    assert "green tea: 4 g" in capsys.readouterr().out


@contextmanager
def opened(path: Path) -> Iterator[FileCallbackHandler]:
    handler = FileCallbackHandler(str(path))
    if hasattr(handler, "__enter__"):
        with handler:
            yield handler
    else:
        yield handler
        handler.file.close()


def test_a_file_handler_writes_what_it_writes_attached(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`FileCallbackHandler`: opened in the reader's thread and used there."""
    with opened(tmp_path / "direct") as direct:
        events = asyncio.run(live(real_run(), {"q": "hi"}, callbacks=[direct]))
    failures = len(caplog.records)
    with opened(tmp_path / "driven") as driven:
        drive(events, driven)
    written, expected = ((tmp_path / name).read_text() for name in ("driven", "direct"))
    assert len(caplog.records) == failures
    assert written == expected != "" or (failures and "Entering new RunnableSequence chain" in written)


def test_a_tracer_builds_the_tree_that_it_builds_attached() -> None:
    """`RunCollectorCallbackHandler`: names, types, outputs and children."""
    direct, driven = RunCollectorCallbackHandler(), RunCollectorCallbackHandler()
    events = asyncio.run(live(real_run(), {"q": "hi"}, callbacks=[direct]))
    drive(events, driven)
    (expected,), (built,) = direct.traced_runs, driven.traced_runs
    assert [child.name for child in built.child_runs] == [child.name for child in expected.child_runs]
    assert (built.id, built.run_type) == (expected.id, expected.run_type)
    assert built.outputs == expected.outputs

    def shape(run: Any) -> Any:
        return run.id, run.parent_run_id, run.run_type, run.tags, [shape(child) for child in run.child_runs]

    assert shape(built) == shape(expected)


def test_usage_is_counted_from_events() -> None:
    """`UsageMetadataCallbackHandler` finds message, usage and model name in the result."""
    usage = pytest.importorskip("langchain_core.callbacks.usage")
    handler = usage.UsageMetadataCallbackHandler()
    counted: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    model = Run("chat_model")
    message = AIMessage(content="a", usage_metadata=counted, response_metadata={"model_name": "m"})
    drive([model.start(input="x"), model.end(message)], handler)
    assert handler.usage_metadata["m"]["total_tokens"] == 7


@pytest.mark.anyio
async def test_the_classic_iterator_handler_yields_the_tokens() -> None:
    """`AsyncIteratorCallbackHandler` lives on the reader's loop."""
    package = "langchain_classic" if find_spec("langchain_classic") else "langchain"
    module = pytest.importorskip(f"{package}.callbacks.streaming_aiter")
    handler = module.AsyncIteratorCallbackHandler()
    tokens: list[str] = []

    async def read() -> None:
        async for token in handler.aiter():
            tokens.append(token)

    async def paced() -> AsyncIterator[dict[str, Any]]:
        for event in EVENTS:
            yield event
            # The handler drops what is still in its queue when the model ends.
            await anyio.wait_all_tasks_blocked()

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await adrive(paced(), handler)
    assert tokens == ["green ", "tea"]


def test_a_handler_may_need_the_scripts_own_thread() -> None:
    """Streamlit's does: its methods run in the thread that iterates, start before token."""
    threads: set[int] = set()

    class Script(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
            self.name = serialized["name"]
            threads.add(threading.get_ident())

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            assert self.name
            threads.add(threading.get_ident())

    drive(EVENTS, Script())
    assert threads == {threading.get_ident()}


def test_messages_with_blocks_reach_string_handlers() -> None:
    """137 of 208 surveyed handlers take the token for a string."""
    model = Run("chat_model")
    text = StreamingStdOutCallbackHandler()
    stdout, sys.stdout = sys.stdout, Deaf()  # type: ignore[assignment]
    try:
        drive([model.start(input="x"), model.stream(AIMessageChunk(content=[{"type": "text", "text": "tea"}]))], text)
        printed = sys.stdout.text  # type: ignore[attr-defined]
    finally:
        sys.stdout = stdout
    assert printed == "tea"
