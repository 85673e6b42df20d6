"""A reader that leaves, at every possible moment and in every possible way, leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import BaseCallbackHandler
from leaving import (
    CALLS,
    SYNC_CALLEES,
    SYNC_CALLS,
    SYNC_WAYS,
    WAYS,
    break_out_of_async_with,
    break_out_of_with,
    by_astream_events,
    by_coroutine_function,
    by_stream_call,
    cancel_the_task,
    drop,
    drop_sync,
    read,
)

import callbridge as cb
from callbridge.core.status import status_of
from callbridge.observe.output_taps import tap
from callbridge.observe.owned_run_handler import OwnedRunHandler
from lives import RUNS, Run, chain, graph, our_threads, tool, watched
from oracle.recording import AsyncRecorder, Recorder

# -- every moment -----------------------------------------------------------------------------------------------------


class Statuses(Recorder):
    """Keeps how runs ended, and not the errors.

    The branches of a sync `RunnableParallel` refer to each other by the errors that they were stopped with; who keeps those
    keeps the branches.
    """

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._note(method, (status_of(args[0]),) if method.endswith("_error") else args, kwargs)


def check_root(make: Any, recorder: Any) -> None:
    """The run's own handlers have heard how the root ended: well, or by a cancellation."""
    if len(recorder.calls) < 2 or make is tool:
        # Left while they were being told of the start. Of a tool that is cancelled LangChain tells nobody.
        return
    root = recorder.calls[0][2]["run_id"]
    ends = [call for call in recorder.calls if call[2]["run_id"] == root and call[0].endswith(("_end", "_error"))]
    # LangGraph reports a graph that is cancelled while it reports its end twice.
    assert len(ends) == 1 or (make is graph and len(ends) == 2), recorder.calls
    method, args, _ = ends[-1]
    assert method.endswith("_end") or "cancelled" in (args[0], status_of(args[0])), args


async def leave_once(make: Any, call: Any, way: Any, count: int, **options: Any) -> None:
    """Run, leave after so many events, and look around."""
    run = make()
    recorder = Recorder() if call in SYNC_CALLEES else AsyncRecorder()
    before = asyncio.all_tasks()
    with ThreadPoolExecutor(1) as pool:
        stream = await way(lambda: call(run, {"callbacks": [recorder]}, pool, **options), count)
        while stream is None and asyncio.all_tasks() != before:  # noqa: ASYNC110 - dropped: its run ends by itself
            await asyncio.sleep(0.001)  # not at once: its threads need the interpreter
    assert asyncio.all_tasks() == before, (asyncio.all_tasks(), before)
    assert not our_threads()
    assert run.book.closed
    if stream is not None:
        assert stream.statistics().runs == 0
    if count:
        check_root(make, recorder)


async def count_events(make: Any, call: Any) -> int:
    run = make()
    with ThreadPoolExecutor(1) as pool:
        return len([event async for event in call(run, None, pool)])


CASES = [
    pytest.param(make, call, way, id=f"{name}-{call.__name__}-{way.__name__}")
    for name, make in RUNS.items()
    for call in CALLS
    for way in WAYS
    # What runs and how it is called matter to how a run ends; the way in which the reader leaves mattered only until then.
    if make is chain or way in (break_out_of_async_with, drop) or (way is cancel_the_task and call is by_astream_events)
]


@pytest.mark.anyio
@pytest.mark.parametrize(("make", "call", "way"), CASES)
async def test_leaving_at_any_event_leaves_nothing(make: Any, call: Any, way: Any) -> None:
    """Whatever runs, however it is called and left: no task, no thread, no complaint, no run remembered."""
    with watched():
        for count in range(await count_events(make, call) + 2):
            await leave_once(make, call, way, count, capacity=1 if count % 2 else 256)


SYNC_CASES = [
    pytest.param(make, call, way, id=f"{name}-{call.__name__}-{way.__name__}")
    for name, make in RUNS.items()
    for call in SYNC_CALLS
    for way in SYNC_WAYS
    if make is chain or way in (break_out_of_with, drop_sync)
]


@pytest.mark.parametrize(("make", "call", "way"), SYNC_CASES)
def test_leaving_at_any_event_of_a_sync_stream_leaves_nothing(make: Any, call: Any, way: Any) -> None:
    """The same without an event loop."""
    with watched():
        for count in range(len(list(call(make(), None))) + 2):
            run, recorder = make(), Statuses()
            stream = way(lambda: call(run, {"callbacks": [recorder]}, capacity=1 if count % 2 else 256), count)  # noqa: B023
            for thread in threading.enumerate():
                if stream is None and thread.name in our_threads():
                    thread.join()  # dropped: its run ends by itself
            assert not our_threads()
            assert run.book.closed
            if stream is not None:
                assert stream.statistics().runs == 0
            if count:
                check_root(make, recorder)


# -- while the run waits for its provider -----------------------------------------------------------------------------


async def cancel_inside_async_with(run: Run, stream: Any) -> None:
    async def consume() -> None:
        async with stream:
            async for _ in stream:
                pass

    await cancel_when_both_wait(run, stream, consume())


async def cancel_without_async_with(run: Run, stream: Any) -> None:
    async def consume() -> None:
        async for _ in stream:
            pass

    await cancel_when_both_wait(run, stream, consume())


async def cancel_when_both_wait(run: Run, stream: Any, consuming: Any) -> None:
    task = asyncio.create_task(consuming)
    await both_wait(run, stream)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def close_in_another_task(run: Run, stream: Any) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, stream, 1000)
        await both_wait(run, stream)
        await stream.aclose()


async def cancel_the_scope_of_the_read(run: Run, stream: Any) -> None:
    async with anyio.create_task_group() as tasks:

        async def consume() -> None:
            async with stream:
                await read(stream, 1000)

        tasks.start_soon(consume)
        await both_wait(run, stream)
        tasks.cancel_scope.cancel()


async def both_wait(run: Run, stream: Any) -> None:
    """Let the reader read on until the provider waits for the network and the reader for the provider."""
    await run.book.waits.wait()
    while not stream.statistics().channel.waiting_reader:
        await checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "leave",
    [cancel_inside_async_with, cancel_without_async_with, close_in_another_task, cancel_the_scope_of_the_read],
)
@pytest.mark.parametrize("word", [0, 2])
@pytest.mark.parametrize("call", [by_astream_events, by_coroutine_function])
@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
async def test_a_reader_leaves_while_the_provider_waits(make: Any, call: Any, word: int, leave: Any) -> None:
    """The provider's generator is cancelled where it waits, after any number of words."""
    with watched():
        run = make(words=["red ", "green ", "blue "], waits_at=word)
        recorder = AsyncRecorder()
        before = asyncio.all_tasks()
        stream = call(run, {"callbacks": [recorder]}, None)
        await leave(run, stream)
        assert asyncio.all_tasks() == before, (asyncio.all_tasks(), before)
        assert run.book.closed
        assert stream.statistics().runs == 0
        check_root(make, recorder)


@pytest.mark.anyio
@pytest.mark.parametrize("call", SYNC_CALLEES)
async def test_blocking_code_is_stopped_at_its_next_callback(call: Any) -> None:
    """Leaving waits for a thread that blocks, and the thread says one more word and no other."""
    with watched():
        run = chain(words=["word "] * 1000, blocks_at=2)
        with ThreadPoolExecutor(1) as pool:
            stream = call(run, None, pool)
            await read(stream, 1)
            await asyncio.get_running_loop().run_in_executor(None, run.book.blocks.wait)
            closing = asyncio.create_task(stream.aclose())
            while stream.statistics().runs:
                await checkpoint()
            run.book.gate.set()
            await closing
        assert (run.book.said, run.book.closed) == (3, True)
        assert not our_threads()


def test_blocking_code_of_a_sync_stream_is_stopped_at_its_next_callback() -> None:
    """The same for a reader without a loop, which `close` blocks meanwhile."""
    with watched():
        run = chain(words=["word "] * 1000, blocks_at=2)
        stream = by_stream_call(run, None)
        next(stream)
        run.book.blocks.wait()
        closing = threading.Thread(target=stream.close)
        closing.start()
        while stream.statistics().runs:
            pass
        run.book.gate.set()
        closing.join()
        assert (run.book.said, run.book.closed) == (3, True)
        assert not our_threads()


@pytest.mark.parametrize("way", [break_out_of_with, drop_sync])
def test_a_call_that_swallows_how_it_was_stopped_leaves_nothing(way: Any) -> None:
    """It ends well, and the error that it keeps refers to generators of its chain that were not closed."""

    def calm(run: Run) -> list[Any]:
        kept: list[BaseException] = []
        try:
            return list(run.runnable.stream(run.value))
        except BaseException as error:
            kept.append(error)  # a cycle: this frame, the error, its traceback
            return []

    with watched():
        for count in range(1, len(list(cb.stream_call(calm, chain()))) + 1):
            run = chain()
            stream = way(lambda: cb.stream_call(calm, run, capacity=1), count)  # noqa: B023
            for thread in threading.enumerate():
                if stream is None and thread.name in our_threads():
                    thread.join()
            assert run.book.closed


def test_ctrl_c_stops_the_run() -> None:
    """A `KeyboardInterrupt` in the thread that reads ends the run and its thread."""
    words = 2000

    class Interrupting(BaseCallbackHandler):
        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            # By now the main thread has long begun to read.
            if run.book.said == words // 2:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with watched():
        run = chain(words=["word "] * words)
        with pytest.raises(KeyboardInterrupt), by_stream_call(run, {"callbacks": [Interrupting()]}, capacity=1) as stream:
            for _ in stream:
                pass
        assert run.book.closed
        assert words // 2 <= run.book.said < words
        assert not our_threads()


def test_what_a_stopped_generator_raises_while_it_is_closed_is_nobodys() -> None:
    """LangChain's read on when they are closed, and may come to an error of the provider's; nobody could catch it."""
    handler = OwnedRunHandler(streaming=True)

    def chunks() -> Iterator[str]:
        try:
            yield "red"
        finally:
            raise LookupError

    with watched():
        tapped = tap(handler.sender, uuid4(), chunks())
        assert next(tapped) == "red"
        handler.sender.stop()
        del tapped
