"""`Cancelling`: cancels the tasks of a run where they wait, when the run's reader leaves.

While a chunk is on its way up through LangChain, the generators that made it are suspended at a `yield`, where no cancellation
reaches them. The user's code would see no `CancelledError`, and the garbage collector would run its `finally` in another
context. But when the run waits, all of its generators wait. So a task goes on, unheard, until it waits for something, and is
cancelled then. A task that never waits is cancelled after some turns of the loop, at its next callback. If a task loses the
cancellation, it is cancelled again at the next callback of a run that was open before.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias
from weakref import WeakSet

from callbridge.internals import Task
from callbridge.running.branch_ends import BranchEnds
from callbridge.running.lazy import Lazy
from callbridge.running.loop_tasks import awaited_by
from callbridge.running.pool_jobs import end_jobs, waited_for
from callbridge.running.reporter import Reporter
from callbridge.running.run_scope import RunScope

__all__ = ["Cancelling", "Phase"]

Phase: TypeAlias = Literal["new", "running", "over"]

PARKING_TURNS = 100
"""How many turns of the loop a task may go on before it is cancelled, even if it does not wait for anything."""

_PARKED_TURNS = 3
"""A task counts as waiting if it has waited for the same future in this many turns in a row. LangChain 0.3.0 awaits callbacks
through `asyncio.shield`, whose future is two turns behind the callback."""

_END_SECONDS = 1.0
"""How long to wait until somebody else's loop has ended what a run has left there. The loop may be blocked."""


class Cancelling:
    """Cancels the tasks of one run. When the run is over, ends what it has left behind.

    Args:
        reporter: What the run reports to.
        scope: Knows what is part of the run.
    """

    _told: WeakSet[asyncio.Future[Any]] = Lazy(WeakSet)  # type: ignore[assignment]
    """Tasks that the cancelled tasks awaited at that time, and that were cancelled with them."""
    _loops: WeakSet[asyncio.AbstractEventLoop] = Lazy(WeakSet)  # type: ignore[assignment]
    """Loops that sync code of the run has entered."""
    _jobs: set[concurrent.futures.Future[Any]] = Lazy(set)  # type: ignore[assignment]
    """Jobs in threads that the tasks waited for when they were cancelled."""

    def __init__(self, reporter: Reporter, scope: RunScope) -> None:
        self._reporter = reporter
        self._scope = scope

    def bind(self) -> None:
        """From now on, cancel the run also on the loops that it enters."""
        self._reporter.entered_loops.bind(self._scope, self._begin_entry)

    def begin(self, task: Task, phase: Callable[[], Phase], *, is_run: bool = True) -> None:
        """Cancel a task as soon as it waits. Called on its loop, after `EnteredLoops.expect`.

        Args:
            task: The task.
            phase: Returns how far the task's work has come.
            is_run: Whether the task is the run itself.
        """
        loop = task.get_loop()
        self._jobs |= self._scope.jobs(loop)
        branch_ends = BranchEnds.expect(loop)
        task.add_done_callback(lambda _: branch_ends.done(loop))
        self._cancel(task, phase, is_run, PARKING_TURNS, 0, frozenset())

    def _begin_entry(self, task: Task) -> None:
        self._loops.add(task.get_loop())
        self.begin(task, lambda: "over" if task.done() else "running", is_run=False)

    def _cancel(
        self,
        task: Task,
        phase: Callable[[], Phase],
        is_run: bool,
        turns: int,
        parked: int,
        before: frozenset[asyncio.Future[Any]],
    ) -> None:
        """Cancel a task if it waits. If it does not, look again in the next turn of the loop.

        Args:
            task: As in `begin`.
            phase: As in `begin`.
            is_run: As in `begin`.
            turns: How many turns are left.
            parked: In how many turns in a row the task has waited for the same futures.
            before: Those futures.
        """
        found = frozenset[asyncio.Future[Any]]() if self._reporter.in_callback else waited_for(task)
        parked = parked + 1 if found and found == before else bool(found)
        loop, now = task.get_loop(), phase()
        if now == "running" and turns and parked < _PARKED_TURNS:
            loop.call_soon(self._cancel, task, phase, is_run, turns - 1, parked, found)
            return
        if now != "over":  # a task that is over cleans up, or was stopped at a callback meanwhile
            self._jobs |= self._scope.jobs(loop)
            self._told.update(awaited_by({task}))
            if is_run:
                self._reporter.note_cancelled()
            self._reporter.entered_loops.tell(task)
            loop.call_soon(self._insist, task, PARKING_TURNS)
        self._reporter.entered_loops.note_told()

    def _insist(self, task: Task, turns: int) -> None:
        """Note that the task goes on in spite of its cancellation: before CPython 3.12, `asyncio.wait_for` may lose one."""
        if task.done():
            return
        if turns:
            task.get_loop().call_soon(self._insist, task, turns - 1)
        else:
            self._reporter.entered_loops.insist(task)

    # -- the end --------------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """End and await what the stopped run has left behind. Called in the run's own task.

        Cancellation: it gives up.
        """
        await self._end_here()
        here = asyncio.get_running_loop()
        ends = {asyncio.wrap_future(end) for end in self._begin_ends(here)}
        if ends:
            await asyncio.wait(ends, timeout=_END_SECONDS)
        self._reporter.leftover_frames.clear_last()

    def end_sync(self) -> None:
        """End what the run's sync code has left on other loops, and block until that is done."""
        ends = self._begin_ends(None)
        if ends:
            concurrent.futures.wait(ends, _END_SECONDS)
        self._reporter.leftover_frames.clear_last()

    async def _end_here(self) -> None:
        frames = self._reporter.leftover_frames
        await self._scope.end_leftovers(frames, self._told)
        await end_jobs(self._jobs, frames)

    def _begin_ends(self, here: asyncio.AbstractEventLoop | None) -> list[concurrent.futures.Future[None]]:
        """Ask the other loops that the run has entered to end what it has left there. Loops that no longer run are skipped."""
        ends: list[concurrent.futures.Future[None]] = []
        for loop in list(self._loops):
            if loop is not here and loop.is_running():
                end: concurrent.futures.Future[None] = concurrent.futures.Future()
                loop.call_soon_threadsafe(partial(self._end_on, end))
                ends.append(end)
        return ends

    def _end_on(self, end: concurrent.futures.Future[None]) -> None:
        """Called on one of those loops."""
        task = asyncio.ensure_future(self._end_here())
        task.add_done_callback(lambda _: end.set_result(None))
