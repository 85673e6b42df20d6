"""`LoopTasks`: all tasks of a loop in one of its turns: which run each belongs to, and which of them are awaited.

All runs that end in the same turn share one `LoopTasks`, because making it takes a look at every task of the loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cached_property
from typing import Any

from callbridge.internals import Task, children_of, context_of, held_by_callbacks, is_future, is_langchains, is_task, waiter_of

__all__ = ["LoopTasks", "awaited_by", "run_scopes"]

run_scopes: ContextVar[tuple[object, ...]] = ContextVar("callbridge_run_scopes", default=())
"""The owned runs that this code is part of, outermost first."""


class _Latest(threading.local):
    sweep: weakref.ref[LoopTasks] | None = None


_latest = _Latest()


class LoopTasks:
    """The tasks of a loop that have not ended, at the time when this is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_scope: dict[object, list[Task]] = {}
        self._owners: list[Task] = []  # not of LangChain's making
        for task in asyncio.all_tasks(loop):
            context = context_of(task)
            scopes = () if context is None else context.get(run_scopes, ())
            if scopes:
                self._by_scope.setdefault(scopes[-1], []).append(task)
            if not scopes or not is_langchains(task):
                self._owners.append(task)

    @staticmethod
    def now(loop: asyncio.AbstractEventLoop) -> LoopTasks:
        """Return the tasks of this turn or of the one before. The first caller in a turn makes it. From the loop's thread."""
        latest = None if _latest.sweep is None else _latest.sweep()
        if latest is None or latest._loop is not loop:
            latest = LoopTasks(loop)
            # The loop holds it until some point of its next turn, and no longer: tasks hold errors, and errors hold generators.
            loop.call_soon(_let_go, latest)
            _latest.sweep = weakref.ref(latest)
        return latest

    def tasks(self, scope: object) -> list[Task]:
        """Return the tasks whose innermost run is this one and that have not ended since."""
        return [task for task in self._by_scope.get(scope, ()) if not task.done()]

    @cached_property
    def awaited(self) -> set[asyncio.Future[Any]]:
        """The tasks that code other than LangChain's awaits, directly or through other tasks."""
        return awaited_by(self._owners, (task for tasks in self._by_scope.values() for task in tasks))


def _let_go(_: LoopTasks) -> None:
    """Do nothing. See `LoopTasks.now`."""


def awaited_by(tasks: Iterable[Task], others: Iterable[Task] = ()) -> set[asyncio.Future[Any]]:
    """Return the tasks that these tasks await, directly or through other tasks.

    Args:
        tasks: The awaiting tasks.
        others: Tasks that `asyncio.wait` may wait for. Only these tasks themselves know that it does.
    """
    waits: defaultdict[asyncio.Future[Any] | None, list[Task]] = defaultdict(list)
    for task in others:
        for waiter in held_by_callbacks(task, is_future):
            waits[waiter].append(task)
    found: set[asyncio.Future[Any]] = set()
    owners = list(tasks)
    while owners:
        future = waiter_of(owners.pop())
        for awaited in (future, *children_of(future), *waits.get(future, ())):
            if is_task(awaited) and awaited not in found:
                found.add(awaited)
                owners.append(awaited)
    return found
