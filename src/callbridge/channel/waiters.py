"""Parking and waking: the waiters for tasks and threads, and where they run.

A waiter is used once. It is published, by appending it to a list that both sides see. Then the condition is read again, and
then it waits. The side that takes it out of the list wakes it. `list.pop` is atomic, so nobody else does.

| waiter | waits | woken by a task of its loop | woken from elsewhere |
|---|---|---|---|
| `AsyncioWaiter` | on a future | by setting the result | by `call_soon_threadsafe` |
| `TrioWaiter` | in `wait_task_rescheduled` | by `reschedule` | by `TrioToken.run_sync_soon` |
| `ThreadWaiter` | on a lock that is taken | (cannot happen) | by releasing the lock |

"Elsewhere" includes the loop's own thread outside tasks: a finalizer may run there just before the loop goes to sleep, and the
loop sleeps unless it is woken as from another thread.

A wake carries no item. So a waiter that is cancelled after it was woken loses nothing: the item is still in the buffer. anyio's
memory streams put the item into the waiter, and native task cancellation loses it there.

A wake may come after the waiter was withdrawn, from another thread that had taken it out before. Then it must do nothing: the
future is done, the lock is released to nobody, and the trio task is rescheduled only while it is really parked (`reschedule`
of a task that sleeps elsewhere crashes trio).

Tried and rejected: spinning with `sleep(0)` before a thread blocks (slower), and an eventfd instead of the loop's own self-pipe
(25 us per idle wake, Linux only, two more system calls per channel).
"""

from __future__ import annotations

import asyncio
import sys
import threading
import types
import weakref
from _thread import LockType, allocate_lock
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from threading import get_ident
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio.from_thread

from callbridge.errors import EventLoopError
from callbridge.internals import pool_queues, running_loop

if TYPE_CHECKING:
    from trio.lowlevel import Abort, Task, TrioToken

__all__ = [
    "AsyncWaiter",
    "AsyncioWaiter",
    "HandOver",
    "Loop",
    "Place",
    "ThreadWaiter",
    "TrioWaiter",
    "Waiter",
    "async_waiter",
    "current_task",
    "in_event_loop",
    "is_pool_worker",
    "may_be_waited_for",
    "pause",
    "unpark",
    "withdraw",
]

HAND_OVER_LIMIT = 0.002
"""How many seconds at most a thread waits until the reader that it has woken runs."""

HAND_OVER_INTERVAL = 0.001
"""Seconds between two hand-overs. With more of them, items would not gather into batches."""

JUDGE_INTERVAL = 0.02
"""For how many seconds the verdict holds that a thread computes or does not. Asking costs as much as waking."""

COMPUTING_SHARE = 0.1
"""Share of its time for which a computing thread uses the processor. Low, because processors are shared."""


class AsyncioWaiter:
    """Waits in a task of an asyncio loop.

    Args:
        loop: The loop that runs here.
    """

    __slots__ = ("future", "loop", "running", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = get_ident()
        self.future: asyncio.Future[None] = loop.create_future()
        self.running: LockType | None = None

    def wake(self) -> None:
        """Let the task go on; from any thread, at most once, harmless after it was withdrawn."""
        # While a task runs in this thread, the loop has not checked its work yet. A finalizer may run while it checks.
        if get_ident() == self.thread and asyncio.current_task(self.loop) is not None:
            if not self.future.done():
                self.future.set_result(None)
        else:
            try:  # noqa: SIM105  # `suppress` takes its time, and the reader is waiting
                self.loop.call_soon_threadsafe(_resolve, self.future)
            except RuntimeError:
                pass  # the loop is closed, so the task that waited is gone

    def wake_here(self) -> None:
        """Let the task go on; from a task or a callback of its own loop."""
        if not self.future.done():
            self.future.set_result(None)

    def wait(self) -> Awaitable[None]:
        """Return an awaitable that ends with the wake. Await it once."""
        return self.future

    def renew(self) -> Awaitable[None]:
        """Return an awaitable that ends with the next wake, after an earlier wait is over. Await it once."""
        self.future = future = self.loop.create_future()
        return future

    async def wait_at_most(self, seconds: float) -> None:
        """Wait until woken, but not longer. The code that published the waiter can tell whether it was woken."""
        timer = self.loop.call_later(seconds, _resolve, self.future)
        try:
            await self.future
        finally:
            timer.cancel()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class TrioWaiter:
    """Waits in a trio task.

    Args:
        token: The token of the trio run that the task belongs to.
    """

    __slots__ = ("_task", "_token", "_woken", "running", "thread")

    def __init__(self, token: TrioToken) -> None:
        self.thread = get_ident()
        self._token = token
        self._task: Task | None = None
        self._woken = False
        self.running: LockType | None = None

    def wake(self) -> None:
        """Let the task go on; from any thread, at most once, harmless after it was withdrawn."""
        if _running_trio_task() is not None and running_trio_token() is self._token:
            self._reschedule()
            return
        import trio

        # RunFinishedError: `trio.run` is over, so the task that waited is gone.
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._reschedule)

    def _reschedule(self) -> None:
        import trio

        self._woken = True
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Wait until woken."""
        import trio

        def abort(_: object) -> Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        # A finalizer in this thread woke it before it parked.
        if not self._woken:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(abort)

    def renew(self) -> Awaitable[None]:
        """Return an awaitable that ends with the next wake, after an earlier wait is over. Await it once."""
        self._woken = False
        return self

    def __await__(self) -> Generator[Any, None, None]:
        return self.wait().__await__()

    async def wait_at_most(self, seconds: float) -> None:
        """Wait until woken, but not longer. The code that published the waiter can tell whether it was woken."""
        import trio

        with trio.move_on_after(seconds):
            await self.wait()


class ThreadWaiter:
    """Blocks a thread."""

    __slots__ = ("_lock", "running", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()
        self._lock = allocate_lock()
        self._lock.acquire()
        self.running: LockType | None = None

    def wake(self) -> None:
        """Let the thread go on; from any thread, at most once, harmless after it was withdrawn."""
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until woken, or for `timeout` seconds; return whether it was woken.

        Raises:
            KeyboardInterrupt: In the main thread, at once.
        """
        return self._lock.acquire(timeout=-1 if timeout is None else timeout)


Loop: TypeAlias = "asyncio.AbstractEventLoop | TrioToken"
"""The loop that tasks run in."""

AsyncWaiter: TypeAlias = "AsyncioWaiter | TrioWaiter"
Waiter: TypeAlias = "AsyncioWaiter | TrioWaiter | ThreadWaiter"


def withdraw(waiters: list[Waiter], waiter: Waiter) -> bool:
    """Give up waiting. Return whether the waiter was still there, in which case nobody will wake it."""
    try:
        waiters.remove(waiter)
    except ValueError:
        return False
    return True


def unpark(slot: list[Waiter], waiter: Waiter) -> None:
    """Take a reader's waiter back if it is still there, and release the thread that waits until the reader runs.

    It is still there after a cancellation, and after a wake that was meant for an earlier wait.
    """
    withdraw(slot, waiter)
    running, waiter.running = waiter.running, None
    if running is not None:
        running.release()


def running_trio_token() -> TrioToken | None:
    """Return the token of the trio run that this code belongs to; `None` outside trio. This does not import trio."""
    if (trio := sys.modules.get("trio")) is None:
        return None
    try:
        token: TrioToken = trio.lowlevel.current_trio_token()
    except (RuntimeError, AttributeError):  # AttributeError: another thread is just importing trio
        return None
    return token


def _running_trio_task() -> object | None:
    if (trio := sys.modules.get("trio")) is None:
        return None
    try:
        task: object = trio.lowlevel.current_task()
    except (RuntimeError, AttributeError):
        return None
    return task


def current_task() -> tuple[Loop | None, object | None]:
    """Return the loop and the task that this code runs in; `(None, None)` outside tasks."""
    loop = running_loop()
    # A trio guest runs in callbacks of its host's loop, which has no current task there.
    if loop is not None and (task := asyncio.current_task(loop)) is not None:
        return loop, task
    if (trio_task := _running_trio_task()) is not None:
        return running_trio_token(), trio_task
    return None, None


def async_waiter(loop: Loop | None) -> AsyncWaiter:
    """Make a waiter for the current task, which runs in `loop`.

    Raises:
        EventLoopError: There is no loop.
    """
    if loop is None:
        raise EventLoopError("a task of asyncio or trio", "no task")
    return AsyncioWaiter(loop) if isinstance(loop, asyncio.AbstractEventLoop) else TrioWaiter(loop)


def pause(loop: Loop | None) -> Awaitable[None]:
    """Return an awaitable that gives every other runnable task of `loop` its turn. A checkpoint."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return _yield_to_asyncio()
    import trio

    return trio.lowlevel.checkpoint()  # noqa: ASYNC105  # by the caller


@types.coroutine
def _yield_to_asyncio() -> Generator[None, None, None]:
    yield


def in_event_loop() -> bool:
    """Return whether an event loop runs in this thread, so that blocking the thread would block the loop."""
    return running_loop() is not None or running_trio_token() is not None


def is_pool_worker() -> bool:
    """Return whether this thread belongs to any pool, so that an event loop may hand work to it."""
    return _is_async_worker() or threading.current_thread() in pool_queues()


def may_be_waited_for() -> bool:
    """Return whether a job may be waiting for this worker. Only a `ThreadPoolExecutor` can tell that none is."""
    queue = pool_queues().get(threading.current_thread())
    return queue is None or not queue.empty()


def _is_async_worker() -> bool:
    """Return whether this thread was started by `to_thread.run_sync` of anyio or trio."""
    checks = [anyio.from_thread.check_cancelled]
    if (trio := sys.modules.get("trio")) is not None:
        checks.append(trio.from_thread.check_cancelled)
    for check in checks:
        try:
            check()
        except RuntimeError:  # both raise this in any other thread
            continue
        except BaseException:  # noqa: BLE001  # the task that started it is cancelled; not our question
            return True
        return True
    return False


class Place:
    """Where a reader reads: its thread, and its loop and task if it is async.

    The reference to the task is weak, because the task holds the stream that holds the channel.

    Args:
        loop: The asyncio loop or trio token; `None` for sync code.
        task: Its task.
    """

    __slots__ = ("_current", "_task", "_unanswered", "loop", "thread", "waiter")

    def __init__(self, loop: Loop | None, task: object | None) -> None:
        self.thread = get_ident()
        self.loop = loop
        self._task: Callable[[], object] = _no_task if task is None else weakref.ref(task)
        self._unanswered: threading.Event | None = None
        # Returns the task that runs in the loop now. Chosen here, because `is_here` is called for each batch.
        self._current: Callable[[], object] = _running_trio_task
        if isinstance(loop, asyncio.AbstractEventLoop):
            self._current = partial(asyncio.current_task, loop)
        if loop is not None:
            self.waiter: AsyncWaiter = async_waiter(loop)
            """The task's waiter, renewed for each wait."""

    def is_task(self, task: object) -> bool:
        """Return whether the reader is this task."""
        return task is not None and self._task() is task

    def is_here(self) -> bool:
        """Return whether the current task is the reader."""
        task = self._task()
        return task is not None and self._current() is task and self.thread == get_ident()

    @property
    def is_over(self) -> bool:
        """Whether the reader's loop has been closed."""
        return isinstance(self.loop, asyncio.AbstractEventLoop) and self.loop.is_closed()

    def ask(self) -> threading.Event:
        """Ask the reader's loop to set the event that is returned, without waiting for it.

        A loop never sets it if it is over, or if its thread runs sync code that waits for this thread, as
        `RunnableParallel.invoke` does for its branches. A sync reader cannot be asked, so the event is set already.
        """
        answer = threading.Event()
        try:
            if isinstance(self.loop, asyncio.AbstractEventLoop):
                self.loop.call_soon_threadsafe(answer.set)
            elif self.loop is not None:
                self.loop.run_sync_soon(answer.set)
            else:
                answer.set()
        except RuntimeError:  # the loop is over
            self._unanswered = answer
        return answer

    def has_answered(self, answer: threading.Event) -> bool:
        """Return whether the loop has answered. If not, it counts as stuck until it does."""
        if answer.is_set():
            return True
        self._unanswered = answer
        return False

    def gets_on(self, patience: float) -> bool:
        """Return whether the reader's loop answers within `patience` seconds. Do not call this from its own thread."""
        answer = self.ask()
        if not self.is_stuck:
            answer.wait(patience)
        return self.has_answered(answer)

    @property
    def is_stuck(self) -> bool:
        """Whether the loop still owes the last answer. The first to find out waits for it, and nobody after that."""
        return self._unanswered is not None and not self._unanswered.is_set()


def _no_task() -> None:
    return None


class HandOver:
    """Wakes a reader in another thread and gives it the interpreter lock.

    If a thread wakes a reader and then computes, it keeps the interpreter lock for a switch interval, 5 ms, before the reader
    can run. So it waits for a moment, on a lock that the reader releases as soon as it runs: 5.3 ms become 0.2 ms. A thread
    that will soon wait anyway lets the reader run without this, which would only slow down both. So this is for threads that
    have computed lately, at most once per `HAND_OVER_INTERVAL`, and never for a thread that runs an event loop.
    """

    __slots__ = ("_computed", "_computes", "_judged", "_last", "_running", "_thread")

    def __init__(self) -> None:
        self._running = allocate_lock()
        self._last = 0.0
        # The thread that woke last: when it was judged, how long it had computed by then, and the verdict.
        self._thread = 0
        self._judged = 0.0
        self._computed = 0.0
        self._computes = True

    def wake(self, waiter: Waiter) -> None:
        """Wake the reader, which waits in another thread."""
        running = self._running
        if not running.acquire(False):
            # Another waker waits on the lock, or the reader that should have released it gave up before.
            running = self._running = allocate_lock()
            running.acquire()
        waiter.running = running
        waiter.wake()
        # Asked after the wake, so that the reader is on its way meanwhile.
        if self._is_due():
            if running.acquire(timeout=HAND_OVER_LIMIT):
                running.release()
            self._last = monotonic()

    def _is_due(self) -> bool:
        now, thread = monotonic(), get_ident()
        if thread != self._thread or now - self._judged >= JUDGE_INTERVAL:
            self._judge(now, thread)
        return self._computes and now - self._last >= HAND_OVER_INTERVAL and not in_event_loop()

    def _judge(self, now: float, thread: int) -> None:
        computed = thread_time()
        # Nothing is known of a new thread.
        self._computes = thread != self._thread or computed - self._computed >= (now - self._judged) * COMPUTING_SHARE
        self._thread, self._judged, self._computed = thread, now, computed
