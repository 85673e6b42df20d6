"""Which handlers hear of a live run by themselves, so that they must not be told of it again.

A handler that is attached to the run and is also given to `dispatch_events` would hear everything twice (D8 in
`docs/divergences.md`). Our own streams know their handlers. Of async generators, LangChain's `astream_events` and those that
users write around it, the arguments in the frame are looked at. That is a best effort: a handler in a place that is not looked
at is called twice, as it would be without this.

Lists, files and other sync sources are recordings: nothing is attached to them, and handlers of the surrounding code
(`get_openai_callback()`) are just what they may be meant for.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import ensure_config

from callbridge.core.stand_in import original

__all__ = ["attached_handlers", "is_same"]

_BUDGET: Final = 1000
"""Values looked at: a runnable may hold a million documents."""


def attached_handlers(source: object) -> list[BaseCallbackHandler]:
    """Return the handlers that hear of the run behind a stream of events without being told of it.

    Args:
        source: What the events are read from. It is not started.

    Returns:
        Handlers found, with repetitions; none for a source that is not live.
    """
    offered: Any = getattr(source, "attached_handlers", None)
    if offered is not None:
        return [*offered(), *_ambient()]
    values = _arguments(source)
    if not any(isinstance(value, Runnable) for value in values):
        return []
    return [*_Search().handlers(values), *_ambient()]


def is_same(one: BaseCallbackHandler, other: BaseCallbackHandler) -> bool:
    """Return whether two handlers are one to the user: the same object, or what `wrap_handler` made of it."""
    return original(one) is original(other)


def _arguments(source: object) -> list[Any]:
    """Return the local variables of an async generator, and of those that it reads."""
    values: list[Any] = []
    frame = source.ag_frame if inspect.isasyncgen(source) else None
    if frame is not None:
        for value in list(frame.f_locals.values()):
            values += _arguments(value) if inspect.isasyncgen(value) else [value]
    return values


def _ambient() -> list[BaseCallbackHandler]:
    """Return the handlers that any run started here would have: of hooks, of the run around this code, of wrapped managers."""
    callbacks = ensure_config().get("callbacks")
    return list(CallbackManager.configure(callbacks).handlers)


class _Search:
    """Goes through runnables and what they are made of, and configs."""

    def __init__(self) -> None:
        self._left = _BUDGET
        self._seen: set[int] = set()

    def handlers(self, values: list[Any]) -> Iterator[BaseCallbackHandler]:
        for value in values:
            # Of other arguments, such as the input, neither handlers nor anything else are taken.
            if isinstance(value, Mapping):
                value = value.get("callbacks")
            elif not isinstance(value, Runnable):
                continue
            yield from self._within(value)

    def _within(self, value: Any) -> Iterator[BaseCallbackHandler]:
        if self._left == 0 or id(value) in self._seen:
            return
        self._left -= 1
        self._seen.add(id(value))
        if isinstance(value, BaseCallbackHandler):
            yield value
        elif isinstance(value, BaseCallbackManager):
            yield from value.handlers
        elif isinstance(value, Mapping):
            for item in value.values():
                yield from self._within(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from self._within(item)
        elif isinstance(value, Runnable) or hasattr(value, "bound"):
            for item in list(getattr(value, "__dict__", {}).values()):
                yield from self._within(item)
