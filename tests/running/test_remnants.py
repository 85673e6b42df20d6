"""Tasks and jobs that a run has started: leaving waits for those of the run, and touches no others."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import adispatch_custom_event
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel

import callbridge as cb
from lives import HAS_LANGGRAPH, parallel, watched
from scenarios.models import ScriptedChatModel, text_chunks

pytestmark = pytest.mark.anyio


class Job:
    """Sync code in a thread of the loop's own pool, which makes no callback and knows nothing of being stopped."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.ended = False

    def __call__(self, question: str) -> str:
        self.began.set()
        self.may_end.wait()
        self.ended = True
        return question


class Speaker(BaseChatModel):
    """Says one word and then waits; what its cleanup waits for is given by the test."""

    name: str = "speaker"
    cleanup: Any

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=""))])

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            yield ChatGenerationChunk(message=AIMessageChunk(content="word"))
            await asyncio.Event().wait()
        finally:
            await self.cleanup()


async def turns_until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until something has happened in a thread or in a task that tells nobody."""
    while not condition():
        await checkpoint()


def by_lambda(job: Job) -> Any:
    return cb.astream_call(RunnableLambda(job).ainvoke, "tea")


def by_events(job: Job) -> Any:
    return cb.astream_events(RunnableLambda(job), "tea")


def by_to_thread(job: Job) -> Any:
    async def work() -> str:
        return await asyncio.to_thread(job, "tea")

    return cb.astream_call(work)


@pytest.mark.parametrize("open_stream", [by_lambda, by_events, by_to_thread])
async def test_who_leaves_waits_for_a_job_in_the_pool(open_stream: Callable[[Job], Any]) -> None:
    job = Job()
    with watched():
        stream = open_stream(job)
        reading = asyncio.ensure_future(anext(stream, None))
        await turns_until(job.began.is_set)
        leaving = asyncio.ensure_future(stream.aclose())
        for _ in range(300):
            await asyncio.sleep(0)
        assert not leaving.done()
        job.may_end.set()
        await leaving
        assert job.ended
        await reading


async def test_who_does_not_want_to_wait_says_for_how_long() -> None:
    job = Job()
    stream = by_to_thread(job)
    reading = asyncio.ensure_future(anext(stream, None))
    await turns_until(job.began.is_set)
    assert not await stream.aclose(0.01)
    assert not job.ended
    job.may_end.set()
    assert await stream.aclose()
    await reading


def together(one: Any, other: Any) -> Any:
    return cb.astream_call(RunnableParallel(one=one, other=other).ainvoke, "tea", streaming=True)


def gathered(one: Any, other: Any) -> Any:
    async def ask() -> None:
        await asyncio.gather(one.ainvoke("tea"), other.ainvoke("tea"))

    return cb.astream_call(ask)


@pytest.mark.parametrize("open_stream", [together, gathered])
async def test_a_cleanup_is_not_cancelled_because_another_was_quicker(open_stream: Callable[..., Any]) -> None:
    """`asyncio.gather` is over with the first of its tasks that ends by a cancellation."""
    closed: list[str] = []

    async def quick() -> None:
        closed.append("quick")

    async def slow() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        closed.append("slow")

    words = 0
    async with open_stream(Speaker(cleanup=quick), Speaker(cleanup=slow)) as stream:
        async for event in stream:
            words += event["event"] == "on_chat_model_stream"
            if words == 2:
                break
    assert sorted(closed) == ["quick", "slow"]


@pytest.mark.skipif(not HAS_LANGGRAPH, reason="needs langgraph")
async def test_a_worker_that_serves_other_requests_goes_on() -> None:
    """LangGraph's batching stores start theirs in whatever request comes first."""
    from langgraph.store.base.batch import AsyncBatchedBaseStore
    from langgraph.store.memory import InMemoryStore

    class Store(AsyncBatchedBaseStore):
        def __init__(self) -> None:
            super().__init__()
            self._inner = InMemoryStore()

        async def abatch(self, ops: Any) -> Any:
            await asyncio.sleep(0)
            return self._inner.batch(ops)

        def batch(self, ops: Any) -> Any:
            return self._inner.batch(ops)

    stores: list[Store] = []

    async def work(question: str) -> str:
        stores.append(Store())
        await stores[0].aput(("notes",), "mine", {"text": question})
        await asyncio.Event().wait()
        return question

    def sync_work(question: str) -> str:
        return question

    async with cb.astream_events(RunnableLambda(sync_work, afunc=work), "tea") as stream:
        await anext(stream)
        await turns_until(lambda: bool(stores))
    await asyncio.wait_for(stores[0].aput(("notes",), "another's", {"text": "coffee"}), 30)


def branches(one: Runnable[Any, Any], failing: Runnable[Any, Any]) -> Any:
    return cb.astream_call(RunnableParallel(one=one, failing=failing).ainvoke, "tea", streaming=True)


def batches(one: Runnable[Any, Any], failing: Runnable[Any, Any]) -> Any:
    either = RunnableLambda(lambda question: one if question == "tea" else failing)
    return cb.astream_call(either.abatch, ["tea", "coffee"], streaming=True)


@pytest.mark.parametrize("open_stream", [branches, batches])
async def test_a_branch_that_fails_ends_its_siblings(open_stream: Callable[..., Any]) -> None:
    """Their answers would go to nobody."""
    closed = asyncio.Event()
    began = asyncio.Event()

    async def note() -> None:
        closed.set()

    class Telling(Speaker):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            began.set()
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk

    async def fail(question: str) -> str:
        await began.wait()
        raise LookupError(question)

    def sync_fail(question: str) -> str:
        raise NotImplementedError

    before = asyncio.all_tasks()
    with pytest.raises(LookupError):
        async with open_stream(Telling(cleanup=note), RunnableLambda(sync_fail, afunc=fail)) as stream:
            async for _ in stream:
                pass
    assert asyncio.all_tasks() == before
    assert closed.is_set()


async def test_what_the_users_own_code_has_left_running_goes_on() -> None:
    may_end, said = asyncio.Event(), asyncio.Event()

    async def slow(question: str) -> str:
        await may_end.wait()
        said.set()
        return question

    async def work() -> None:
        kept.append(asyncio.create_task(RunnableLambda(len, afunc=slow).ainvoke("tea")))
        await asyncio.sleep(0)
        raise LookupError

    kept: list[Any] = []
    with pytest.raises(LookupError):
        async with cb.astream_call(work) as stream:
            async for _ in stream:
                pass
    may_end.set()
    assert await kept[0] == "tea"
    assert said.is_set()


# -- what begins while a run is being left, or after it


def ask_in_background(question: str) -> asyncio.Task[Any]:
    """Start something of LangChain's and do not wait for it."""
    return asyncio.create_task(RunnableLambda(len, afunc=said_later).ainvoke(question))


def read_in_background(question: str) -> asyncio.Task[Any]:
    """Read parallel branches, for which LangChain makes tasks of its own."""
    later = RunnableLambda(len, afunc=said_later)

    async def read() -> Any:
        chunks = [chunk async for chunk in RunnableParallel(one=later, other=later).astream(question)]
        return {**chunks[0], **chunks[1]}["other"]

    return asyncio.create_task(read())


async def said_later(question: str) -> str:
    for _ in range(50):
        await asyncio.sleep(0)
    return question


@pytest.mark.parametrize("begin", [ask_in_background, read_in_background])
@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_not_awaited_goes_on(begin: Callable[[str], asyncio.Task[Any]], fails: bool) -> None:
    """A run that fails, or is left, ends what LangChain has made of it, and nothing that the user has started."""
    kept: list[asyncio.Task[Any]] = []

    async def work() -> None:
        kept.append(begin("tea"))
        await asyncio.sleep(0)
        if fails:
            raise LookupError
        await asyncio.Event().wait()

    with suppress(LookupError):
        async with cb.astream_call(work) as stream:
            async for _ in stream:
                if not fails:
                    break
    answer = await kept[0]
    assert answer == "tea"


@pytest.mark.parametrize("by", [cb.astream_call, cb.astream_events])
async def test_a_worker_that_was_begun_in_a_run_serves_others_after_it(by: Any) -> None:
    """It has the run's context, and so its handler; what it is asked later is none of that run's."""
    jobs: asyncio.Queue[tuple[str, asyncio.Future[Any]]] = asyncio.Queue()
    workers: list[asyncio.Task[None]] = []

    async def serve() -> None:
        while True:
            question, answer = await jobs.get()
            answer.set_result(
                [await RunnableLambda(len, afunc=said_later).ainvoke(question), RunnableLambda(len).invoke(question)]
            )

    async def ask(question: str) -> Any:
        answer = asyncio.get_running_loop().create_future()
        jobs.put_nowait((question, answer))
        return await answer

    async def work(question: str) -> None:
        workers.append(asyncio.create_task(serve()))
        await ask(question)
        answered.set()
        await asyncio.Event().wait()

    answered = asyncio.Event()
    source = work if by is cb.astream_call else RunnableLambda(len, afunc=work)
    async with by(source, "tea") as stream:
        reading = asyncio.ensure_future(anext(stream))
        await answered.wait()
        await reading
    assert await asyncio.wait_for(ask("coffee"), 30) == ["coffee", 6]
    workers[0].cancel()


def saving(saved: list[str]) -> Runnable[str, str]:
    def save(text: str) -> str:
        saved.append(text)
        return text

    async def asave(text: str) -> str:
        await asyncio.sleep(0)
        return save(text)

    return RunnableLambda(save, afunc=asave)


@pytest.mark.parametrize("cleanup", ["ainvoke", "invoke", "astream"])
@pytest.mark.parametrize("by", [cb.astream_call, cb.astream_events])
async def test_the_cleanup_of_a_run_may_use_runnables(by: Any, cleanup: str) -> None:
    """To save what was said so far, for example; it is not heard any more, and not stopped."""
    saved: list[str] = []
    began = asyncio.Event()

    async def nothing() -> None:
        return None

    model = Speaker(cleanup=nothing)

    async def work(question: str) -> str:
        said = ""
        try:
            async for chunk in model.astream(question):
                said += str(chunk.content)
                began.set()
        finally:
            save = saving(saved)
            if cleanup == "ainvoke":
                await save.ainvoke(said)
            elif cleanup == "invoke":
                save.invoke(said)
            else:
                async for _ in save.astream(said):
                    pass
        return said

    source = work if by is cb.astream_call else RunnableLambda(len, afunc=work)
    async with by(source, "tea") as stream:
        reading = asyncio.ensure_future(anext(stream))
        await began.wait()
        await reading
    assert saved == ["word"]


@pytest.mark.parametrize("kept_in", ["except", "finally"])
def test_the_cleanup_of_a_sync_run_may_use_runnables(kept_in: str) -> None:
    saved: list[str] = []
    later: list[str] = []
    model = ScriptedChatModel(scripts=[text_chunks(*["red", "green", "blue"])] * 2)

    def work(question: str) -> None:
        said = ""
        try:
            for chunk in model.stream(question):
                said += str(chunk.content)
        except BaseException:
            if kept_in == "except":
                saving(saved).invoke(said)
            raise
        finally:
            if kept_in == "finally":
                saving(saved).invoke(said)
        saving(later).invoke(said)

    with cb.stream_call(work, "tea", capacity=1) as stream:
        for event in stream:
            if event["event"] == "on_chat_model_stream":
                break
    assert saved in (["red"], ["redgreen"])  # the model may be one word ahead
    assert not later


def test_work_that_goes_on_in_spite_of_an_error_is_stopped() -> None:
    """A caught error is not a cancellation, so the code after it is not cleanup."""
    asked: list[str] = []
    began, left = threading.Event(), threading.Event()

    def fail(question: str) -> str:
        began.set()
        left.wait()
        raise LookupError(question)

    def work(question: str) -> None:
        try:
            RunnableLambda(fail).invoke(question)
        except LookupError:
            saving(asked).invoke(question)

    stream = cb.stream_call(work, "tea")
    next(stream)
    began.wait()
    closing = threading.Thread(target=stream.close)
    closing.start()
    while not stream._handler.sender.stopped:
        time.sleep(0)
    left.set()
    closing.join()
    assert not asked


class AbandonedError(BaseException):
    """What no `except Exception` catches."""


async def test_an_error_of_any_kind_that_was_read_is_not_complained_of() -> None:
    async def fail() -> None:
        raise AbandonedError

    with watched(), pytest.raises(AbandonedError):
        async with cb.astream_call(fail) as stream:
            async for _ in stream:
                pass
    gc.collect()


async def test_a_crowd_leaves_in_one_sweep_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks are looked at once in a turn, however many leave in it."""
    looked: list[int] = []
    all_tasks = asyncio.all_tasks

    def counted(loop: Any = None) -> Any:
        found = all_tasks(loop)
        looked.append(len(found))
        return found

    async def visit() -> None:
        async with cb.astream_call(RunnableLambda(len, afunc=for_ever).ainvoke, "tea") as stream:
            await anext(stream)
            arrived.append(1)
            await gate.wait()

    async def for_ever(question: str) -> str:
        await asyncio.Event().wait()
        return question

    async def crowd(size: int) -> int:
        arrived.clear()
        gate.clear()
        visitors = asyncio.gather(*(visit() for _ in range(size)))
        await turns_until(lambda: len(arrived) == size)
        looked.clear()
        gate.set()
        await visitors
        return len(looked)

    arrived: list[int] = []
    gate = asyncio.Event()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "all_tasks", counted)
        few = await crowd(5)
        many = await crowd(100)
    assert many <= few + 3


async def test_a_run_that_is_over_remembers_nothing_of_others() -> None:
    """Whose handler it still is, because they were begun in it."""
    workers: list[Any] = []
    go_on = asyncio.Event()

    async def serve() -> None:
        await go_on.wait()
        for _ in range(20):
            await RunnableLambda(len, afunc=said_later).ainvoke("coffee")
            RunnableLambda(len).invoke("coffee")

    async def work() -> None:
        workers.append(asyncio.create_task(serve()))
        raise LookupError

    stream = cb.astream_call(work)
    sender = stream._handler.sender
    async with stream:
        await asyncio.sleep(0)
        reading = asyncio.ensure_future(anext(stream, None))
        await turns_until(lambda: bool(workers))
        reading.cancel()
    go_on.set()
    await workers[0]
    assert sender.stopped
    assert not sender._open


# -- many at once, and what does not give in


@pytest.mark.parametrize("events", [3, 6])
async def test_a_crowd_that_leaves_branches_in_mid_stream_leaves_nothing(events: int) -> None:
    """One in each turn of the loop: what one has dropped is not missed because another has just looked at the loop."""

    async def visit(turns: int) -> bool:
        run = parallel(words=["word "] * 8)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with cb.astream_events(run.runnable, run.value) as stream:
            for _ in range(events):
                await anext(stream)
        return run.book.closed

    assert all(await asyncio.gather(*(visit(turns) for turns in range(25))))


async def test_a_run_that_loses_its_cancellation_is_stopped_at_a_callback() -> None:
    """As `asyncio.wait_for` lost it before CPython 3.12."""
    began, went_on = asyncio.Event(), False

    async def work(question: str, config: RunnableConfig) -> str:
        nonlocal went_on
        with suppress(asyncio.CancelledError):
            began.set()
            await asyncio.Event().wait()
        for _ in range(2000):
            await adispatch_custom_event("progress", question, config=config)
            await asyncio.sleep(0)
        went_on = True
        return question

    async with cb.astream_events(RunnableLambda(len, afunc=work), "tea") as stream:
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream, None))
        await began.wait()
    await reading
    assert not went_on


class SlowToLetGo(ThreadPoolExecutor):
    """A pool of one thread that holds what it has run for a while after it has told the end, as any pool does for a moment."""

    def __init__(self) -> None:
        super().__init__(1)
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._own = threading.Thread(target=self._serve)
        self._own.start()

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((future, call, args, kwargs))
        return future

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call, args, kwargs = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)
            time.sleep(0.05)
            del job, future, call, args, kwargs

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._jobs.put(None)
        self._own.join()


class InThread(Speaker):
    """A model without an async API: LangChain takes its words from a thread of a pool, one by one."""

    said: Any = None
    may_go_on: Any = None
    closed: Any = None

    _astream = BaseChatModel._astream

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        try:
            yield ChatGenerationChunk(message=AIMessageChunk(content="word"))
            self.said.set()
            self.may_go_on.wait()
            yield ChatGenerationChunk(message=AIMessageChunk(content="word"))
        finally:
            self.closed.set()


async def test_what_a_pool_is_slow_to_let_go_of_is_waited_for() -> None:
    said, may_go_on, closed = (threading.Event() for _ in range(3))
    asyncio.get_running_loop().set_default_executor(SlowToLetGo())
    model = InThread(cleanup=None, said=said, may_go_on=may_go_on, closed=closed)
    stream = cb.astream_events(model, "tea")
    await anext(stream)
    await turns_until(said.is_set)
    leaving = asyncio.ensure_future(stream.aclose())
    await asyncio.sleep(0)
    may_go_on.set()
    await leaving
    assert closed.is_set()
