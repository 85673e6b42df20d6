"""`RunScope`: what belongs to a run that a stream owns, told by its context, and the end of what the run leaves behind.

When it is cancelled, LangChain drops things instead of ending them: the provider's async generator (`BaseChatModel.astream`
iterates it without closing it), the steps of parallel branches (`RunnableParallel._atransform` forgets the tasks that it
waits for), and callbacks that are shielded from the cancellation. All of it ends some ticks later, or never, after the run
itself has ended. So whoever leaves waits for these, too:

| left on the loop | recognised by | treated |
|---|---|---|
| closing of a dropped async generator | its coroutine, an `athrow` that the loop made | awaited |
| a callback | LangChain's callback manager | awaited |
| any other coroutine of LangChain's or LangGraph's running of runs | its module and name | cancelled and awaited |
| what was cancelled with the run, a `gather` of the user's for example | what the run awaited then | awaited |
| a job in a thread of a pool | what a task of the run waited for when it was cancelled | awaited |
| everything else: tasks that the user's code started, and what they await | | left alone |

What was cancelled with the run is not cancelled again: it is cleaning up. A run that has failed by itself is another matter: of
what it leaves, only what LangChain itself has fanned out is ended.

A step that was forgotten after it had found the end of its branch makes asyncio complain; `BranchEnds` hears that instead.

Source: langchain-core 0.3.0 to 1.8.1 (issue 37976 for the generators).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

from langchain_core.callbacks import manager

from callbridge.internals import Task, is_closing, is_langchains, module_of, name_of
from callbridge.running.leftover_frames import LeftoverFrames
from callbridge.running.loop_tasks import LoopTasks, run_scopes
from callbridge.running.pool_jobs import job_of, report_failures, waited_for

__all__ = ["RunScope"]

_QUIET_TURNS = 5
"""Turns of the loop in a row without a task of the run after which there will be none: the loop lets go of a finished task one
turn later; a generator that is dropped then is handed to the loop by `call_soon`; only the turn after that makes it a task. A
`LoopTasks` may hold the task for one turn more, and be one turn old."""


class RunScope:
    """One run's mark in its context; tasks and threads that inherit the context are part of the run.

    It refers to nothing, because a context may outlive its run by far.
    """

    def enter(self) -> None:
        """Mark the current context, which is the run's own."""
        run_scopes.set((*run_scopes.get(), self))

    @property
    def is_here(self) -> bool:
        """Whether this code is part of the run, which therefore must not be waited for."""
        return self in run_scopes.get()

    async def end_leftovers(self, frames: LeftoverFrames, told: Iterable[asyncio.Future[Any]] = ()) -> None:
        """Cancel and await what the run, which was cancelled and has ended, has left behind on this loop.

        Args:
            frames: Cleared.
            told: Tasks that were cancelled with the run.

        Cancellation: gives up.
        """
        told = WeakSet(told)
        await self._end_tasks(told, is_langchains)
        # Not before: a generator that still runs in a task must not be closed here.
        while frames.clear():
            await self._end_tasks(told, is_langchains)

    async def end_branches(self) -> None:
        """Cancel and await the parallel branches that the run, which has failed, has forgotten.

        Nothing else: what the user's code has left running goes on, LangChain's public methods included, and the error keeps
        its frames.

        Cancellation: gives up.
        """
        await self._end_tasks(WeakSet(), _is_branch)

    def jobs(self, loop: asyncio.AbstractEventLoop) -> set[concurrent.futures.Future[Any]]:
        """Return the jobs in threads of pools that the run's tasks on this loop wait for now."""
        tasks = LoopTasks.now(loop).tasks(self)
        return {job for task in tasks for future in waited_for(task) if (job := job_of(future)) is not None}

    async def _end_tasks(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[Task], bool]) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            quiet = 0 if await self._end_some(told, is_left) else quiet + 1

    async def _end_some(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[Task], bool]) -> bool:
        """End what is left after one turn of the loop; return whether there was anything.

        No task is remembered beyond that: its error may be what keeps a generator alive.

        Args:
            told: The tasks that have been cancelled so far.
            is_left: Says which other tasks of the run are to be ended, unless somebody awaits them.
        """
        await asyncio.sleep(0)
        now = LoopTasks.now(asyncio.get_running_loop())
        left = {task for task in now.tasks(self) if task in told or is_left(task)}
        if left:
            left -= now.awaited
        for task in left:
            if task not in told and not _is_cleanup(task):
                told.add(task)
                task.cancel()
        del now
        if left:
            await asyncio.wait(left)
            report_failures(left)
        return bool(left)


def _is_branch(task: Task) -> bool:
    """Return whether a task of a failed run is one of those that LangChain makes of one run, or the closing of a generator."""
    if is_closing(task):
        return True
    *outer, name = name_of(task)
    return is_langchains(task) and ("<locals>" in outer or name.startswith("_"))


def _is_cleanup(task: Task) -> bool:
    """Return whether a task ends by itself and should: a generator being closed, a callback that is shielded."""
    return is_closing(task) or module_of(task) == manager.__name__
