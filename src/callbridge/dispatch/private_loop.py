"""`PrivateLoop`: an event loop in a thread of its own, for handlers that cannot be called where the events are read.

Two kinds of methods need it: coroutine methods of handlers that sync code feeds, and sync methods, if you ask for one dedicated
thread. LangChain makes a new loop for each callback of the first kind, and uses any thread of a pool for the second. A
handler's connections, locks and context variables survive neither.

All jobs run one after the other in one task. Its context is empty, so a job that needs one brings its own. The thread holds no
reference to its owner. The owner stops the thread when it is closed or collected.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeAlias

from anyio.lowlevel import cancel_shielded_checkpoint

from callbridge.channel.waiters import async_waiter, current_task
from callbridge.internals import new_event_loop, run_to_end, without_running_loop

__all__ = ["PrivateLoop", "called_between_turns"]

Job: TypeAlias = Callable[[], Awaitable[Any]]


class PrivateLoop:
    """An asyncio loop in a thread of its own.

    Threads: any but its own.
    """

    def __init__(self) -> None:
        # Everything is made here, so that nobody has to wait for the thread: this may run in an event loop, where nothing may
        # block.
        self._loop = loop = new_event_loop()
        self._queue: asyncio.Queue[tuple[Job, Future[Any]] | None] = asyncio.Queue()
        self._task = Context().run(loop.create_task, _serve(self._queue))
        self._finished: Future[None] = Future()
        work = (loop, self._task, self._finished)
        self._thread = threading.Thread(target=_run, args=work, name="callbridge-dispatch", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no threads left
            self._task.cancel()
            run_to_end(loop, asyncio.wait([self._task]))
            raise

    def is_current(self) -> bool:
        """Return whether the calling code is a job."""
        return threading.get_ident() == self._thread.ident

    def run(self, job: Job) -> Any:
        """Run a job and wait for its result, blocking the thread.

        Raises:
            BaseException: Whatever the job raises. If the wait is interrupted, so is the job.
        """
        future = self.submit(job)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                self._call(self._cancel, future)
            raise

    async def arun(self, job: Job) -> Any:
        """Run a job and await its result, on asyncio or trio.

        Cancellation: a job that runs goes on; a job that waits is dropped.
        """
        future = self.submit(job)
        try:
            await _done(future)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def submit(self, job: Job) -> Future[Any]:
        """Queue a job, without waiting."""
        future: Future[Any] = Future()
        self._call(self._queue.put_nowait, (job, future))
        return future

    def stop(self) -> None:
        """Let the thread end after the waiting jobs. Does not wait; idempotent; from any thread, also from finalizers."""
        # RuntimeError: the thread has ended, and its loop is closed.
        with suppress(RuntimeError):
            self._call(self._queue.put_nowait, None)

    def close(self) -> None:
        """Let the thread end after the waiting jobs, and wait for it."""
        self.stop()
        self._thread.join()

    async def aclose(self) -> None:
        """Let the thread end after the waiting jobs, and wait for it in a task of asyncio or trio."""
        self.stop()
        await _done(self._finished)
        while self._thread.is_alive():  # it is past its last line, but `join` would block the loop, even if only for a moment
            await cancel_shielded_checkpoint()

    def _call(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    def _cancel(self, future: Future[Any]) -> None:
        # In the loop, so that the running job is the one that the task is awaiting.
        if future.running():
            self._task.cancel()
        future.cancel()


async def called_between_turns(call: Callable[[], Any]) -> Any:
    """Make a sync call in a callback of the loop, where there is no task, and as if there were no loop. A job calls it.

    The call may block, and it may run a loop. Within the job's task it could not: one task at a time runs in a thread.

    Cancellation: the call is not made, or what it has returned is dropped.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Future[None] = loop.create_future()
    result: Future[Any] = Future()
    loop.call_soon(_call_without_loop, call, result, made)
    try:
        await made
        return result.result()
    except asyncio.CancelledError:
        if result.done() and inspect.iscoroutine(dropped := result.exception() or result.result()):
            dropped.close()
        raise
    finally:
        del result  # it has the error, whose traceback refers to this frame


def _call_without_loop(call: Callable[[], Any], result: Future[Any], made: asyncio.Future[None]) -> None:
    """Be the callback."""
    if made.done():
        return
    with without_running_loop():
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised in the job
            result.set_exception(error)
    made.set_result(None)


async def _done(future: Future[Any]) -> None:
    """Await a future of another thread."""
    loop, _ = current_task()
    waiter = async_waiter(loop)
    future.add_done_callback(lambda _: waiter.wake())
    await waiter.wait()


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], finished: Future[None]) -> None:
    """Run the loop. This is the thread's function."""
    try:
        run_to_end(loop, task)
    finally:
        finished.set_result(None)


async def _serve(queue: asyncio.Queue[tuple[Job, Future[Any]] | None]) -> None:
    """Run the jobs. This is the only task of the loop."""
    while (entry := await queue.get()) is not None:
        job, future = entry
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(await job())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job
                future.set_exception(error)
        # So that the task keeps no handler alive while it waits.
        del entry, job, future
