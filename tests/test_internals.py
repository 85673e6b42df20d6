"""What a user loses where a name that nobody promised is missing: each is taken away, and exactly that is lost."""

from __future__ import annotations

import ast
import asyncio
import gc
import os
import re
import selectors
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.base import RunnableBindingBase

import callbridge as cb
from callbridge import internals
from callbridge.channel import memory, waiters
from callbridge.observe import callers, handler
from callbridge.running import branch_ends, entered_loops, leftover_frames, loop_tasks, owned_runs, pool_jobs
from lives import Provider
from scripted import SCRIPTS, model, needs_v3, quiet_beta

pytestmark = pytest.mark.anyio

F = TypeVar("F", bound=Callable[..., Any])

SHOWN: dict[str, str] = {}
"""Name to the test that takes it away."""


def shows(*names: str) -> Callable[[F], F]:
    """Mark a test that takes these names away if its argument `known` is false."""

    def mark(test: F) -> F:
        SHOWN.update(dict.fromkeys(names, test.__name__))
        marked: F = pytest.mark.parametrize("known", [True, False], ids=["known", "missing"])(test)
        return marked

    return mark


def nothing(*_: Any) -> None:
    return None


async def turns_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await checkpoint()


async def is_waited_for(call: Callable[..., Any], *args: Any) -> bool:
    """Leave the run of a call that waits for a job in a thread; return whether that is waited for."""
    began, may_end = threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        may_end.wait()

    stream = cb.astream_call(call, job, *args)
    reading = asyncio.ensure_future(anext(stream, None))
    await turns_until(began.is_set)
    leaving = asyncio.ensure_future(stream.aclose())
    for _ in range(400):
        await asyncio.sleep(0)
    has_waited = not leaving.done()
    may_end.set()
    await leaving
    await reading
    return has_waited


# -- asyncio


@shows("asyncio.Task._fut_waiter")
async def test_what_a_task_waits_for(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(pool_jobs, "waiter_of", nothing)
        monkeypatch.setattr(loop_tasks, "waiter_of", nothing)
    assert await is_waited_for(asyncio.to_thread) is known


@shows("asyncio.Future._callbacks")
async def test_who_waits_for_a_future(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(pool_jobs, "held_by_callbacks", lambda *_: iter(()))
        monkeypatch.setattr(loop_tasks, "held_by_callbacks", lambda *_: iter(()))
    assert await is_waited_for(asyncio.to_thread) is known


@shows("asyncio.gather()._children")
async def test_what_is_gathered(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cleanup of gathered tasks is part of leaving a run."""
    if not known:
        monkeypatch.setattr(pool_jobs, "children_of", lambda _: [])
        monkeypatch.setattr(loop_tasks, "children_of", lambda _: [])
    closed = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(200):
                await asyncio.sleep(0)
            closed.set()

    async def work() -> None:
        await asyncio.gather(slow(), for_ever(""), RunnableLambda(len, afunc=for_ever).ainvoke("tea"))

    async with cb.astream_call(work) as stream:
        await anext(stream)
    assert closed.is_set() is known
    await closed.wait()


async def for_ever(question: str) -> str:
    await asyncio.Event().wait()
    return question


async def leave_branches() -> bool:
    """Leave parallel branches in mid-stream; return whether anything of them is left."""
    before = asyncio.all_tasks()
    models = {name: Provider(words=["word"] * 8) for name in ("one", "other")}
    async with cb.astream_events(RunnableParallel(**models), "tea") as stream:  # type: ignore[arg-type]
        async for event in stream:
            if event["event"] == "on_chat_model_stream":
                break
    left = asyncio.all_tasks() - before
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
    return bool(left)


@shows("gc.get_referents(task), asyncio.Task._context")
async def test_the_context_of_a_task(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(loop_tasks, "context_of", nothing)
    assert await leave_branches() is not known


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="`frame.clear` refuses by itself")
@shows("gc.get_referents(frame)")
async def test_whether_code_has_ended(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has left handles an error, and awaits something meanwhile, when the run's frames are cleared."""
    if not known:
        monkeypatch.setattr(leftover_frames, "has_ended", lambda _: True)
    errors: list[BaseException] = []
    told, ended = asyncio.Event(), asyncio.Event()

    async def tell() -> None:
        try:
            raise ValueError
        except ValueError as error:
            errors.append(error)
            told.set()
            await ended.wait()

    async def work(_: str) -> str:
        raise errors[0]

    telling = asyncio.ensure_future(tell())
    await told.wait()
    async with cb.astream_events(RunnableLambda(len, afunc=work), "tea") as stream:
        await anext(stream)
        while stream.statistics().runs:
            await checkpoint()
    ended.set()
    for _ in range(10):
        await checkpoint()
    was_told = telling.done()
    telling.cancel()
    await asyncio.wait([telling])
    assert (telling.exception() is None) is known is was_told


@shows("async_generator_athrow")
async def test_the_closing_of_generators(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(internals, "_CLOSING", "")
    assert await leave_dropped_generator() is known


async def leave_dropped_generator() -> bool:
    """Leave a run that has dropped a generator whose cleanup takes its time; return whether that was waited for."""
    closed = asyncio.Event()

    async def words() -> AsyncIterator[str]:
        try:
            yield "word"
        finally:
            for _ in range(50):
                await asyncio.sleep(0)
            closed.set()

    async def work(question: str) -> str:
        async for _ in words():
            await for_ever(question)
        return question

    async with cb.astream_events(RunnableLambda(len, afunc=work), "tea") as stream:
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream, None))
        for _ in range(20):
            await asyncio.sleep(0)
    was_closed = closed.is_set()
    await reading
    await closed.wait()
    return was_closed


@shows("modules of langchain_core, langchain, langchain_classic, langgraph")
async def test_whose_code_a_task_is_of(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of branches of which one fails, the others end; what is LangChain's is known by its modules alone."""
    if not known:
        monkeypatch.setattr(internals, "_RUNNING", ())
    began = asyncio.Event()

    async def fail(question: str) -> str:
        await began.wait()
        raise LookupError(question)

    async def wait(question: str) -> str:
        began.set()
        return await for_ever(question)

    before = asyncio.all_tasks()
    both = RunnableParallel(one=RunnableLambda(len, afunc=wait), other=RunnableLambda(len, afunc=fail))
    with pytest.raises(LookupError):
        async with cb.astream_call(both.ainvoke, "tea") as stream:
            async for _ in stream:
                pass
    left = asyncio.all_tasks() - before
    for task in left:
        task.cancel()
    assert bool(left) is not known


@shows("asyncio._get_running_loop")
async def test_the_loop_that_runs_here(known: bool) -> None:
    """The public function says the same, by an error where no loop runs."""
    ask = internals.running_loop if known else internals._ask_for_loop
    assert ask() is asyncio.get_running_loop()
    assert await asyncio.to_thread(ask) is None


# -- threads

AT_EXIT = """
import os, threading, time
del threading._register_atexit

def watch():
    over.wait()
    time.sleep(1)
    os._exit(3)

over = threading.Event()
threading.Thread(target=watch, daemon=True).start()
from matrix.exiting import main
main("handler", "channel full")
over.set()
"""


@pytest.mark.thorough
@shows("threading._register_atexit")
async def test_before_threads_are_joined(known: bool) -> None:
    """A run in a pool waits for its reader, and the interpreter for the pool."""
    if known:
        pytest.skip("tests/matrix: an interpreter that exits while a pool waits for its reader")
    done = program("import concurrent.futures.thread", AT_EXIT)
    assert (done.returncode, done.stderr) == (3, "")


@shows("concurrent.futures.thread._threads_queues")
async def test_which_threads_are_a_pools(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop needs the thread in which a run waits for the loop's reader."""
    monkeypatch.setattr(memory, "POOL_PATIENCE", 0.1)
    if not known:
        monkeypatch.setattr(waiters, "pool_queues", dict)
    loop = asyncio.get_running_loop()
    events = cb.EventStreamHandler(capacity=1, streaming=True)
    model = Provider(words=["word "] * 8)
    with ThreadPoolExecutor(1) as pool:
        await loop.run_in_executor(pool, int)
        aiter(events)
        run = loop.run_in_executor(pool, model.invoke, "tea", {"callbacks": [events]})
        await anext(events)
        answer = loop.run_in_executor(pool, int)
        done, _ = await asyncio.wait([answer], timeout=30 if known else 1)
        assert (answer in done) is known
        events.close()
        await run
        await answer


@shows("current_async_library_cvar")
def test_which_loop_a_context_was_made_in(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync code that a task of trio observes runs a loop of asyncio in its thread."""
    if not known:
        monkeypatch.setattr(owned_runs, "elsewhere", lambda context: context.copy())

    async def work() -> str:
        await checkpoint()
        return "fine"

    async def main() -> None:
        async with cb.astream_call(lambda: asyncio.run(work())) as stream:
            async for _ in stream:
                pass
        assert stream.result == "fine"

    if known:
        anyio.run(main, backend="trio")
    else:
        with pytest.raises(RuntimeError):  # trio's checkpoint, in a task of asyncio
            anyio.run(main, backend="trio")


@shows("sys._is_gil_enabled")
def test_an_interpreter_without_a_global_lock(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if known:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    else:
        monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)
    with pytest.warns(cb.FreeThreadingWarning) if known else nullcontext():
        cb.open_channel(1)


# -- LangChain


@shows("langchain_core.runnables.base:RunnableParallel._atransform")
async def test_whose_step_has_ended(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(branch_ends, "_BRANCH_STEP", ())
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    async def leave(after: int) -> None:
        models = {name: Provider(words=["word"] * 2) for name in ("one", "other")}
        async with cb.astream_events(RunnableParallel(**models), "tea") as stream:  # type: ignore[arg-type]
            for _ in range(after):
                await anext(stream, None)

    for after in range(1, 16):
        await leave(after)
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(None)
    assert all(isinstance(error, StopAsyncIteration) for error in complaints)
    assert bool(complaints) is not known


@shows(
    "sys._getframe",
    "langchain_core.callbacks.manager:handle_event",
    "langchain_core.callbacks.manager:ahandle_event",
    "langchain_core.callbacks.manager:_ahandle_event_for_handler",
)
@pytest.mark.parametrize("name", ["calling_frame", "SYNC_DISPATCH", "ASYNC_DISPATCH", "ASYNC_DISPATCH_ONE"])
def test_who_calls_a_callback(name: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is time: the events are the same. See `test_unknown_dispatchers_get_everything_delivered`, too."""
    events = events_of_both(Provider())
    if not known:
        monkeypatch.setattr(handler, name, internals._no_frame if name == "calling_frame" else ())
    assert events_of_both(Provider()) == events


def events_of_both(model: Any) -> list[str]:
    """Return the names of the events of a sync and an async run of a model."""
    heard = cb.EventStreamHandler(roots=2)
    list(model.stream("tea", {"callbacks": [heard]}))
    asyncio.run(model.ainvoke("tea", {"callbacks": [heard]}))
    return [event["event"] for event in heard]


class Overriding(cb.EventStreamHandler):
    """A user's handler with an async method."""

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        await super().on_llm_new_token(*args, **kwargs)


@shows("langchain_core.callbacks.manager:_run_coros")
def test_who_awaits_a_callback(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync run on the reader's own loop: it cannot wait for room, or the loop would wait for itself."""
    if not known:
        monkeypatch.setattr(callers, "_PRIVATE_LOOP", ())
    heard = Overriding(capacity=2)

    async def main() -> None:
        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        Provider(words=["word "] * 8).invoke("tea", {"callbacks": [heard]}, stream=True)
        await reading

    async def read() -> None:
        async for _ in heard:
            pass

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(60 if known else 1)
    assert thread.is_alive() is not known
    heard.close()
    thread.join()


@shows(
    "langchain_core.runnables.base:Runnable._transform_stream_with_config",
    "langchain_core.runnables.base:Runnable._atransform_stream_with_config",
)
def test_who_sees_the_chunks_of_a_run(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(callers, "_FIRST_TAP_ONLY", ())
    model = Provider() | StrOutputParser()

    def run_sync(callbacks: Any) -> None:
        list(model.stream("tea", {"callbacks": callbacks}))

    async def run_async(callbacks: Any) -> None:
        async for _ in model.astream("tea", {"callbacks": callbacks}):
            pass

    for run in (run_sync, lambda callbacks: asyncio.run(run_async(callbacks))):
        both = [cb.EventStreamHandler(streaming=True), cb.EventStreamHandler(streaming=True)]
        run(both)
        first, second = ([event["event"] == "on_parser_stream" for event in handler] for handler in both)
        assert any(first)
        assert any(second) is known


@shows("langchain_core.runnables.base:RunnableBindingBase._merge_configs")
async def test_the_config_of_a_bound_runnable(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.delattr(RunnableBindingBase, "_merge_configs")
    heard: list[str] = []
    add = RunnableLambda(lambda n: n + 1).with_config(tags=["mine"]).with_listeners(on_start=lambda run: heard.append(run.name))
    events = [event async for event in cb.astream_events(add, 1)]
    assert events[0]["tags"] == ["mine"]
    assert bool(heard) is known


@needs_v3
@quiet_beta
@shows("ChatModelStream, AsyncChatModelStream, GraphRunStream, AsyncGraphRunStream; _events, _exhausted, _latest")
def test_which_stream_nobody_has_begun_to_read(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(internals, "_names", lambda _: set())
    stream = cb.stream_call(lambda: model(next(iter(SCRIPTS.values()))).stream_events("tea", version="v3"))
    with stream, pytest.raises(cb.CallableTypeError, match="read") if known else nullcontext():
        assert list(stream) == []


@pytest.mark.thorough
@shows("langchain_core.tracers._streaming:_StreamingCallbackHandler")
def test_what_makes_a_handler_a_streaming_one(known: bool) -> None:
    """Ours inside LangChain's own event stream: where neither knows the other, one of them misses the chunks."""
    missing = "" if known else "del streaming._StreamingCallbackHandler"
    loaded = (
        "import langchain_core.runnables.base, langchain_core.language_models.chat_models, langchain_core.tracers.event_stream"
    )
    done = program(loaded, "kept = streaming._StreamingCallbackHandler", missing, STREAMING)
    assert done.returncode == 0, done.stderr
    assert ("0" not in done.stdout.split()) is known


STREAMING = """
import callbridge.observe.handler
streaming._StreamingCallbackHandler = kept  # LangChain itself asks for it, too

import asyncio
from langchain_core.output_parsers import StrOutputParser
import callbridge as cb
import lives

async def main():
    ours = cb.EventStreamHandler(streaming=True)
    chain = lives.Provider() | StrOutputParser()
    theirs = [event async for event in chain.astream_events("tea", version="v2", config={"callbacks": [ours]})]
    print(*(sum(event["event"] == "on_parser_stream" for event in events) for events in (list(ours), theirs)))

asyncio.run(main())
"""


def program(*lines: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own."""
    text = "\n".join(("from langchain_core.tracers import _streaming as streaming", *lines))
    command, environment = [sys.executable, "-c", text], {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


@shows("asyncio.base_events._run_until_complete_cb", "anyio.from_thread.BlockingPortal._call_func")
@pytest.mark.parametrize("asked", ["is_main", "is_handed_over"])
async def test_what_sync_code_waits_for(asked: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.setattr(entered_loops, asked, lambda _: False)
    may_end, loops = asyncio.Event(), list[Any]()

    async def wait(question: str) -> str:
        loops.append(asyncio.get_running_loop())
        await may_end.wait()
        return question

    def work() -> Any:
        run = RunnableLambda(len, afunc=wait).ainvoke
        if asked == "is_main":
            return asyncio.run(run("tea"))
        with start_blocking_portal() as portal:
            return portal.call(run, "tea")

    stream = cb.astream_call(work)
    await anext(stream)
    await turns_until(lambda: bool(loops))
    assert await stream.aclose(30 if known else 0.1) is known
    if not known:
        loops[0].call_soon_threadsafe(may_end.set)
        assert await stream.aclose()


@shows("asyncio.BaseSelectorEventLoop._transports")
def test_which_connections_are_open(known: bool) -> None:
    loop, ends = asyncio.new_event_loop(), list[Any]()

    class End(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            ends.append(transport)

    async def connect() -> None:
        server = await asyncio.get_running_loop().create_server(End, "127.0.0.1", 0)
        await asyncio.get_running_loop().create_connection(End, *server.sockets[0].getsockname()[:2])
        await turns_until(lambda: len(ends) == 2)
        server.close()  # not waited for: since CPython 3.12 that would be for its connections, too

    loop.run_until_complete(connect())
    internals.abort_transports(loop if known else SimpleNamespace())  # type: ignore[arg-type]
    assert [end.is_closing() for end in ends] == [known, known]
    for end in ends:
        end.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def give(word: str) -> str:
    return word


@shows("asyncio._set_running_loop")
def test_what_loop_runs(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not known:
        monkeypatch.delattr(asyncio, "_set_running_loop")
    assert handler_that_runs_a_loop() is known
    loop, seen = loop_of_greenlets(monkeypatch)
    assert seen == ({None} if known else {loop})


def loop_of_greenlets(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, set[Any]]:
    """Return a loop, and what loop runs while it waits, when other greenlets have their turn; `tests/running` has gevent."""
    monkeypatch.setattr(internals, "_has_green_threads", lambda: True)
    loop, seen, select = internals.new_event_loop(), set[Any](), selectors.DefaultSelector.select

    def watched_select(self: Any, timeout: float | None = None) -> Any:
        seen.add(internals.running_loop())
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", watched_select)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    return loop, seen


def handler_that_runs_a_loop() -> bool:
    """Return whether it can, where a loop of the dispatcher's own makes the call."""
    ran: list[str] = []

    class Runs(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            work = give("done")
            try:
                ran.append(asyncio.run(work))
            finally:
                work.close()

    cb.drive(cb.stream_events(model(), "x"), [Runs()], sync_handlers="thread")
    return bool(ran)


# -- the list itself


def test_every_name_is_taken_away() -> None:
    assert set(SHOWN) == {row.name for row in internals.NAMES}


def test_langchains_functions_are_found() -> None:
    """The installed LangChain has all names on the list. If one is missing, its time has come."""
    names = [row.name for row in internals.NAMES if row.name.startswith("langchain_core") and ":" in row.name]
    assert [name for name in names if internals.langchain(name, None) is None] == []
    assert internals.langchain("langchain_core.no_such_module:name", None) is None


OURS = re.compile(r"(?:def|class) (_\w+)|\b(_\w+)\s*(?:[:=]|in\b|,)|self\.(_\w+)")
"""How names of our own are made."""

PUBLIC = ("_replace", "_asdict", "_fields", "_make")
"""What named tuples have, so called because fields of theirs may be called anything else."""

SOURCES = sorted(Path(internals.__file__).parent.rglob("*.py"))


def test_private_names_of_others_are_asked_for_in_one_file() -> None:
    ours = {name for path in SOURCES for found in OURS.findall(path.read_text(encoding="utf-8")) for name in found}
    for path in SOURCES:
        if path.name == "internals.py" or "migrate" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in private_names(node):
                assert name in ours, f"{path.name}:{node.lineno}: {name}"  # type: ignore[attr-defined]


def private_names(node: ast.AST) -> Iterator[str]:
    """Yield the names with one underscore in front that a piece of code asks others for."""
    asked: list[str] = []
    if isinstance(node, ast.Attribute):
        asked = [node.attr]
    elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("callbridge"):
        asked = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
        asked = [argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)]
    yield from (name for name in asked if name.startswith("_") and not name.startswith("__") and name not in PUBLIC)
