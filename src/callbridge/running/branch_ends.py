"""`BranchEnds`: keeps asyncio from complaining about parallel branches that a cancelled run has forgotten.

Each step of such a branch is a task. The last step ends with `StopAsyncIteration`, and nobody retrieves that exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from callbridge.internals import codes_of_langchain

__all__ = ["BranchEnds"]


_BRANCH_STEP = codes_of_langchain("langchain_core.runnables.base:RunnableParallel._atransform")
"""The code of the coroutines that `RunnableParallel` makes tasks of, and of the generator that makes them."""


class BranchEnds:
    """The exception handler of a loop while runs are being cancelled on it. All of these runs share one.

    It drops one message: that nobody retrieved the end of a parallel branch. It passes all others on to the loop's own handler.

    Args:
        previous: The loop's own handler.
    """

    def __init__(self, previous: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None) -> None:
        self._previous = previous
        self._runs = 0

    @classmethod
    def expect(cls, loop: asyncio.AbstractEventLoop) -> BranchEnds:
        """Install the handler for a run that will be cancelled. `done` removes it."""
        handler = loop.get_exception_handler()
        if not isinstance(handler, BranchEnds):
            handler = cls(handler)
            loop.set_exception_handler(handler)
        handler._runs += 1
        return handler

    def done(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that one run has ended. The last one restores the loop's handler, unless somebody has set another meanwhile."""
        self._runs -= 1
        if not self._runs and loop.get_exception_handler() is self:
            loop.set_exception_handler(self._previous)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error that nobody else has handled."""
        coroutine = getattr(context.get("future"), "get_coro", object)()
        if isinstance(context.get("exception"), StopAsyncIteration) and getattr(coroutine, "cr_code", None) in _BRANCH_STEP:
            return
        if self._previous is None:
            loop.default_exception_handler(context)
        else:
            self._previous(loop, context)
