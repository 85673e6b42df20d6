"""A loop in a thread of its own: one task, one context, no thread left."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from callbridge.dispatch.private_loop import PrivateLoop, called_between_turns

variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture
def loop() -> Any:
    made = PrivateLoop()
    yield made
    made.close()


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def fail() -> None:
    raise ValueError("in the job")


def test_a_job_gives_its_result_or_its_error(loop: PrivateLoop) -> None:
    """To the thread that waits for it."""
    assert loop.run(lambda: give(3)) == 3
    with pytest.raises(ValueError, match="in the job"):
        loop.run(fail)
    assert loop.run(lambda: give(4)) == 4


def test_jobs_share_a_thread_a_loop_and_a_context(loop: PrivateLoop) -> None:
    """What one sets the next one sees, and the caller does not."""

    async def place() -> Any:
        return threading.get_ident(), asyncio.get_running_loop(), asyncio.current_task()

    async def set_variable() -> None:
        variable.set("set by a job")

    async def get_variable() -> str:
        return variable.get()

    assert loop.run(place) == loop.run(place)
    assert loop.run(place)[0] != threading.get_ident()
    loop.run(set_variable)
    assert loop.run(get_variable) == "set by a job"
    assert variable.get() == "unset"


def test_code_knows_whether_it_is_a_job(loop: PrivateLoop) -> None:
    """So that it does not wait for itself."""

    async def ask() -> bool:
        return loop.is_current()

    assert loop.run(ask)
    assert not loop.is_current()


def test_closing_lets_jobs_finish_and_ends_the_thread() -> None:
    """Those that were given before; closing again does nothing."""
    made = PrivateLoop()
    thread = made._thread
    gate = threading.Event()

    async def wait() -> str:
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return "done"

    first, second = made.submit(wait), made.submit(lambda: give("too"))
    made.stop()
    gate.set()
    made.close()
    made.close()
    assert (first.result(0), second.result(0)) == ("done", "too")
    assert not thread.is_alive()


def test_an_interrupted_wait_interrupts_the_job(loop: PrivateLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a handler hangs: the job is cancelled, and the loop serves on."""
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = threading.Event()

    async def begin_and_hang() -> None:
        running.set()
        await hang()

    def interrupted(self: Future[Any], timeout: float | None = None) -> Any:
        running.wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.run(begin_and_hang)
    cancelled.wait()
    assert loop.run(lambda: give("still here")) == "still here"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_tasks_wait_for_calls(anyio_backend: str) -> None:
    """Without blocking their loop, on asyncio and trio; handlers' own libraries see asyncio."""
    made = PrivateLoop()
    gate = threading.Event()
    results: list[Any] = []

    def wait() -> str:
        asyncio.run(anyio.lowlevel.checkpoint())
        gate.wait()
        return "done"

    def fails() -> None:
        raise ValueError("in the call")

    async def ask() -> None:
        results.append(await made.acall(wait))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        gate.set()
    assert results == ["done"]
    with pytest.raises(ValueError, match="in the call"):
        await made.acall(fails)
    await made.aclose()
    assert not made._thread.is_alive()


@pytest.mark.anyio
async def test_a_call_whose_waiter_is_cancelled_before_it_begins_is_not_made() -> None:
    """One that runs goes on: a sync function cannot be stopped."""
    made = PrivateLoop()
    gate = threading.Event()
    running = threading.Event()
    ran: list[str] = []

    def first() -> None:
        running.set()
        gate.wait()
        ran.append("first")

    def second() -> None:
        ran.append("second")

    async with anyio.create_task_group() as group:
        group.start_soon(made.acall, first)
        group.start_soon(made.acall, second)
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(running.wait)
        group.cancel_scope.cancel()
    gate.set()
    await made.aclose()
    assert ran == ["first"]


def test_the_thread_holds_no_job_while_it_waits(loop: PrivateLoop) -> None:
    """Nor its result: a handler dies when its owner does."""

    class Thing:
        pass

    thing = Thing()
    gone, idle = threading.Event(), threading.Event()
    weakref.finalize(thing, gone.set)
    loop.run(lambda thing=thing: give(thing))
    loop._loop.call_soon_threadsafe(idle.set)  # runs when the task waits for its next job
    idle.wait()
    del thing
    gc.collect()
    assert gone.is_set()


def test_a_sync_call_may_run_a_loop_and_block(loop: PrivateLoop) -> None:
    """There is no loop where it is made, and no task."""

    def call() -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return asyncio.run(give(threading.get_ident()))

    def fails() -> None:
        raise ValueError("in the call")

    async def give_loop() -> Any:
        return asyncio.get_running_loop()

    for make in (loop.call, lambda function: loop.run(lambda: called_between_turns(function))):
        assert make(call) == loop._thread.ident
        with pytest.raises(ValueError, match="in the call"):
            make(fails)
        assert loop.run(give_loop) is loop._loop


def test_a_sync_call_waits_for_the_jobs_before_it(loop: PrivateLoop) -> None:
    made: list[str] = []
    gate = threading.Event()

    async def job() -> None:
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        made.append("job")

    before = loop.submit(job)
    calling = threading.Thread(target=loop.call, args=[lambda: made.append("call")])
    calling.start()
    gate.set()
    calling.join()
    before.result()
    assert made == ["job", "call"]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_sync_call_whose_job_is_cancelled_leaves_nothing(is_made: bool) -> None:
    """Of one that was made, nobody awaits what it returned, and nobody complains of that."""
    called: list[str] = []

    async def main() -> None:
        def call() -> Any:
            called.append("called")
            own_loop.call_soon(task.cancel)
            return give("dropped")

        own_loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(called_between_turns(call))
        if not is_made:
            own_loop.call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    gc.collect()
    assert called == ["called"] * is_made
