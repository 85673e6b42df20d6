"""A trio run that is driven by hand: the part of an asyncio loop's interface that the model of the channel uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from threading import get_ident
from typing import Any

import trio
from anyio.from_thread import start_blocking_portal
from trio.testing import wait_all_tasks_blocked

__all__ = ["TrioLoop", "TrioTask"]


class TrioTask:
    """A trio task with the interface of an asyncio one; cancelled means that its cancellation reached it."""

    def __init__(self, loop: TrioLoop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        with self._scope:
            try:
                self._value = await self._coroutine
            except Exception as error:
                self._error = error
        if self._scope.cancelled_caught:
            self._error = asyncio.CancelledError()
        self._done.set()

    async def wait(self) -> None:
        await self._done.wait()

    def cancel(self) -> None:
        self._loop.inside(self._scope.cancel)

    def done(self) -> bool:
        return self._done.is_set()

    def cancelled(self) -> bool:
        return isinstance(self._error, asyncio.CancelledError)

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


class TrioLoop:
    """Runs trio in a thread, and only while it is asked to: each call returns when no task can go on by itself."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal("trio"))
        self._thread: int = self._portal.call(get_ident)
        self._tasks: list[TrioTask] = []

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> TrioTask:
        task = TrioTask(self, coroutine)
        self._tasks.append(task)
        self._portal.start_task_soon(task.run)
        return task

    def inside(self, function: Callable[[], object]) -> None:
        """Call a function in the loop."""
        if get_ident() == self._thread:
            function()
        else:
            self._portal.call(function)

    def settle(self) -> None:
        """Wait until no task can go on."""
        self._portal.call(wait_all_tasks_blocked)

    def run_until_complete(self, task: TrioTask) -> Any:
        self._portal.call(task.wait)
        return task.result()

    def close(self) -> None:
        """Cancel all tasks and end the run."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            self._portal.call(task.wait)
        self._stack.close()
