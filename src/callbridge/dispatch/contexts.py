"""The contexts of runs: each run has its own, in which its calls are made and its coroutines are stepped.

The context of a run is a copy of its parent's context at the time when the run began. For a root, it is a copy of the context
of the code that fed its start. A handler can attach things there at a start and detach them at the end, as tracers do with
their spans. Siblings, other roots and the reader see nothing of it.

A coroutine that a handler returns stays in the task that feeds. There its timeouts and cancel scopes work, and a cancellation
reaches it. Each of its steps runs in the context, as if it were a task of its own. But a task would cost a turn of the loop,
and more than the whole dispatch of a token. Before CPython 3.11, a task cannot even be made in a given context.
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
    """Return the context for the calls of a scope. If the scope has none, make it now.

    So call this as soon as the run begins, before another call of its parent.
    """
    context: Context | None = scope.context
    if context is None:
        context = copy_context() if scope.above is None else context_of(scope.above).copy()
        scope.context, scope.above = context, None
    return context


def renew_context(scope: Scope) -> None:
    """Give later calls of a scope a copy, because an interrupted call may still be in the context, in another thread."""
    scope.context = context_of(scope).copy()


def begun(context: Context, awaitable: Awaitable[Any]) -> Awaitable[Any] | None:
    """Make the first step of an awaitable.

    Returns:
        The rest to await, in any task; `None` if that was all.

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
    """An awaitable whose steps all run in a context.

    Args:
        context: The context.
        awaitable: A coroutine that has not begun, or any other awaitable.
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
        """Give it up without the warning that it was never awaited."""
        close: Callable[[], object] | None = getattr(self._awaitable, "close", None)
        if close is not None:
            close()


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable


@coroutine
def _rest(context: Context, running: Coroutine[Any, Any, Any], yielded: Any) -> Generator[Any, Any, None]:
    """Run the coroutine in its context: pass its waits on to the task, and the results back."""
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
