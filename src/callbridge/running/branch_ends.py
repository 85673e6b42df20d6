"""`BranchEnds`: keeps asyncio from complaining of parallel branches that a cancelled run has forgotten.

A step of such a branch that has found the branch's end, `StopAsyncIteration`, is a task that nobody asks for its exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from callbridge.internals import codes_of_langchain

__all__ = ["BranchEnds"]


_BRANCH_STEP = codes_of_langchain("langchain_core.runnables.base:RunnableParallel._atransform")
"""The code of the coroutines that `RunnableParallel` makes tasks of, and that of the generator which does, no coroutine."""


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
