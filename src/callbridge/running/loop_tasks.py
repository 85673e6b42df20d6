"""`LoopTasks`: the tasks of a loop in one of its turns: whose they are, and which of them somebody awaits.

One for all runs that end in that turn, because it looks at every task of the loop.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable
from contextvars import Context, ContextVar
from functools import cached_property
from typing import Any, TypeAlias

from callbridge.running.pool_jobs import in_callbacks

__all__ = ["LoopTasks", "Task", "awaited_by", "is_langchains", "module_of", "name_of", "run_scopes"]

Task: TypeAlias = "asyncio.Task[Any]"

run_scopes: ContextVar[tuple[object, ...]] = ContextVar("callbridge_run_scopes", default=())
"""The runs of streams that this code is part of, outermost first."""

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

_ENTRIES = ("abatch", "acall", "ainvoke", "agenerate", "agenerate_prompt", "aget_relevant_documents", "apredict", "arun")
"""Methods whose coroutines the user's code makes tasks of, and LangChain only where it awaits them."""

_GENERATOR_STEPS = ("async_generator_asend", "async_generator_athrow")


class _Latest(threading.local):
    sweep: weakref.ref[LoopTasks] | None = None


_latest = _Latest()


class LoopTasks:
    """The tasks of a loop that have not ended, as they are now."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_scope: dict[object, list[Task]] = {}
        self._owners: list[Task] = []  # who may rely on what they await
        for task in asyncio.all_tasks(loop):
            context = _context(task)
            scopes = () if context is None else context.get(run_scopes, ())
            if scopes:
                self._by_scope.setdefault(scopes[-1], []).append(task)
            if not scopes or not is_langchains(task):
                self._owners.append(task)

    @staticmethod
    def now(loop: asyncio.AbstractEventLoop) -> LoopTasks:
        """Return the sweep of this turn, or of the one before; made by who asks first. From the loop's thread."""
        latest = None if _latest.sweep is None else _latest.sweep()
        if latest is None or latest._loop is not loop:
            latest = LoopTasks(loop)
            # The loop holds it until somewhere in its next turn, and not beyond: tasks hold errors, and those hold generators.
            loop.call_soon(_let_go, latest)
            _latest.sweep = weakref.ref(latest)
        return latest

    def tasks(self, scope: object) -> list[Task]:
        """Return those whose innermost run is this one, but for what has ended since."""
        return [task for task in self._by_scope.get(scope, ()) if not task.done()]

    @cached_property
    def awaited(self) -> set[asyncio.Future[Any]]:
        """What tasks that are not of LangChain's making await, and what those await in turn."""
        return awaited_by(self._owners, (task for tasks in self._by_scope.values() for task in tasks))


def _let_go(_: LoopTasks) -> None:
    """Do nothing; see `LoopTasks.now`."""


def awaited_by(tasks: Iterable[Task], others: Iterable[Task] = ()) -> set[asyncio.Future[Any]]:
    """Return the tasks that these await, and what those await in turn: LangChain makes tasks of its own for who calls it.

    Args:
        tasks: Whose.
        others: Tasks which may be awaited by `asyncio.wait`, of which only they know.
    """
    waits: defaultdict[asyncio.Future[Any], list[Task]] = defaultdict(list)
    for task in others:
        # The callback of `asyncio.wait` has in its closure the future that is waited for.
        for waiter in in_callbacks(task, asyncio.Future):
            waits[waiter].append(task)
    found: set[asyncio.Future[Any]] = set()
    owners = list(tasks)
    while owners:
        future: Any = getattr(owners.pop(), "_fut_waiter", None)
        for awaited in (future, *getattr(future, "_children", ()), *waits.get(future, ())):
            if isinstance(awaited, asyncio.Task) and awaited not in found:
                found.add(awaited)
                owners.append(awaited)
    return found


def is_langchains(task: Task) -> bool:
    """Return whether a task is of LangChain's making: a coroutine of its running of runs, or a step of an async generator.

    A step does not tell whose it is: in a run, only what LangChain does not wait for any more is made into a task.
    """
    if type(task.get_coro()).__name__ in _GENERATOR_STEPS:
        return True
    *outer, name = name_of(task)
    is_entry = name in _ENTRIES and "<locals>" not in outer
    return f"{module_of(task)}.".startswith(_FAMILY) and not is_entry


def name_of(task: Task) -> list[str]:
    """Return the qualified name of a task's coroutine, in its parts."""
    return str(getattr(task.get_coro(), "__qualname__", "")).split(".")


def module_of(task: Task) -> str:
    """Return the module of a task's coroutine."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _context(task: Task) -> Context | None:
    """Return the context that a task runs in."""
    get_context = getattr(task, "get_context", None)
    if get_context is not None:
        context: Context = get_context()
        return context
    # Before CPython 3.12 the garbage collector alone can say; it names a task's own context first.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)
