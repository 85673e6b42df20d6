"""What a run has begun beside itself: who leaves waits for what is the run's, and nobody else's is touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

import callbridge as cb
from lives import HAS_LANGGRAPH, watched

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
