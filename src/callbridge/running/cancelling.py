"""`Cancelling`: how tasks of a run that is left are cancelled: where they wait.

While a chunk is on its way up through LangChain, the generators that made it are suspended at their `yield`, where no
cancellation reaches them: the user's code would see no `CancelledError`, and its `finally` would be left to the garbage
collector, which runs it in another context. Where the run waits, they all wait. So a task that is to be cancelled goes on,
unheard, until it waits for something; one that does not is cancelled after some turns of the loop, in its next callback. Should
it lose the cancellation, it is cancelled once more at the next callback of what was open before.
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
"""Turns of the loop for which a task may go on until it waits for something; one that never does is cancelled then."""

_PARKED_TURNS = 3
"""Turns in a row for which a task waits for the same before it is taken to wait: old LangChain awaits callbacks through
`asyncio.shield`, whose future is behind the callback by two turns."""

_END_SECONDS = 1.0
"""How long to wait for a loop of somebody else's to end what a run has left there; it may be blocked."""


class Cancelling:
    """Cancels tasks of one run, and ends what it has left behind when it is over.

    Args:
        reporter: Where the run reports.
        scope: What is part of it.
    """

    _told: WeakSet[asyncio.Future[Any]] = Lazy(WeakSet)  # type: ignore[assignment]
    """Tasks that the tasks waited for when they were cancelled, and that were cancelled with them."""
    _loops: WeakSet[asyncio.AbstractEventLoop] = Lazy(WeakSet)  # type: ignore[assignment]
    """Entered by sync code."""
    _jobs: set[concurrent.futures.Future[Any]] = Lazy(set)  # type: ignore[assignment]
    """What the tasks waited for when they were cancelled."""

    def __init__(self, reporter: Reporter, scope: RunScope) -> None:
        self._reporter = reporter
        self._scope = scope

    def bind(self) -> None:
        """Hear of the loops that the run enters from now on."""
        self._reporter.entered_loops.bind(self._scope, self._begin_entry)

    def begin(self, task: Task, phase: Callable[[], Phase], *, is_run: bool = True) -> None:
        """Cancel a task as soon as it waits. Called on its loop; `EnteredLoops.expect` was called before.

        Args:
            task: The task.
            phase: Says how far what is to be cancelled has come.
            is_run: Whether that is the run itself.
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
        """Cancel a task if it waits, or else look again in the next turn of the loop.

        Args:
            task: As in `begin`.
            phase: As in `begin`.
            is_run: As in `begin`.
            turns: How many more turns there are.
            parked: In how many turns in a row it was seen waiting.
            before: For what it waited then.
        """
        found = frozenset[asyncio.Future[Any]]() if self._reporter.in_callback else waited_for(task)
        parked = parked + 1 if found and found == before else bool(found)
        loop, now = task.get_loop(), phase()
        if now == "running" and turns and parked < _PARKED_TURNS:
            loop.call_soon(self._cancel, task, phase, is_run, turns - 1, parked, found)
            return
        if now != "over":  # then it is cleaning up, or was stopped at a callback meanwhile
            self._jobs |= self._scope.jobs(loop)
            self._told.update(awaited_by({task}))
            if is_run:
                self._reporter.note_cancelled()
            self._reporter.entered_loops.tell(task)
            loop.call_soon(self._insist, task, PARKING_TURNS)
        self._reporter.entered_loops.note_told()

    def _insist(self, task: Task, turns: int) -> None:
        """Say that it goes on, if it does: `asyncio.wait_for` of CPython 3.11 and before may lose a cancellation."""
        if task.done():
            return
        if turns:
            task.get_loop().call_soon(self._insist, task, turns - 1)
        else:
            self._reporter.entered_loops.insist(task)

    # -- the end --------------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Await the end of all that the run, which was stopped, must not leave behind; in the run's own task.

        Cancellation: gives up.
        """
        await self._end_here()
        here = asyncio.get_running_loop()
        ends = {asyncio.wrap_future(end) for end in self._begin_ends(here)}
        if ends:
            await asyncio.wait(ends, timeout=_END_SECONDS)
        self._reporter.leftover_frames.clear_last()

    def end_sync(self) -> None:
        """Wait for the end of what the run's sync code has left on loops of somebody else's."""
        ends = self._begin_ends(None)
        if ends:
            concurrent.futures.wait(ends, _END_SECONDS)
        self._reporter.leftover_frames.clear_last()

    async def _end_here(self) -> None:
        frames = self._reporter.leftover_frames
        await self._scope.end_leftovers(frames, self._told)
        await end_jobs(self._jobs, frames)

    def _begin_ends(self, here: asyncio.AbstractEventLoop | None) -> list[concurrent.futures.Future[None]]:
        """Let the other loops that the run has entered, and that still run, end what it has left there."""
        ends: list[concurrent.futures.Future[None]] = []
        for loop in list(self._loops):
            if loop is not here and loop.is_running():
                end: concurrent.futures.Future[None] = concurrent.futures.Future()
                loop.call_soon_threadsafe(partial(self._end_on, end))
                ends.append(end)
        return ends

    def _end_on(self, end: concurrent.futures.Future[None]) -> None:
        """Called on a loop of somebody else's."""
        task = asyncio.ensure_future(self._end_here())
        task.add_done_callback(lambda _: end.set_result(None))
