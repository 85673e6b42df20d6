"""Streams that are never begun, detached, nested, or left by somebody who is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from leaving import (
    CALLS,
    SYNC_CALLEES,
    SYNC_CALLS,
    aclose,
    break_out_of_async_with,
    by_astream_events,
    by_coroutine_function,
    by_stream_call,
    cancel_the_task,
    drop,
    read,
    read_sync,
)

import callbridge as cb
from lives import RUNS, Provider, Run, chain, our_threads, watched
from oracle.recording import AsyncRecorder, Recorder

# -- never begun, detached --------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("close_it", [True, False], ids=["closed", "dropped"])
@pytest.mark.parametrize("call", [*CALLS, *SYNC_CALLS])
async def test_a_stream_that_was_never_read_has_done_nothing(call: Any, close_it: bool) -> None:
    """The run starts with the first read; without one there is nothing to clean up."""
    with watched():
        run, recorder = chain(), Recorder()
        before = asyncio.all_tasks()
        config = {"callbacks": [recorder]}
        stream = call(run, config) if call in SYNC_CALLS else call(run, config, None)
        if close_it:
            if call in SYNC_CALLS:
                stream.close()
            else:
                await stream.aclose()
            with pytest.raises(cb.StreamConsumedError):
                iter(stream) if call in SYNC_CALLS else aiter_of(stream)
            with pytest.raises(cb.ResultNotReadyError, match="closed before"):
                _ = stream.result
        del stream
        assert asyncio.all_tasks() == before
        assert not our_threads()
        assert (run.book.begun, recorder.calls) == (0, [])


def aiter_of(stream: Any) -> Any:
    return stream.__aiter__()


@pytest.mark.anyio
@pytest.mark.parametrize("way", [break_out_of_async_with, aclose, cancel_the_task, drop])
@pytest.mark.parametrize("call", CALLS)
async def test_a_detached_run_goes_on_to_its_end(call: Any, way: Any) -> None:
    """With `on_exit="detach"` nobody is cancelled and nobody waits: the run ends well, unread."""
    with watched():
        run = chain(words=["word "] * 20)
        recorder = Recorder() if call in SYNC_CALLEES else AsyncRecorder()
        before = asyncio.all_tasks()
        with ThreadPoolExecutor(1) as pool:
            config = {"callbacks": [recorder]}
            stream = await way(lambda: call(run, config, pool, on_exit="detach", capacity=2), 4)
            while asyncio.all_tasks() != before:
                await checkpoint()
        assert [name for name, _, _ in recorder.calls][-1] == "on_chain_end"
        assert (run.book.said, run.book.closed) == (20, True)
        if stream is not None:
            assert stream.statistics().runs == 0
            with pytest.raises(cb.ResultNotReadyError, match="closed before"):
                _ = stream.result


@pytest.mark.parametrize("call", SYNC_CALLS)
def test_a_detached_thread_goes_on_to_its_end(call: Any) -> None:
    """The same for sync streams: the thread finishes by itself."""
    with watched():
        run, recorder = chain(words=["word "] * 20), Recorder()
        with call(run, {"callbacks": [recorder]}, on_exit="detach", capacity=2) as stream:
            next(stream)
        for thread in threading.enumerate():
            if thread.name in our_threads():
                thread.join()
        assert [name for name, _, _ in recorder.calls][-1] == "on_chain_end"
        assert (run.book.said, run.book.closed) == (20, True)


# -- streams inside streams -------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("on_trial", [0, 3, 8, 100])
async def test_a_stream_inside_an_observed_run_takes_nothing_from_it(on_trial: int) -> None:
    """Both observers hear the inner run; leaving the outer stream ends the inner one, which may be in the middle."""
    inner_events: list[Any] = []
    run = chain()

    async def work(q: str) -> str:
        async with cb.astream_call(run.runnable.ainvoke, {"q": q}) as stream:
            async for event in stream:
                inner_events.append(event)
        return str(stream.result)

    with watched():
        before = asyncio.all_tasks()
        outer = cb.astream_call(RunnableLambda(work).ainvoke, "tea", capacity=1)
        outer_events = []
        async with outer:
            async for event in outer:
                outer_events.append(event)
                if len(outer_events) == on_trial:
                    break
        assert asyncio.all_tasks() == before
        assert run.book.closed
        assert outer.statistics().runs == 0
        if on_trial == 100:
            assert outer.result == "red green "
            assert [event["event"] for event in outer_events[1:-1]] == [event["event"] for event in inner_events]
            assert {event["run_id"] for event in inner_events} < {event["run_id"] for event in outer_events}


@pytest.mark.parametrize("stop_after", [1, 4, 100])
def test_a_sync_stream_inside_an_observed_run_takes_nothing_from_it(stop_after: int) -> None:
    """The same with `stream_call` inside `stream_call`: the inner run has a thread of its own."""
    run = chain()
    inner_events: list[Any] = []

    def work(q: str) -> str:
        with cb.stream_call(run.runnable.invoke, {"q": q}) as stream:
            inner_events.extend(stream)
        return str(stream.result)

    with watched():
        with cb.stream_call(RunnableLambda(work).invoke, "tea", capacity=1) as outer:
            outer_events = list(itertools.islice(outer, stop_after))
        assert not our_threads()
        assert run.book.closed
        if stop_after == 100:
            assert [event["event"] for event in outer_events[1:-1]] == [event["event"] for event in inner_events]


class _Closing(AsyncCallbackHandler):
    """Closes a stream from inside its own run."""

    def __init__(self) -> None:
        self.stream: Any = None
        self.returned = 0

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        await self.stream.aclose()
        self.returned += 1


@pytest.mark.anyio
@pytest.mark.parametrize("call", [by_astream_events, by_coroutine_function])
async def test_a_stream_can_be_closed_from_inside_its_own_run(call: Any) -> None:
    """A callback of the run cannot wait for the run to end; it is cancelled all the same, and the reader sees the end."""
    with watched():
        run, closing = chain(words=["word "] * 50), _Closing()
        before = asyncio.all_tasks()
        closing.stream = call(run, {"callbacks": [closing]}, None)
        async with closing.stream:
            await read(closing.stream, 1000)
        assert asyncio.all_tasks() == before
        assert run.book.closed
        assert run.book.said < 50


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_a_stream_can_be_closed_in_the_first_step_of_an_eager_task() -> None:
    """Nobody has the task by then but the task itself."""
    ended: list[str] = []

    async def work() -> None:
        await streams[0].aclose()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with streams[0]:
            await read(streams[0], 1)

    streams = [cb.astream_call(work)]
    with watched():
        asyncio.run(asyncio.wait_for(main(), 30))
    assert ended == ["work"]


def test_a_sync_stream_can_be_closed_from_inside_its_own_run() -> None:
    """The same for a thread, and for a thread that works for it."""

    class Closing(BaseCallbackHandler):
        stream: Any = None

        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            self.stream.close()

    for make in (chain, RUNS["parallel"]):
        with watched():
            run, closing = make(words=["word "] * 50), Closing()
            closing.stream = by_stream_call(run, {"callbacks": [closing]})
            with closing.stream:
                read_sync(closing.stream, 1000)
            assert not our_threads()
            assert run.book.closed
            assert run.book.said < 50
            closing.stream = None


# -- cancellation of who leaves ---------------------------------------------------------------------------------------


class Slow(Provider):
    """A provider whose connection takes its time to close."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self.book.begin()
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        finally:
            with anyio.CancelScope(shield=True):
                self.book.all_left.clear()
                while not self.book.gate.is_set():
                    await checkpoint()
            self.book.leave()


def slow_run() -> Run:
    model = Slow(waits_at=1)
    return Run(model, "tea", model.book)


@pytest.mark.anyio
async def test_cancelling_who_leaves_is_not_swallowed_and_does_not_cut_the_cleanup() -> None:
    """A second cancellation, while the run is being awaited, is raised when the run has ended."""
    with watched():
        run = slow_run()
        before = asyncio.all_tasks()
        stream = by_astream_events(run, None, None)
        await read(stream, 2)
        closing = asyncio.create_task(stream.aclose())
        for _ in range(20):
            await checkpoint()
            closing.cancel()
        assert not closing.done()
        run.book.gate.set()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert asyncio.all_tasks() == before
        assert run.book.closed


@pytest.mark.anyio
async def test_a_cancelled_scope_waits_for_the_cleanup() -> None:
    """Level cancellation goes on cancelling; the run is awaited all the same, by the time the scope is left."""
    with watched():
        run = slow_run()
        before = asyncio.all_tasks()
        with anyio.CancelScope() as scope:
            async with by_astream_events(run, None, None) as stream:
                await read(stream, 2)
                asyncio.get_running_loop().call_later(0, run.book.gate.set)
                scope.cancel()
                await anyio.sleep_forever()
        assert asyncio.all_tasks() == before
        assert run.book.closed


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(asyncio, "timeout"), reason="CPython 3.11")
async def test_a_timeout_of_asyncio_is_told_from_other_cancellations() -> None:
    """`asyncio.timeout` counts the task's cancellations: none may be swallowed or added."""
    with watched():
        run = chain(waits_at=1)
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as timeout:
                async with by_astream_events(run, None, None) as stream:
                    async for event in stream:
                        if event["event"] == "on_chat_model_stream":
                            timeout.reschedule(asyncio.get_running_loop().time())
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0
        assert asyncio.all_tasks() == before
        assert run.book.closed


@pytest.mark.anyio
async def test_two_who_close_both_wait_for_the_end() -> None:
    """Closing twice at once is fine; neither returns before the run has ended."""
    with watched():
        run = slow_run()
        stream = by_astream_events(run, None, None)
        await read(stream, 2)
        ended: list[bool] = []

        async def leave() -> None:
            await stream.aclose()
            ended.append(run.book.closed)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave)
            tasks.start_soon(leave)
            for _ in range(20):
                await checkpoint()
            assert not ended
            run.book.gate.set()
        assert ended == [True, True]


@pytest.mark.anyio
async def test_the_run_that_a_task_left_does_not_take_others_along() -> None:
    """Tasks that the user's code has started inside the run are the user's: they go on."""
    release = asyncio.Event()
    background: list[asyncio.Task[Any]] = []
    run = chain(waits_at=0)

    async def work(q: str, config: RunnableConfig) -> str:
        background.append(asyncio.create_task(release.wait()))
        return str(await run.runnable.ainvoke({"q": q}, config))

    with watched():
        async with cb.astream_events(RunnableLambda(work), "tea") as stream:
            await read(stream, 3)
        assert run.book.closed
        assert not background[0].done()
        release.set()
        assert await background[0] is True


def test_a_loop_that_is_shut_down_ends_the_runs_in_it() -> None:
    """A main function that returns while a stream is open leaves no task to complain about."""
    run = chain(waits_at=1)
    kept: list[Any] = []

    async def main() -> None:
        kept.append(by_astream_events(run, None, None))
        await read(kept[0], 3)

    with watched():
        asyncio.run(main())
        assert run.book.closed
        kept.clear()


@pytest.mark.anyio
async def test_a_run_cancelled_before_its_first_step_ends_its_stream() -> None:
    """A stream closed in the same turn of the loop in which its run was started does not wait for ever."""
    with watched():
        run = chain()
        before = asyncio.all_tasks()
        stream = by_astream_events(run, None, None)
        reading = stream.__anext__()
        with contextlib.suppress(StopIteration):
            reading.send(None)  # as a task would, up to where it waits
        closing = asyncio.create_task(stream.aclose())
        (started,) = asyncio.all_tasks() - before - {closing}
        started.cancel()
        await closing
        reading.close()
        assert asyncio.all_tasks() == before
        assert run.book.begun == 0
