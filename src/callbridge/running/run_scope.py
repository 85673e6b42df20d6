"""`RunScope`: knows by their context which tasks belong to an owned run, and ends those that the run leaves behind.

When a run is cancelled, LangChain drops things instead of ending them: the provider's async generator (`BaseChatModel.astream`
iterates over it without closing it), the steps of parallel branches (`RunnableParallel._atransform` forgets the tasks that it
waits for), and callbacks that are shielded from the cancellation. They end some turns of the loop after the run itself, or
never. So leaving a run waits for these, too:

| left on the loop | recognised by | what happens to it |
|---|---|---|
| the closing of a dropped async generator | its coroutine, an `athrow` that the loop made | awaited |
| a callback | LangChain's callback manager | awaited |
| any other coroutine with which LangChain or LangGraph runs a run | its module and name | cancelled and awaited |
| what was cancelled with the run, for example tasks that the user gathers | the run awaited it at that time | awaited |
| a job in a thread of a pool | a task of the run waited for it when it was cancelled | awaited |
| everything else: tasks that the user's code has started, and what they await | | left alone |

A task that was cancelled with the run is not cancelled again, because it is cleaning up. If a run has failed by itself, only
the tasks that LangChain has fanned out are ended.

If a forgotten step has found the end of its branch, asyncio complains about it. `BranchEnds` intercepts that.

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
"""A run is over after this many turns of the loop in a row without a task of it. The loop lets go of a finished task one turn
later. A generator that is dropped then reaches the loop by `call_soon`, and becomes a task only in the turn after that. A
`LoopTasks` may hold the task for one more turn, and may be one turn old."""


class RunScope:
    """The mark of one run in its context. Tasks and threads that inherit the context are part of the run.

    It refers to nothing, because a context may live much longer than its run.
    """

    def enter(self) -> None:
        """Mark the current context as the run's own."""
        run_scopes.set((*run_scopes.get(), self))

    @property
    def is_here(self) -> bool:
        """Whether this code is part of the run, and so must not wait for it."""
        return self in run_scopes.get()

    async def end_leftovers(self, frames: LeftoverFrames, told: Iterable[asyncio.Future[Any]] = ()) -> None:
        """Cancel and await what the run has left behind on this loop. Called when the run was cancelled and has ended.

        Args:
            frames: The frames to clear.
            told: Tasks that were cancelled with the run.

        Cancellation: it gives up.
        """
        told = WeakSet(told)
        await self._end_tasks(told, is_langchains)
        # Not earlier: a generator that still runs in a task must not be closed here.
        while frames.clear():
            await self._end_tasks(told, is_langchains)

    async def end_branches(self) -> None:
        """Cancel and await the parallel branches that a failed run has forgotten.

        What the user's code has left running goes on, LangChain's public methods included, and the error keeps its frames.

        Cancellation: it gives up.
        """
        await self._end_tasks(WeakSet(), _is_branch)

    def jobs(self, loop: asyncio.AbstractEventLoop) -> set[concurrent.futures.Future[Any]]:
        """Return the jobs in pools of threads that the run's tasks on this loop wait for now."""
        tasks = LoopTasks.now(loop).tasks(self)
        return {job for task in tasks for future in waited_for(task) if (job := job_of(future)) is not None}

    async def _end_tasks(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[Task], bool]) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            quiet = 0 if await self._end_some(told, is_left) else quiet + 1

    async def _end_some(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[Task], bool]) -> bool:
        """End what is left after one turn of the loop. Return whether there was anything.

        This keeps no task, because the error of a task may keep a generator alive.

        Args:
            told: The tasks that have been cancelled so far.
            is_left: Returns whether another task of the run has to end, unless somebody awaits it.
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
    """Return whether LangChain has fanned a task out of a failed run, or the task closes a generator."""
    if is_closing(task):
        return True
    *outer, name = name_of(task)
    return is_langchains(task) and ("<locals>" in outer or name.startswith("_"))


def _is_cleanup(task: Task) -> bool:
    """Return whether a task should end by itself: it closes a generator, or is a shielded callback."""
    return is_closing(task) or module_of(task) == manager.__name__
