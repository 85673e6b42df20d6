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
import logging
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context, ContextVar
from types import CodeType, FrameType
from typing import Any
from weakref import WeakSet

from langchain_core.callbacks import manager
from langchain_core.runnables import RunnableParallel

__all__ = ["BranchEnds", "Remains", "RunScope", "end_jobs", "waited_for"]

_logger = logging.getLogger("callbridge.stream")

_scopes: ContextVar[tuple[RunScope, ...]] = ContextVar("callbridge_run_scopes", default=())
"""The runs of streams that this code is part of, outermost first."""

_QUIET_TURNS = 3
"""Turns of the loop in a row without a task of the run after which there will be none: the loop lets go of a finished task one
turn later; a generator that is dropped then is handed to the loop by `call_soon`; only the turn after that makes it a task."""

_POOL_SECONDS = 1.0
"""How long to wait for the turn of a pool that others keep busy."""

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


def _inner_codes(function: Any) -> tuple[CodeType, ...]:
    """Return the code of what a function defines; nothing if LangChain has the function no more."""
    code = getattr(function, "__code__", None)
    return () if code is None else tuple(const for const in code.co_consts if isinstance(const, CodeType))


_GENERATOR_STEPS = ("async_generator_asend", "async_generator_athrow")

_BRANCH_STEP = _inner_codes(getattr(RunnableParallel, "_atransform", None))
"""The code of the coroutines that `RunnableParallel` makes tasks of."""


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

    async def end_leftovers(self, remains: Remains) -> None:
        """Cancel and await what the run, which was cancelled and has ended, has left behind on this loop.

        Cancellation: gives up.
        """
        told: WeakSet[asyncio.Task[object]] = WeakSet()
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
        return {job for task in tasks for future in waited_for(task) if (job := _job(future)) is not None}

    async def _end_tasks(self, told: WeakSet[asyncio.Task[object]], is_left: Callable[[asyncio.Task[object]], bool]) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            quiet = 0 if await self._end_some(told, is_left) else quiet + 1

    async def _end_some(self, told: WeakSet[asyncio.Task[object]], is_left: Callable[[asyncio.Task[object]], bool]) -> bool:
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
            left -= _awaited_by(others - left)
        for task in left:
            if task not in told and not _is_cleanup(task) and not _is_being_cancelled(task):
                told.add(task)
                task.cancel()
        if left:
            await asyncio.wait(left)
            _report_failures(left)
        return bool(left)

    def _is_innermost(self, task: asyncio.Task[object]) -> bool:
        context = _context(task)
        return context is not None and context.get(_scopes, ())[-1:] == (self,)


class Remains:
    """What would keep generators of a stopped run alive that are to be closed: frames of code that has ended.

    Errors have them in their tracebacks, and handlers may keep errors. The frames of `RunnableParallel._transform` and
    `_atransform` refer to themselves, by the error with which a branch told its end, and are left to the garbage collector.
    """

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._frames: list[FrameType] = []

    def add_error(self, error: BaseException) -> None:
        """Remember what a run was told to have ended with."""
        self._errors.append(error)

    def add_frame(self, frame: FrameType) -> None:
        """Remember the frame of a generator that will be closed, or is."""
        self._frames.append(frame)

    def clear_all(self) -> None:
        """Clear all frames, and those that come to light when generators end because of that."""
        while self.clear():
            pass

    def clear_unread(self) -> None:
        """Do the same for a run that has failed by itself and whose error nobody will read, which is rare.

        Its branches have errors of their own that were never seen here, so the garbage collector has to find them.
        """
        self.clear_all()
        gc.collect()

    def clear(self) -> bool:
        """Clear all frames remembered and forget them; return whether there were any."""
        errors, self._errors = self._errors, []
        frames, self._frames = self._frames, []
        for error in errors:
            cause: BaseException | None = error
            while cause is not None:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__context__
        for frame in frames:
            with suppress(RuntimeError):  # it has not ended after all
                frame.clear()
        return bool(errors or frames)


class BranchEnds:
    """A loop's exception handler while runs are being cancelled there: one for all of them, in front of the loop's own.

    It drops one message, that a parallel branch has come to its end and nobody has asked.

    Args:
        previous: The loop's handler until now.
    """

    def __init__(self, previous: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None) -> None:
        self._previous = previous
        self._runs = 0

    @classmethod
    def expect(cls, loop: asyncio.AbstractEventLoop) -> BranchEnds:
        """Begin for a run that will be cancelled; to be ended with `done`."""
        handler = loop.get_exception_handler()
        if not isinstance(handler, BranchEnds):
            handler = cls(handler)
            loop.set_exception_handler(handler)
        handler._runs += 1
        return handler

    def done(self, loop: asyncio.AbstractEventLoop) -> None:
        """End for one run; the last one puts the loop's handler back, unless somebody has set another one meanwhile."""
        self._runs -= 1
        if not self._runs and loop.get_exception_handler() is self:
            loop.set_exception_handler(self._previous)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what nobody else did."""
        coroutine = getattr(context.get("future"), "get_coro", object)()
        if isinstance(context.get("exception"), StopAsyncIteration) and getattr(coroutine, "cr_code", None) in _BRANCH_STEP:
            return
        if self._previous is None:
            loop.default_exception_handler(context)
        else:
            self._previous(loop, context)


def _awaited_by(tasks: Iterable[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
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


def waited_for(future: asyncio.Future[Any]) -> frozenset[asyncio.Future[Any]]:
    """Return what a task and all that it waits for wait for in the end; nothing if any of it can go on.

    Neither a task's future nor the children of `asyncio.gather` have public names; AnyIO's cancellation relies on the first,
    too. Runs that lack them are cut when their turns are over.
    """
    while isinstance(future, asyncio.Task):
        waiter = getattr(future, "_fut_waiter", None)
        if waiter is None:
            return frozenset()
        future = waiter
    if future.done():
        return frozenset()
    children = [child for child in getattr(future, "_children", ()) if not child.done()]
    if not children:
        return frozenset({future})
    found = [waited_for(child) for child in children]
    return frozenset().union(*found) if all(found) else frozenset()


def _job(future: asyncio.Future[Any]) -> concurrent.futures.Future[Any] | None:
    """Return the job in a pool's thread that a future stands for, if it does.

    `asyncio.wrap_future` chains the two by a callback, and nothing else knows both. A loop that did it otherwise would make
    leaving not wait for such jobs.
    """
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            if isinstance(cell.cell_contents, concurrent.futures.Future):
                return cell.cell_contents
    return None


async def end_jobs(jobs: set[concurrent.futures.Future[Any]], remains: Remains) -> None:
    """Wait until jobs in threads have ended: they cannot be cancelled, and stop at their next callback.

    Args:
        jobs: Emptied; their errors hold the frames of what they ran.
        remains: Cleared, those frames included.

    Cancellation: gives up.
    """
    left = {asyncio.wrap_future(job) for job in jobs if not job.done()}
    turns = len(jobs) + 1 if jobs else 0
    jobs.clear()
    if left:
        await asyncio.wait(left)
        _report_failures(left)
        for future in left:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                remains.add_error(error)
    if turns:
        await _pass_pool(turns)
        remains.clear_all()


async def _pass_pool(turns: int) -> None:
    """Wait for some jobs of no work.

    A thread drops what it has run, a generator for example, only after it has told the end,
    and the pool what was cancelled in its queue only when it comes to it.
    """
    loop = asyncio.get_running_loop()
    with suppress(RuntimeError):  # the loop's pool is closed
        await asyncio.wait({loop.run_in_executor(None, int) for _ in range(turns)}, timeout=_POOL_SECONDS)


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


def _report_failures(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Log errors of what is finished that nobody else waits for; asking for them keeps the loop from complaining."""
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, StopAsyncIteration):
            _logger.warning("cleaning up after a cancelled run failed: %r", error, exc_info=error)
