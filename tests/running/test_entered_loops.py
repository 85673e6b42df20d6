"""Leaving a run whose sync code has entered an event loop: it is cancelled there, where it waits, by every way in."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool

import callbridge as cb
from lives import Provider, watched

Enter = Callable[[Callable[[], Any]], Any]
"""Runs a coroutine, from sync code."""

CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


@pytest.fixture(scope="module")
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that another thread runs, and that stays."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert not asyncio.all_tasks(loop)
    loop.close()


def by_run(make: Callable[[], Any], _: Any) -> Any:
    return asyncio.run(make())


def by_loop_of_its_own(make: Callable[[], Any], _: Any) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(make())
    finally:
        loop.close()


def by_other_loop(make: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Any:
    return asyncio.run_coroutine_threadsafe(make(), loop).result()


def by_anyio(make: Callable[[], Any], _: Any) -> Any:
    return anyio.run(make)


def by_portal(make: Callable[[], Any], _: Any) -> Any:
    with start_blocking_portal() as portal:
        return portal.call(make)


def by_django(make: Callable[[], Any], _: Any) -> Any:
    from asgiref.sync import async_to_sync

    return async_to_sync(make)()


def by_uvloop(make: Callable[[], Any], _: Any) -> Any:
    import uvloop

    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(make())
    finally:
        loop.close()


def by_thread_of_a_pool(make: Callable[[], Any], _: Any) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(make())).result()


WAYS = [by_run, by_loop_of_its_own, by_other_loop, by_anyio, by_portal, by_thread_of_a_pool]
if importlib.util.find_spec("asgiref"):
    WAYS.append(by_django)
if importlib.util.find_spec("uvloop"):
    WAYS.append(by_uvloop)


async def alone(model: Any) -> Any:
    return await model.ainvoke("tea")


async def gathered(model: Any) -> Any:
    return await asyncio.gather(model.ainvoke("tea"), model.ainvoke("tea"), return_exceptions=True)


async def timed(model: Any) -> Any:
    return await asyncio.wait_for(model.ainvoke("tea"), 1000)


async def in_anyios_group(model: Any) -> Any:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(model.ainvoke, "tea")
    return "this is what goes on if only the task was cancelled"


async def in_asyncios_group(model: Any) -> Any:
    async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined]
        tasks.create_task(model.ainvoke("tea"))
    return "as above"


SHAPES = [alone, gathered, timed, in_anyios_group]
if hasattr(asyncio, "TaskGroup"):
    SHAPES.append(in_asyncios_group)


class Call:
    """Sync code that runs a model on some loop, and what it saw."""

    def __init__(self, enter: Callable[..., Any], shape: Callable[..., Any], loop: Any, model: Any) -> None:
        self._enter, self._loop = enter, loop
        self._make = partial(shape, model)
        self.saw: Any = None

    def __call__(self) -> Any:
        try:
            self.saw = self._enter(self._make, self._loop)
        except BaseException as error:
            self.saw = error
            raise


def leave_sync(call: Call) -> None:
    with cb.stream_call(call) as stream:
        next(stream.text())


def leave_async(call: Call) -> None:
    async def read() -> None:
        async with cb.astream_call(call) as stream:
            await stream.text().__anext__()

    asyncio.run(read())


def leave_made_before(call: Call) -> None:
    stream = cb.astream_call(call)

    async def read() -> None:
        async with stream:
            await stream.text().__anext__()

    asyncio.run(read())


def leave_tool(call: Call) -> None:
    """The sync code is a tool in an async run."""

    def think(q: str) -> str:
        return str(call())

    async def read() -> None:
        tool = StructuredTool.from_function(think, description="Think.")
        async with cb.astream_call(tool.ainvoke, {"q": "tea"}) as stream:
            await stream.text().__anext__()

    asyncio.run(read())


LEAVES = [leave_sync, leave_async, leave_made_before, leave_tool]


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("enter", WAYS)
def test_a_model_that_waits_is_cancelled_there(enter: Any, leave: Any, other_loop: Any) -> None:
    """It would wait for ever; the sync code sees a cancellation."""
    model = Provider(waits_at=1)
    call = Call(enter, alone, other_loop, model)
    with watched():
        leave(call)
        assert model.book.said == 1
        assert model.book.closed
        assert isinstance(call.saw, CANCELLED), call.saw


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("leave", [leave_sync, leave_tool])
@pytest.mark.parametrize("enter", [by_run, by_other_loop])
def test_what_waits_for_a_run_is_cancelled_with_it(enter: Any, leave: Any, shape: Any, other_loop: Any) -> None:
    """Whatever it waits by: nobody takes a cancelled task for a result."""
    model = Provider(waits_at=1)
    call = Call(enter, shape, other_loop, model)
    with watched():
        leave(call)
        assert model.book.closed
        assert isinstance(call.saw, CANCELLED), call.saw


class Talker(BaseChatModel):
    """A model without an async API that reports tokens from its thread for ever."""

    @property
    def _llm_type(self) -> str:
        return "talker"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: CallbackManagerForLLMRun | None = None, **_: Any
    ) -> ChatResult:
        assert run_manager is not None
        while True:
            run_manager.on_llm_new_token("word ")


@pytest.mark.parametrize("shape", [alone, gathered])
@pytest.mark.parametrize("leave", LEAVES)
def test_a_thread_that_a_gather_waits_for_is_no_error(leave: Any, shape: Any, other_loop: Any) -> None:
    """LangChain's `agenerate` gathers, and takes an error out of the model's thread for a generation."""
    call = Call(by_run, shape, other_loop, Talker())
    with watched():
        leave(call)
        assert isinstance(call.saw, CANCELLED), call.saw


@pytest.mark.anyio
async def test_a_thread_that_an_async_run_waits_for_is_no_error() -> None:
    """The same without a second loop."""
    seen: list[BaseException] = []

    async def ask(_: Any, config: RunnableConfig) -> Any:
        try:
            return await Talker().ainvoke("tea", config)
        except BaseException as error:
            seen.append(error)
            raise

    with watched():
        async with cb.astream_events(RunnableLambda(len, afunc=ask), "tea") as stream:
            async for _ in stream:
                break
    assert [type(error) for error in seen] == [asyncio.CancelledError] * len(seen)


@pytest.mark.anyio
async def test_code_that_uses_the_readers_own_loop() -> None:
    """Sync code in a thread hands a coroutine back; what the run has started there by itself goes on."""
    loop, model, goes_on = asyncio.get_running_loop(), Provider(waits_at=1), asyncio.Event()

    async def hold() -> None:
        await Provider().ainvoke("other")
        await goes_on.wait()

    async def work() -> Any:
        held.append(asyncio.create_task(hold()))
        return await asyncio.to_thread(by_other_loop, partial(alone, model), loop)

    held: list[Any] = []
    with watched():
        async with cb.astream_call(work) as stream:
            async for _ in stream:
                if model.book.said and held:
                    break
        assert model.book.closed
        assert not held[0].done()
        goes_on.set()
        await held[0]


@pytest.mark.parametrize("enter", [by_run, by_other_loop])
def test_a_next_loop_is_cancelled_too(enter: Any, other_loop: Any) -> None:
    """Sync code that takes the cancellation for one question's misfortune gets it for each."""
    models = [Provider(waits_at=1) for _ in range(3)]
    saw: list[BaseException] = []

    def work() -> None:
        for model in models:
            try:
                enter(partial(alone, model), other_loop)
            except CANCELLED as error:
                saw.append(error)

    with watched(), cb.stream_call(work) as stream:
        next(stream.text())
    assert len(saw) == 3
    assert all(model.book.closed for model in models)


def test_a_cleanup_may_run_a_loop() -> None:
    """To save what was said so far; nobody hears it, and nothing stops it."""
    model, saved = Provider(waits_at=1), Provider()

    def work() -> None:
        try:
            by_run(partial(alone, model), None)
        finally:
            answers.append(by_run(partial(alone, saved), None).content)

    answers: list[Any] = []
    with watched(), cb.stream_call(work) as stream:
        next(stream.text())
    assert answers == ["red green "]


# -- what is the user's own on a loop that stays


class Held(Provider):
    """Says a word, and its answer is complete when the test says so."""

    def __init__(self) -> None:
        super().__init__(words=["red "])
        self._gate = asyncio.Event()

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
        await self._gate.wait()

    def finish(self) -> None:
        self._gate.set()


Spawn = Callable[[Held], Coroutine[Any, Any, "asyncio.Task[Any]"]]
"""Starts a task in which the model answers, and returns the task that ends with it."""


async def as_task(model: Held) -> asyncio.Task[Any]:
    return asyncio.create_task(model.ainvoke("tea"))


async def as_task_of_own_code(model: Held) -> asyncio.Task[Any]:
    async def work() -> Any:
        return await asyncio.wait_for(model.ainvoke("tea"), 1000)

    task = asyncio.create_task(work())
    task.add_done_callback({task}.discard)
    return task


async def in_the_applications_group(model: Held) -> asyncio.Task[Any]:
    """Which some task of the application waits for that has nothing to do with the run."""
    ready = asyncio.get_running_loop().create_future()

    async def serve() -> Any:
        async with anyio.create_task_group() as tasks:
            ready.set_result(tasks)
            await checkpoint_until(begun.is_set)
        return answers[0]

    async def work() -> None:
        begun.set()
        answers.append(await model.ainvoke("tea"))

    begun, answers = asyncio.Event(), list[Any]()
    task = Context().run(asyncio.ensure_future, serve())
    (await ready).start_soon(work)
    return task


async def by_the_applications_worker(model: Held) -> asyncio.Task[Any]:
    """It was there before the run, and gets the run's callbacks with the question."""
    questions: asyncio.Queue[RunnableConfig] = asyncio.Queue()

    async def serve() -> Any:
        return await model.ainvoke("tea", await questions.get())

    async def hand_over(_: str, config: RunnableConfig) -> None:
        questions.put_nowait(config)

    task = Context().run(asyncio.ensure_future, serve())
    await RunnableLambda(len, afunc=hand_over).ainvoke("")
    return task


SPAWNS = [as_task, as_task_of_own_code, in_the_applications_group, by_the_applications_worker]


async def checkpoint_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await checkpoint()


def by_portal_that_stays(make: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Any:
    async def serve() -> None:
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()

    ready: concurrent.futures.Future[BlockingPortal] = concurrent.futures.Future()
    serving = Context().run(asyncio.run_coroutine_threadsafe, serve(), loop)
    portal = ready.result()
    try:
        return portal.call(make)
    finally:
        portal.call(portal.stop)
        serving.result()


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "listens"])
@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("spawn", SPAWNS)
@pytest.mark.parametrize("enter", [by_other_loop, by_portal_that_stays])
def test_what_was_only_started_on_a_loop_that_stays_goes_on(
    enter: Any, spawn: Spawn, leave: Any, runs: bool, other_loop: Any
) -> None:
    """What the sync code waits for is cancelled, whether runs have begun in that or only in what it has started.

    The latter as with LangChain's `AsyncIteratorCallbackHandler`, whose reader runs nothing itself.
    """
    held, tasks = Held(), list[Any]()

    async def shape(model: Any) -> Any:
        tasks.append(await spawn(held))
        return await (model.ainvoke("tea") if runs else asyncio.Event().wait())

    call = Call(enter, shape, other_loop, Provider(waits_at=0))
    with watched():
        leave(call)
        assert isinstance(call.saw, CANCELLED), call.saw
        assert ask(tasks[0], held, other_loop) == "red "


def ask(task: asyncio.Task[Any], held: Held, loop: asyncio.AbstractEventLoop) -> Any:
    """Let a model say its answer and return it."""

    async def wait() -> Any:
        held.finish()
        return (await task).content

    return asyncio.run_coroutine_threadsafe(wait(), loop).result()


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("spawn", SPAWNS)
def test_what_is_left_of_a_coroutine_that_has_ended_goes_on(spawn: Spawn, leave: Any, other_loop: Any) -> None:
    """As of a worker that sync code starts on the application's loop."""
    held, tasks = Held(), list[Any]()

    def work() -> None:
        tasks.append(by_other_loop(partial(spawn, held), other_loop))
        Provider(words=["word "] * 1000).invoke("tea", stream=True)

    with watched():
        leave(work)
        assert ask(tasks[0], held, other_loop) == "red "


@pytest.mark.anyio
@pytest.mark.parametrize("spawn", [as_task, as_task_of_own_code])
async def test_what_was_only_started_on_the_readers_own_loop_goes_on(spawn: Spawn) -> None:
    loop, held, tasks = asyncio.get_running_loop(), Held(), list[Any]()

    async def shape() -> Any:
        tasks.append(await spawn(held))
        return await asyncio.Event().wait()

    with watched():
        async with cb.astream_call(by_other_loop, shape, loop) as stream:
            await anext(stream.text())
        held.finish()
        assert (await tasks[0]).content == "red "


@pytest.mark.parametrize("enter", [by_run, by_loop_of_its_own, by_portal])
def test_what_was_only_started_on_a_loop_that_ends_ends_with_it(enter: Any) -> None:
    """Nobody complains that it was destroyed."""
    held, tasks = Held(), list[Any]()

    async def shape(model: Any) -> Any:
        tasks.append(await as_task(held))
        return await model.ainvoke("tea")

    call = Call(enter, shape, None, Provider(waits_at=0))
    with watched():
        leave_sync(call)
        assert isinstance(call.saw, CANCELLED), call.saw
        assert held.book.closed
