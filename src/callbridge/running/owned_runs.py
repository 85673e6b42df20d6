"""The run that a stream owns: one task or one thread, with one context.

The first read starts a run. The run tells its reporter when it has ended, and it can be cancelled and waited for. Nothing here
refers to the stream, so that a stream that is dropped dies at once and takes its run with it.

Both kinds end in the same way. They tell the reporter, with the run's error if there is one. They end what a cancelled run has
left behind. Then they set `done`. The wait for `done` cannot be cut short: a reader that is cancelled while it leaves still
leaves no task and no thread behind.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint

from callbridge.channel.flag import Flag
from callbridge.core.calls import Payload
from callbridge.core.runs import MISSING
from callbridge.core.status import status_of
from callbridge.errors import EventLoopError
from callbridge.internals import elsewhere, run_on_new_loop, running_loop
from callbridge.running.cancelling import Cancelling, Phase
from callbridge.running.interpreter_exit import end_at_exit, is_exiting
from callbridge.running.reporter import Reporter
from callbridge.running.run_scope import RunScope
from callbridge.running.shared_loop import is_on_shared_loop, run_on_shared_loop

__all__ = ["LateRun", "OwnedRun", "TaskRun", "ThreadRun", "call_in_thread"]

_logger = logging.getLogger("callbridge.stream")


class OwnedRun(Protocol):
    """A run that a stream owns."""

    @property
    def result(self) -> Payload:
        """What the run has returned. `MISSING` before that."""
        ...

    def start(self) -> None:
        """Start the run, from the reader's task or thread."""
        ...

    def cancel(self) -> None:
        """Ask the run to stop. Idempotent; any thread."""
        ...

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the run has stopped, at most that many seconds. Return whether it has."""
        ...

    def wait_sync(self) -> None:
        """Block the thread until the run has stopped."""
        ...


def _finish(reporter: Reporter, error: BaseException | None) -> None:
    """End the iteration. If nobody will read the error any more, log it, unless it comes from stopping the run.

    An interpreter that exits stops runs in other ways too: it has no more threads for them.
    """
    is_unread = isinstance(error, Exception) and reporter.reader_left
    if is_unread and not is_exiting() and not (reporter.stopped and _is_cancellation(error)):
        _logger.warning("a run failed after its reader had left: %r", error, exc_info=error)
    reporter.finish(error)


def _is_cancellation(error: BaseException | None) -> bool:
    """Return whether an error comes from a cancellation: LangGraph wraps what sync nodes raise."""
    while error is not None and status_of(error) != "cancelled":
        error = error.__cause__ or error.__context__
    return error is not None


class _AsyncRun:
    """An async run inside a task: awaits it and cancels it.

    Args:
        reporter: What the run reports to.
        scope: Knows what is part of the run.
        cancelling: Cancels the run.
    """

    def __init__(self, reporter: Reporter, scope: RunScope, cancelling: Cancelling) -> None:
        self._reporter = reporter
        self._scope = scope
        self._cancelling = cancelling
        self._phase: Phase = "new"

    async def complete(self, awaitable: Awaitable[Payload]) -> Payload:
        """Await the run, and end what it must not leave behind."""
        reporter, failed = self._reporter, True
        self._phase = "running"
        try:
            result = await awaitable
            await reporter.settle()
            failed = False
            return result
        except BaseException as error:
            reporter.leftover_frames.add_error(error)
            if isinstance(error, GeneratorExit) and reporter.stopped:
                raise asyncio.CancelledError from error  # a task cannot end by what stops sync code
            raise
        finally:
            self._phase = "over"
            reporter.end_call()
            if reporter.stopped:
                await self._cancelling.end()
            elif failed:
                await self._scope.end_branches()
            reporter.end_run()

    def begin_cancelling(self, task: asyncio.Task[Payload]) -> None:
        """Cancel the task of `complete` as soon as the run waits. Called on its loop, once or more."""
        self._cancelling.begin(task, lambda: self._phase)


class TaskRun:
    """A run in one asyncio task.

    Args:
        reporter: What the run reports to.
        call: Makes the run.
        context: Makes the context of the run when it starts.
    """

    def __init__(self, reporter: Reporter, call: Callable[[], Awaitable[Payload]], context: Callable[[], Context]) -> None:
        self._reporter = reporter
        self._call = call
        self._make_context = context
        self._context: Context | None = None
        self._scope = RunScope()
        self._cancelling = Cancelling(reporter, self._scope)
        self._run = _AsyncRun(reporter, self._scope, self._cancelling)
        self._done = Flag()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.result: Payload = MISSING

    def start(self) -> None:
        """Start the task on the running loop.

        Raises:
            EventLoopError: No asyncio loop is running here.
        """
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise EventLoopError("a running asyncio loop (LangChain's async API has no other)", "none in this thread") from None
        self._context = self._make_context()
        self._context.run(self._scope.enter)
        self._cancelling.bind()
        self._begin(self._drive())

    def cancel(self) -> None:
        """Cancel the task where it waits, and stop its code in threads at the next callback."""
        task, loop = self._task, self._loop
        if task is None or loop is None:
            return
        end: Callable[[], None]
        entered = self._reporter.entered_loops
        if not task.done():
            end = partial(self._run.begin_cancelling, task)
            entered.expect()
        elif self.result is MISSING:
            end = self._begin_clearing
        else:
            return
        self._reporter.stop()
        try:
            if running_loop() is loop:
                end()
            else:
                loop.call_soon_threadsafe(end)
        except RuntimeError:
            # The loop is closed, and the task is gone.
            entered.note_told()

    def _begin_clearing(self) -> None:
        """End what is left of a run that has failed by itself, and whose error nobody will read."""
        self._begin(self._clear())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        assert self._context is not None
        self._done = done = Flag()
        self._task = self._context.run(self._loop.create_task, work)
        self._task.add_done_callback(partial(self._ended, done))

    async def _clear(self) -> None:
        frames = self._reporter.leftover_frames
        frames.clear_all()
        await self._scope.end_leftovers(frames)
        frames.clear_last()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the task has ended. Code of the run itself does not wait."""
        return self._task is None or self._scope.is_here or await self._done.wait(seconds=seconds)

    def wait_sync(self) -> None:
        """Block until the task has ended. Not from the thread of its own loop."""
        if self._task is not None and not self._scope.is_here:
            self._done.wait_sync()

    async def _drive(self) -> None:
        self._task = self._task or asyncio.current_task()  # an eager task gets here before `_begin` has it
        assert self._task is not None
        self._reporter.entered_loops.own(self._task)
        try:
            self.result = await self._run.complete(self._call())
        except Exception as error:  # noqa: BLE001 - for the reader, who gets it from the channel
            _finish(self._reporter, error)
        except BaseException as error:
            _finish(self._reporter, error)
            raise  # a task that was cancelled should say so
        else:
            _finish(self._reporter, None)
        finally:
            # Nothing follows in this task, so it is over before anybody who waits for it goes on. If the run was stopped, its
            # done callbacks must run first.
            if not self._reporter.stopped:
                self._done.set()

    def _ended(self, done: Flag, task: asyncio.Task[None]) -> None:
        """Called by the loop, also for a task that was cancelled before its first step."""
        self._reporter.entered_loops.unbind()
        self._reporter.finish(asyncio.CancelledError() if task.cancelled() else None)
        if not task.cancelled():
            task.exception()  # the reader gets it; retrieving it keeps the loop from complaining
        done.set()


class ThreadRun:
    """A run in its own thread.

    It does not take a thread of a pool: while the run waits for its reader, others may need that thread.

    Args:
        reporter: What the run reports to.
        call: Makes the run. If it returns an awaitable, the shared loop runs that to its end.
        context: Makes the context of the run when it starts.
    """

    def __init__(self, reporter: Reporter, call: Callable[[], Payload], context: Callable[[], Context]) -> None:
        self._reporter = reporter
        self._call = call
        self._context = context
        self._scope = RunScope()
        self._cancelling = Cancelling(reporter, self._scope)
        self._run = _AsyncRun(reporter, self._scope, self._cancelling)
        self._done = Flag()
        self._thread: threading.Thread | None = None
        self._over = False
        self._is_nested = False
        # The loop and task of a call that returned an awaitable, for `cancel`.
        self._inner: tuple[asyncio.AbstractEventLoop, asyncio.Task[Payload]] | None = None
        self.result: Payload = MISSING

    def start(self) -> None:
        """Start the thread."""
        context = self._context()
        context.run(self._scope.enter)
        self._cancelling.bind()
        self._is_nested = is_on_shared_loop()  # the reader is there, and may block that loop while it waits
        # Set before the thread runs: another thread may close the stream at once, and has to wait for this one.
        self._thread = _make_thread(context, self._drive)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            self._thread = None
            raise

    def cancel(self) -> None:
        """Stop the run at its next callback. An awaitable that the call has returned is cancelled where it waits."""
        inner, entered = self._inner, self._reporter.entered_loops
        if inner is not None:
            entered.expect()
        self._reporter.stop()
        if self._over and self.result is MISSING:
            self._reporter.leftover_frames.clear_last()
        if inner is not None:
            loop, task = inner
            try:
                loop.call_soon_threadsafe(self._run.begin_cancelling, task)
            except RuntimeError:  # the loop is closed, and the task is gone
                entered.note_told()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the thread has ended. Code of the run itself does not wait."""
        if self._thread is not None and not self._scope.is_here:
            if not await self._done.wait(seconds=seconds):
                return False
            await _joined(self._thread)
        return True

    def wait_sync(self) -> None:
        """Block until the thread has ended. Code of the run itself does not wait."""
        if self._thread is not None and not self._scope.is_here:
            self._done.wait_sync()
            self._thread.join()

    def _drive(self) -> None:
        run = _run_on_own_loop if self._is_nested else run_on_shared_loop
        try:
            result = self._call()
            self.result = run(partial(self._await, result)) if inspect.isawaitable(result) else result
        except BaseException as error:  # noqa: BLE001 - for the reader: this thread has nobody else to tell
            _finish(self._reporter, error)
            self._end(error)
        else:
            _finish(self._reporter, None)
            self._end(None)
        finally:
            self._done.set()

    def _end(self, error: BaseException | None) -> None:
        self._reporter.end_call()
        self._over = True  # before `stopped` is read: `cancel` stops first and then reads `_over`
        _clear_frames(self._reporter, error)
        if self._reporter.stopped:
            self._cancelling.end_sync()
        self._reporter.end_run()

    async def _await(self, awaitable: Awaitable[Payload]) -> Payload:
        """Called on the loop that runs the awaitable."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._inner = loop, task
        self._reporter.entered_loops.own(task)
        if self._reporter.stopped:  # `cancel` came before it could see the task
            self._reporter.entered_loops.expect()
            self._run.begin_cancelling(task)
        return await self._run.complete(awaitable)


class LateRun:
    """A run whose kind depends on where it is started.

    Args:
        make: Makes the run. Called where it is started.
    """

    def __init__(self, make: Callable[[], OwnedRun]) -> None:
        self._make = make
        self._run: OwnedRun | None = None

    @property
    def result(self) -> Payload:
        """What the run returned; `MISSING` before."""
        return MISSING if self._run is None else self._run.result

    def start(self) -> None:
        """Start the run."""
        self._run = self._make()
        self._run.start()

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._run is not None:
            self._run.cancel()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the run has stopped."""
        return self._run is None or await self._run.wait(seconds)

    def wait_sync(self) -> None:
        """Block until the run has stopped."""
        if self._run is not None:
            self._run.wait_sync()


def _run_on_own_loop(work: Callable[[], Coroutine[Any, Any, Payload]]) -> Payload:
    return run_on_new_loop(work())


async def call_in_thread(reporter: Reporter, call: Callable[[], Payload]) -> Payload:
    """Call sync code in its own thread and return what it returns.

    Cancellation: the code is stopped at its next callback, and awaited.
    """
    done = Flag()
    returned: list[Payload] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's task
            _clear_frames(reporter, error)
            raised.append(error)
        else:
            _clear_frames(reporter, None)
        finally:
            done.set()

    thread = _make_thread(copy_context(), work)
    thread.start()
    try:
        await done.wait(reporter.stop)
        if raised:
            raise raised[0]
        return returned[0]
    finally:
        await _joined(thread)
        raised.clear()  # the error's traceback refers to this frame


async def _joined(thread: threading.Thread) -> None:
    """Wait for a thread that is past its last line, without blocking the loop: on some loops nothing may block.

    Cancellation: it is raised afterwards.
    """
    cancelled: BaseException | None = None
    while thread.is_alive():
        try:
            await cancel_shielded_checkpoint()
        except anyio.get_cancelled_exc_class() as error:  # native asyncio cancellation
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _clear_frames(reporter: Reporter, error: BaseException | None) -> None:
    """Close what a stopped sync call has left behind. Called in its thread, where generators know that they are stopped.

    A stopped call may still end well: a root that is closed just before its end swallows the errors that stopped its branches.
    """
    if error is not None:
        reporter.leftover_frames.add_error(error)
    if reporter.stopped:
        reporter.leftover_frames.clear_all()


def _make_thread(context: Context, target: Callable[[], None]) -> threading.Thread:
    # A daemon, because an interpreter that exits must not wait for a model that still talks.
    thread = threading.Thread(target=elsewhere(context).run, args=(target,), name="callbridge-run", daemon=True)
    end_at_exit(thread)
    return thread
