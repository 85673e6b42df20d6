"""`EnteredLoops`: where sync code of a run has entered an event loop, so that leaving can cancel it there.

Sync code is stopped at its next callback. But code that runs a coroutine of its own waits for that, and the callbacks of the
coroutine are awaited ones, which pass: a run is cancelled where it waits. So a run that begins in a task which is none of the
owned run's is noted, with the task by which its loop was entered: the outermost one that awaits it.

| how the loop was entered | the task |
|---|---|
| `asyncio.run`, a runner, `run_until_complete`, Django's `async_to_sync` | the one that the loop runs for |
| `run_coroutine_threadsafe`, AnyIO's portals | what was handed to the loop |
| `run_until_complete` inside a loop that runs (nest_asyncio) | the one that the inner call waits for |

What a task of the run itself has started on the same loop and does not await is the user's, and goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from weakref import WeakSet

from callbridge.internals import Task, awaiter_of, context_of, held_by_callbacks, is_job
from callbridge.running.lazy import Lazy
from callbridge.running.loop_tasks import in_thread, run_scopes

__all__ = ["EnteredLoops"]

_TOLD_SECONDS = 0.25
"""How long sync code in a thread waits until tasks of its run have been cancelled, before it is stopped itself. It takes some
turns of their loops; one that is blocked may be waiting for this very thread."""


class EnteredLoops:
    """The tasks by which a run has entered loops.

    Threads: any.
    """

    _seen: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _entries: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _told: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    _lost: WeakSet[Task] = Lazy(WeakSet)  # type: ignore[assignment]
    """Those that went on."""
    _changed: threading.Condition = Lazy(threading.Condition)  # type: ignore[assignment]

    def __init__(self) -> None:
        self._cancel: Callable[[Task], None] | None = None
        self._scope: object = None
        self._own: Task | None = None
        self._lock = threading.Lock()
        self._pending = 0
        self._gave_up = False

    def bind(self, scope: object, cancel: Callable[[Task], None]) -> None:
        """Say whose loops are of interest.

        Args:
            scope: The run's mark in its contexts.
            cancel: Cancels a task where it waits, by `tell`; called on its loop.
        """
        self._scope = scope
        self._cancel = cancel

    def unbind(self) -> None:
        """Say that the run is over, and refer to nothing of it any more."""
        self._cancel = self._own = None

    def own(self, task: Task) -> None:
        """Say which task the run itself is, if it is one."""
        self._own = task

    # -- where loops are entered ----------------------------------------------------------------------------------------

    def note(self) -> Task | None:
        """Note the task by which this loop was entered; called where a run has begun, from its task.

        Returns:
            It, if it was not known before.
        """
        task = None if self._cancel is None else _current_task()
        if task is None or task is self._own or task in self._seen:
            return None
        with self._lock:
            self._seen.add(task)
            entry = self._entry_of(task)
            if entry is self._own or not self._is_entry(entry) or entry in self._entries or entry in self._told:
                return None
            self._entries.add(entry)
        return entry

    def _entry_of(self, task: Task) -> Task:
        """Return the outermost task of the run that awaits this one."""
        seen = {task}
        while (awaiting := awaiter_of(task)) is not None and awaiting not in seen:
            context = context_of(awaiting)
            if context is None or self._scope not in context.get(run_scopes, ()):
                break  # somebody else waits for it, too
            seen.add(awaiting)
            task = awaiting
        return task

    def _is_entry(self, task: Task) -> bool:
        own = self._own
        if own is None or task.get_loop() is not own.get_loop():
            return True
        # On the run's own loop, what it has started itself is its own business.
        is_nested = getattr(own.get_coro(), "cr_running", False)
        context = context_of(task)
        is_from_thread = context is not None and context.get(in_thread, False)
        return is_nested or is_from_thread or next(held_by_callbacks(task, is_job), None) is not None

    # -- cancelling ---------------------------------------------------------------------------------------------------

    def cancel_all(self) -> None:
        """Cancel all those tasks where they wait. Idempotent."""
        with self._lock:
            entries, self._entries = list(self._entries), WeakSet()
        for entry in entries:
            self.cancel(entry)

    def cancel(self, entry: Task) -> None:
        """Cancel one of them where it waits."""
        cancel = self._cancel
        if cancel is None:
            return
        self.expect()
        try:
            entry.get_loop().call_soon_threadsafe(cancel, entry)
        except RuntimeError:  # the loop is closed, and the task with it
            self.note_told()

    def tell(self, task: Task) -> None:
        """Cancel a task now, once; on its loop."""
        if task not in self._told:
            self._told.add(task)
            task.cancel()

    def tell_later(self) -> None:
        """Cancel what awaits the current task when that has ended; an error that is about to be raised will end it.

        LangChain's `gather` takes the error of one of its tasks for a result. A cancellation of its own it understands.
        """
        task = _current_task()
        entry = None if task is None else self._entry_of(task)
        if task is not None and entry is not None and entry is not task:
            task.add_done_callback(lambda _: self.tell(entry))

    def insist(self, task: Task) -> None:
        """Say that a task goes on although it was told: `tell_again` cancels it from now on."""
        self._lost.add(task)

    def tell_again(self) -> None:
        """Cancel the task that awaits the current one, if it has lost its cancellation."""
        task = _current_task() if self._lost else None
        entry = None if task is None else self._entry_of(task)
        if entry is not None and entry in self._lost:
            entry.cancel()

    # -- waiting until they are told -----------------------------------------------------------------------------------

    def expect(self) -> None:
        """Say that a task will be cancelled."""
        with self._changed:
            self._pending += 1
            self._gave_up = False

    def note_told(self) -> None:
        """Say that it has been, or has ended by itself."""
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()

    def wait_told(self) -> None:
        """Wait until all tasks that will be cancelled have been; in a thread without a loop, and not for long.

        Something may await this thread, in LangChain's `gather` for example. It has to be cancelled before this thread ends
        with an error.
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
