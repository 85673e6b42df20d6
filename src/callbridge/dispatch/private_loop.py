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
from functools import partial
from typing import Any, TypeAlias

from anyio.lowlevel import cancel_shielded_checkpoint

from callbridge.channel.waiters import async_waiter, current_task
from callbridge.internals import new_event_loop, run_to_end, without_running_loop

__all__ = ["PrivateLoop", "called_between_turns"]

Job: TypeAlias = Callable[[], Awaitable[Any]]


class _Jobs(asyncio.Queue[tuple[Job, "Future[Any]"] | None]):
    """Jobs, in the order in which they are run."""

    is_idle = False
    """Whether the task waits for a job."""

    def make(self, function: Callable[[], Any], future: Future[Any]) -> None:
        """Call a sync function after the earlier jobs. Runs in a callback of the loop.

        If there is none, this does not wake the task, which would take two more turns of the loop.
        """
        if self.is_idle and self.empty():
            _call_without_loop(function, future)
        else:
            self.put_nowait((partial(called_between_turns, function), future))


class PrivateLoop:
    """An asyncio loop in a thread of its own.

    Threads: any but its own.
    """

    def __init__(self) -> None:
        # Everything is made here, so that nobody has to wait for the thread: this may run in an event loop, where nothing may
        # block.
        self._loop = loop = new_event_loop()
        self._queue = _Jobs()
        self._context = Context()
        self._task = self._context.run(loop.create_task, _serve(self._queue))
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
        return self._wait(self.submit(job))

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a sync function between the loop's tasks and wait for its result, blocking the thread.

        The function may block, and it may run a loop. In a job it could not: one task at a time runs in a thread.

        Raises:
            BaseException: Whatever the function raises.
        """
        return self._wait(self._submit_call(function))

    async def acall(self, function: Callable[[], Any]) -> Any:
        """Do what `call` does in a task of asyncio or trio, and do not block its thread.

        Cancellation: a function that runs goes on, one that waits is not called.
        """
        future = self._submit_call(function)
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

    def _submit_call(self, function: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._call(self._queue.make, function, future)
        return future

    def _wait(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except BaseException:
            if not future.done():
                self._call(self._cancel, future)
            raise

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
        self._loop.call_soon_threadsafe(function, *args, context=self._context)

    def _cancel(self, future: Future[Any]) -> None:
        # In the loop, so that the running job is the one that the task is awaiting.
        if future.running():
            self._task.cancel()
        future.cancel()


async def called_between_turns(function: Callable[[], Any]) -> Any:
    """Call a sync function from a job, between the loop's tasks: see `PrivateLoop.call`.

    Cancellation: the function is not called, or what it has returned is dropped.
    """
    future: Future[Any] = Future()
    loop = asyncio.get_running_loop()
    made: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_make, function, future, made)
    try:
        await made
        return future.result()
    except asyncio.CancelledError:
        if not future.cancel() and inspect.iscoroutine(dropped := future.exception() or future.result()):
            dropped.close()
        raise
    finally:
        del future  # it has the error, whose traceback refers to this frame


def _make(function: Callable[[], Any], future: Future[Any], made: asyncio.Future[None]) -> None:
    if not made.done():  # else the job was cancelled
        _call_without_loop(function, future)
        made.set_result(None)


def _call_without_loop(function: Callable[[], Any], future: Future[Any]) -> None:
    """Call a sync function in a callback of the loop, unless its future is cancelled."""
    try:
        if future.set_running_or_notify_cancel():
            with without_running_loop():
                result = function()
            future.set_result(result)
    except BaseException as error:  # noqa: BLE001 - the code that waits for the call gets it
        future.set_exception(error)
    finally:
        del future  # as above


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


async def _serve(queue: _Jobs) -> None:
    """Run the jobs. This is the only task of the loop."""
    while True:
        queue.is_idle = True
        entry = await queue.get()
        queue.is_idle = False
        if entry is None:
            return
        job, future = entry
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(await job())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job
                future.set_exception(error)
        # So that the task keeps no handler alive while it waits.
        del entry, job, future
