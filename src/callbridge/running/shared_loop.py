"""`run_on_shared_loop`: runs the async calls of sync code on one event loop, which stays, in a daemon thread.

Clients of providers keep connections, and a connection belongs to the loop on which it was opened. If each call had its own
loop, a client that the whole program shares would fail in the second call with "Event loop is closed". The first call makes the
loop, and the exit of the interpreter ends it. A forked process makes its own.

Code that blocks the loop blocks all calls on it, and may be waiting for the very call that cannot begin. So if the loop does
not take up a call soon, the call gets its own loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, Final

from callbridge.internals import abort_transports, new_event_loop, run_on_new_loop
from callbridge.running.interpreter_exit import call_at_exit, is_exiting

__all__ = ["is_on_shared_loop", "run_on_shared_loop"]

_logger = logging.getLogger("callbridge.stream")

_TAKEN_SECONDS = 1.0
"""If the loop has not taken up a call after this time, it counts as blocked."""

_POOL_SIZE = 64
"""Size of the loop's pool of threads for sync code. Each of these threads may wait for further calls."""

_NAME = "asyncio-callbridge"


def run_on_shared_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on the shared loop, in a copy of this thread's context, and block this thread.

    Args:
        work: Makes the coroutine. Called on the loop.

    Returns:
        Its result.

    Raises:
        BaseException: What the coroutine raised.
    """
    loop = None if is_exiting() or is_on_shared_loop() else _SHARED.loop()
    if loop is not None:
        call = _Call(work)
        done = call.done if call.is_taken_up(loop) else None
        del call
        if done is not None:
            try:
                return done.result()
            finally:
                del done  # it holds the error, whose traceback refers to this frame
    return run_on_new_loop(work())


def is_on_shared_loop() -> bool:
    """Return whether this code runs on the shared loop, and so must not wait for it."""
    return _SHARED.is_here()


class _Call:
    """A call on its way from its thread to the loop."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._work = work
        self._taken = threading.Event()
        self._start: Future[None] = Future()
        self.done: Future[Any] = Future()

    def is_taken_up(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Hand the call to the loop. Return whether the loop has taken it up; if not, it never will."""
        try:
            loop.call_soon_threadsafe(self._begin, context=copy_context())
        except RuntimeError:  # the loop is closed, because the interpreter exits
            return False
        return self._taken.wait(_TAKEN_SECONDS) or not self._start.cancel()

    def _begin(self) -> None:
        if self._start.set_running_or_notify_cancel():
            self._taken.set()
            task, done = asyncio.ensure_future(self._run()), self.done
            task.add_done_callback(lambda _: _note_cancelled(done))

    async def _run(self) -> None:
        done, work = self.done, self._work
        del self
        try:
            result = await work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            done.set_exception(error)
        else:
            done.set_result(result)
        finally:
            del done, work  # as above


def _note_cancelled(done: Future[Any]) -> None:
    if not done.done():  # the task was cancelled before its first step
        done.set_exception(asyncio.CancelledError())


class _Shared:
    """The loop of this process. The first call makes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._forgotten: tuple[asyncio.AbstractEventLoop, ...] = ()
        self._hears_of_forks = False

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        with self._lock:
            if self._loop is None:
                self._loop = loop = new_event_loop()
                loop.set_default_executor(ThreadPoolExecutor(_POOL_SIZE, thread_name_prefix="asyncio"))
                self._over = threading.Event()
                self._thread = threading.Thread(target=_serve, args=(loop, self._over), name=_NAME, daemon=True)
                self._thread.start()
                call_at_exit(self._end)
                if not self._hears_of_forks and hasattr(os, "register_at_fork"):
                    self._hears_of_forks = True
                    os.register_at_fork(after_in_child=self._forget)
            return self._loop

    def is_here(self) -> bool:
        """Return whether this is the loop's thread."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _forget(self) -> None:
        """Called in a forked process, which does not have the loop's thread.

        The loop is not closed: that would close what it shares with the parent's loop.
        """
        self._lock = threading.Lock()
        if self._loop is not None:
            self._forgotten = (*self._forgotten, self._loop)
        self._loop = self._thread = None

    def _end(self, seconds: float) -> None:
        """Called when the interpreter exits. Cancel all tasks, close the loop, and wait a moment for its thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with suppress(RuntimeError):  # the loop is closed already
            wind_up = partial(_wind_up, self._over, monotonic() + seconds)
            loop.call_soon_threadsafe(lambda: asyncio.ensure_future(wind_up()))
            thread.join(seconds)


def _serve(loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
    """Run the loop. This is the thread's function."""
    asyncio.set_event_loop(loop)
    while not over.is_set():
        try:
            loop.run_forever()
        except BaseException:
            _logger.warning("a task of an async call from sync code has raised what ends a program", exc_info=True)
    loop.close()


async def _wind_up(over: threading.Event, deadline: float) -> None:
    """Cancel and await what is left, and close the connections that clients have kept."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.0, deadline - monotonic()))
    await loop.shutdown_asyncgens()
    abort_transports(loop)
    await asyncio.sleep(0)
    over.set()
    loop.stop()


_SHARED: Final = _Shared()
