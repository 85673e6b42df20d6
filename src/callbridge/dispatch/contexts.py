"""The contexts of runs: each call of a run is made in the run's own, and coroutines are stepped in it.

The context of a run is a copy of that of the run above it, as it was when the run began; a root's, of whoever fed its start.
What a handler attaches there in a start it detaches at the end, as tracers do with their spans, and neither siblings, nor
other roots, nor the reader see anything of it.

A coroutine that a handler returns stays in the task that feeds: there its timeouts and cancel scopes work, and a cancellation
reaches it. Each of its steps is made in the context, as a task of its own would make it; but a task costs a turn of the
loop and more than the whole dispatch of a token, and before CPython 3.11 none can be made in a given context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from types import CoroutineType, coroutine
from typing import Any, cast

from callbridge.core.calls import Scope

__all__ = ["WithinContext", "begun", "context_of", "renew_context"]


def context_of(scope: Scope) -> Context:
    """Return the context to make the calls of a scope in, which it gets now if it has none.

    So it is to be asked for as soon as the run begins, before there is another call of the run above.
    """
    context: Context | None = scope.context
    if context is None:
        context = copy_context() if scope.above is None else context_of(scope.above).copy()
        scope.context, scope.above = context, None
    return context


def renew_context(scope: Scope) -> None:
    """Let later calls of a scope have a copy: an interrupted call may still be in the context, in another thread."""
    scope.context = context_of(scope).copy()


def begun(context: Context, awaitable: Awaitable[Any]) -> Awaitable[Any] | None:
    """Make the first step of what is to be awaited.

    Returns:
        What remains to be awaited, in any task; `None` if that was all.

    Raises:
        BaseException: Whatever the step raises.
    """
    running = awaitable if type(awaitable) is CoroutineType else _awaited(awaitable)
    try:
        yielded = context.run(running.send, None)
    except StopIteration:
        return None
    return _rest(context, running, yielded)


class WithinContext:
    """Something to be awaited later, each step of it in a context.

    Args:
        context: The context.
        awaitable: A coroutine that has not begun, or anything else that can be awaited.
    """

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, None]:
        rest = begun(self._context, self._awaitable)
        if rest is not None:
            yield from cast("Generator[Any, Any, None]", rest)

    def close(self) -> None:
        """Give it up: it will not be awaited, and need not warn of that."""
        close: Callable[[], object] | None = getattr(self._awaitable, "close", None)
        if close is not None:
            close()


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable


@coroutine
def _rest(context: Context, running: Coroutine[Any, Any, Any], yielded: Any) -> Generator[Any, Any, None]:
    """Be the coroutine for whoever awaits it: pass on what it waits for, and what comes back, in its context."""
    while True:
        step: Callable[[], Any]
        try:
            step = partial(running.send, (yield yielded))
        except GeneratorExit:
            context.run(running.close)
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the coroutine
            step = partial(running.throw, error)
        try:
            yielded = context.run(step)
        except StopIteration:
            return
