"""`RunScope`: what belongs to a run that a stream owns, told by its context, and the end of what the run leaves behind.

When it is cancelled, LangChain drops things instead of ending them: the provider's async generator (`BaseChatModel.astream`
iterates it without closing it), the steps of parallel branches (`RunnableParallel._atransform` forgets the tasks that it
waits for), and callbacks that are shielded from the cancellation. All of it ends some ticks later, or never, after the run
itself has ended. So whoever leaves waits for these, too:

| left on the loop | recognised by | treated |
|---|---|---|
| closing of a dropped async generator | its coroutine, an `athrow` that the loop made | awaited |
| a callback | LangChain's callback manager | awaited |
| a step of an async generator | its coroutine, an `asend` | cancelled and awaited |
| any other coroutine of LangChain's or LangGraph's running of runs | its module | cancelled and awaited |
| a job in a thread of a pool | what a task of the run waited for when it was cancelled | awaited |
| everything else: tasks that the user's code started | | left alone |

A task that has been cancelled already, by the `gather` that it was part of for example, is not cancelled again: it is cleaning
up. A run that has failed by itself is another matter: of what it leaves, only what LangChain itself has fanned out is ended.

A step that was forgotten after it had found the end of its branch makes asyncio complain; `BranchEnds` hears that instead.

Source: langchain-core 0.3.0 to 1.8.1 (issue 37976 for the generators).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from typing import Any
from weakref import WeakSet

from langchain_core.callbacks import manager

from callbridge.adapters.jobs import job_of, report_failures, waited_for
from callbridge.adapters.remains import Remains

__all__ = ["RunScope", "awaited_by"]

_scopes: ContextVar[tuple[RunScope, ...]] = ContextVar("callbridge_run_scopes", default=())
"""The runs of streams that this code is part of, outermost first."""

_QUIET_TURNS = 3
"""Turns of the loop in a row without a task of the run after which there will be none: the loop lets go of a finished task one
turn later; a generator that is dropped then is handed to the loop by `call_soon`; only the turn after that makes it a task."""

_FAMILY = (
    "langchain_core.",
    "langchain.",
    "langchain_classic.",
    "langgraph.pregel.",
    "langgraph.prebuilt.",
    "langgraph.graph.",
    "langgraph.utils.",
    "langgraph._internal.",
)
"""How the names of the modules begin that run runs. Others of the family start tasks that serve more than one of them, such as
`langgraph.store.base.batch`."""


_GENERATOR_STEPS = ("async_generator_asend", "async_generator_athrow")


class RunScope:
    """One run's mark in its context; tasks and threads that inherit the context are part of the run.

    It refers to nothing, because a context may outlive its run by far.
    """

    def enter(self) -> None:
        """Mark the current context, which is the run's own."""
        _scopes.set((*_scopes.get(), self))

    @property
    def is_here(self) -> bool:
        """Whether this code is part of the run, which therefore must not be waited for."""
        return self in _scopes.get()

    async def end_leftovers(self, remains: Remains, told: Iterable[asyncio.Future[Any]] = ()) -> None:
        """Cancel and await what the run, which was cancelled and has ended, has left behind on this loop.

        Args:
            remains: Cleared.
            told: Tasks that have been cancelled already.

        Cancellation: gives up.
        """
        told = WeakSet(told)
        await self._end_tasks(told, _is_of_family)
        # Not before: a generator that still runs in a task must not be closed here.
        while remains.clear():
            await self._end_tasks(told, _is_of_family)

    async def end_branches(self) -> None:
        """Cancel and await the parallel branches that the run, which has failed, has forgotten.

        Nothing else: what the user's code has left running goes on, LangChain's public methods included, and the error keeps
        its frames.

        Cancellation: gives up.
        """
        await self._end_tasks(WeakSet(), _is_of_branch)

    def jobs(self, loop: asyncio.AbstractEventLoop) -> set[concurrent.futures.Future[Any]]:
        """Return the jobs in threads of pools that the run's tasks on this loop wait for now."""
        tasks = {task for task in asyncio.all_tasks(loop) if self._is_innermost(task)}
        return {job for task in tasks for future in waited_for(task) if (job := job_of(future)) is not None}

    async def _end_tasks(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[asyncio.Task[object]], bool]) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            quiet = 0 if await self._end_some(told, is_left) else quiet + 1

    async def _end_some(self, told: WeakSet[asyncio.Future[Any]], is_left: Callable[[asyncio.Task[object]], bool]) -> bool:
        """End what is left after one turn of the loop; return whether there was anything.

        No task is remembered beyond that: its error may be what keeps a generator alive.

        Args:
            told: The tasks that have been cancelled so far.
            is_left: Says which tasks of the run are to be ended.
        """
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        left = {task for task in others if is_left(task) and self._is_innermost(task)}
        if left:
            left -= awaited_by(others - left)
        for task in left:
            if task not in told and not _is_cleanup(task) and not _is_being_cancelled(task):
                told.add(task)
                task.cancel()
        if left:
            await asyncio.wait(left)
            report_failures(left)
        return bool(left)

    def _is_innermost(self, task: asyncio.Task[object]) -> bool:
        context = _context(task)
        return context is not None and context.get(_scopes, ())[-1:] == (self,)


def awaited_by(tasks: Iterable[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
    """Return the tasks that these await, and what those await in turn: LangChain makes tasks of its own for who calls it."""
    found: set[asyncio.Future[Any]] = set()
    owners = list(tasks)
    while owners:
        waiter = getattr(owners.pop(), "_fut_waiter", None)
        for awaited in (waiter, *getattr(waiter, "_children", ())):
            if isinstance(awaited, asyncio.Task) and awaited not in found:
                found.add(awaited)
                owners.append(awaited)
    return found


def _is_of_family(task: asyncio.Task[object]) -> bool:
    """Return whether a task is of LangChain's own making."""
    # A step or the closing of a generator does not tell whose it is: in this run, only what LangChain does not wait for any
    # more is made into a task.
    return type(task.get_coro()).__name__ in _GENERATOR_STEPS or f"{_module(task)}.".startswith(_FAMILY)


def _is_of_branch(task: asyncio.Task[object]) -> bool:
    """Return whether a task is one of those that LangChain makes of one run, or the closing of a generator."""
    coroutine = task.get_coro()
    if type(coroutine).__name__ == "async_generator_athrow":
        return True
    *outer, name = str(getattr(coroutine, "__qualname__", "")).split(".")
    return _is_of_family(task) and ("<locals>" in outer or name.startswith("_"))


def _module(task: asyncio.Task[object]) -> str:
    """Return the module of a task's coroutine."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _is_being_cancelled(task: asyncio.Task[object]) -> bool:
    """Return whether a task has been cancelled and not ended yet; before CPython 3.11 there is no telling."""
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return cancelling is not None and cancelling() > 0


def _is_cleanup(task: asyncio.Task[object]) -> bool:
    """Return whether a task ends by itself and should: a generator being closed, a callback that is shielded."""
    return type(task.get_coro()).__name__ == "async_generator_athrow" or _module(task) == manager.__name__


def _context(task: asyncio.Task[object]) -> Context | None:
    """Return the context that a task runs in."""
    get_context = getattr(task, "get_context", None)
    if get_context is not None:
        context: Context = get_context()
        return context
    # Before CPython 3.12 the garbage collector alone can say; it names a task's own context first.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)
