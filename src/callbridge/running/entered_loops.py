"""`EnteredLoops`: where sync code of a run has entered an event loop, so that leaving can cancel it there.

Sync code is stopped at its next callback. But sync code that runs a coroutine waits for that coroutine, whose callbacks are
awaited and therefore pass: a run is cancelled where it waits. So when a run begins in a task that is not the owned run's, the
outermost task that awaits it is noted. When the reader leaves, the task for which the sync code waits is looked for:

| how the loop was entered | the task |
|---|---|
| `asyncio.run`, a runner, `run_until_complete`, Django's `async_to_sync` | the one until whose end the loop runs |
| `run_coroutine_threadsafe`, AnyIO's portals | what was handed to the loop |
| `run_until_complete` inside a loop that runs (nest_asyncio) | the outermost one that was noted |

The first kind of loop ends with the run, and so do all tasks there. On any other loop, a task that was only started there, and
that the sync code does not wait for, is the user's and goes on.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from weakref import WeakSet

from callbridge.internals import Task, awaiter_of, context_of, is_handed_over, is_main
from callbridge.running.lazy import Lazy
from callbridge.running.loop_tasks import LoopTasks, run_scopes

__all__ = ["EnteredLoops"]

_TOLD_SECONDS = 0.25
"""How long sync code in a thread waits until tasks of its run have been cancelled, before it is stopped itself. It takes some
turns of their loops; one that is blocked may be waiting for this very thread."""


class EnteredLoops:
    """The loops that the sync code of one run has entered, and the tasks that it waits for there.

    Threads: any.
    """

    _seen: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _noted: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _told: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _lost: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    """Tasks that have lost their cancellation."""
    _lock: threading.Lock = Lazy(threading.Lock)  # type: ignore[assignment]
    _changed: threading.Condition = Lazy(threading.Condition)  # type: ignore[assignment]

    def __init__(self) -> None:
        self._cancel: Callable[[Task], None] | None = None
        self._scope: object = None
        self._own: Task | None = None
        self._pending = 0
        self._gave_up = False

    def bind(self, scope: object, cancel: Callable[[Task], None]) -> None:
        """Begin to note the loops of a run.

        Args:
            scope: The run's mark in its contexts.
            cancel: Cancels a task where it waits, by calling `tell`. It is called on the task's loop.
        """
        self._scope = scope
        self._cancel = cancel

    def unbind(self) -> None:
        """Note that the run is over, and drop all references to it."""
        self._cancel = self._own = None

    def own(self, task: Task) -> None:
        """Note which task is the run itself."""
        self._own = task

    # -- where loops are entered ----------------------------------------------------------------------------------------

    def note(self) -> None:
        """Note that a run has begun in the current task."""
        task = None if self._cancel is None else _current_task()
        if task is None or task is self._own:
            return
        outermost = self._outermost(task)
        # Most tasks are awaited by the run itself, as those in which LangChain calls the callbacks of a model's start.
        if outermost is self._own or task in self._seen:
            return
        with self._lock:
            self._seen.add(task)
            if outermost not in self._told:
                self._noted.add(outermost)

    def _outermost(self, task: Task) -> Task:
        """Return the outermost task of the run that awaits this one."""
        seen = {task}
        while (awaiting := awaiter_of(task)) is not None and awaiting not in seen:
            context = context_of(awaiting)
            if context is None or self._scope not in context.get(run_scopes, ()):
                break  # that task belongs to somebody else
            seen.add(awaiting)
            task = awaiting
        return task

    def _entries(self, loop: asyncio.AbstractEventLoop, noted: Iterable[Task]) -> set[Task]:
        """Return the tasks on a loop that sync code of the run waits for. Called on that loop.

        Args:
            loop: The loop.
            noted: The tasks that were noted there.
        """
        outermost = {self._outermost(task) for task in noted if not task.done()} - {self._own}
        if not outermost:
            return outermost
        entries = {
            task for task in (*outermost, *LoopTasks.now(loop).tasks(self._scope)) if is_main(task) or is_handed_over(task)
        }
        own = self._own
        if own is None or own.get_loop() is not loop:
            is_nested = "nest_asyncio" in sys.modules
        else:
            is_nested = getattr(own.get_coro(), "cr_running", False)
        if is_nested or any(map(is_main, entries)):  # this loop ends with the run
            entries |= outermost
        return entries - {own}

    # -- cancelling ---------------------------------------------------------------------------------------------------

    def cancel_all(self) -> None:
        """Cancel the tasks that the sync code waits for, where they wait. Covers the loops noted since the last call."""
        with self._lock:
            noted, self._noted = list(self._noted), WeakSet()
        for loop in {task.get_loop() for task in noted}:
            self.expect()
            try:
                loop.call_soon_threadsafe(self._cancel_on, loop, [task for task in noted if task.get_loop() is loop])
            except RuntimeError:  # the loop is closed, and its tasks are gone
                self.note_told()

    def _cancel_on(self, loop: asyncio.AbstractEventLoop, noted: list[Task]) -> None:
        cancel = self._cancel
        if cancel is not None:
            for entry in self._entries(loop, noted):
                self.expect()
                cancel(entry)
        self.note_told()

    def tell(self, task: Task) -> None:
        """Cancel a task now, but only once. Called on its loop."""
        if task not in self._told:
            self._told.add(task)
            task.cancel()

    def tell_later(self) -> None:
        """Cancel the outermost task that awaits the current one, as soon as the current one has ended with an error.

        LangChain's `gather` would take that error for a result; it does understand its own cancellation.
        """
        task = _current_task()
        entry = None if task is None else self._outermost(task)
        if task is not None and entry is not None and entry is not task:
            task.add_done_callback(lambda _: self.tell(entry))

    def insist(self, task: Task) -> None:
        """Note that a task has lost its cancellation, so that `tell_again` cancels it."""
        self._lost.add(task)

    def tell_again(self) -> None:
        """Cancel the outermost task that awaits the current one, if that task has lost its cancellation."""
        task = _current_task() if self._lost else None
        entry = None if task is None else self._outermost(task)
        if entry is not None and entry in self._lost:
            entry.cancel()

    # -- waiting until tasks are cancelled -----------------------------------------------------------------------------------

    def expect(self) -> None:
        """Note that a task is about to be cancelled."""
        with self._changed:
            self._pending += 1
            self._gave_up = False

    def note_told(self) -> None:
        """Note that such a task has been cancelled, or has ended by itself."""
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()

    def wait_told(self) -> None:
        """Wait for a moment until the tasks that are about to be cancelled have been. Called in a thread without a loop.

        A task may await this thread, for example in LangChain's `gather`. It must be cancelled before this thread raises.
        """
        deadline = monotonic() + _TOLD_SECONDS
        with self._changed:
            while self._pending > 0 and not self._gave_up:
                if not self._changed.wait(deadline - monotonic()):
                    self._gave_up = True


def _current_task() -> Task | None:
    with suppress(RuntimeError):  # no loop
        return asyncio.current_task()
    return None
