"""Finds the handlers that are attached to a live run, so that they do not hear of it twice.

A handler that is attached to the run and is also given to `dispatch_events` would hear everything twice (D8 in
`docs/divergences.md`). Our own streams know their handlers. For async generators (LangChain's `astream_events`, and those that
users write around it) this module looks at the arguments in the frame. That is a best effort: a handler in any other place is
called twice.

Lists, files and other sync sources are recordings: no handler is attached to them, and they may well be meant for the handlers
of the surrounding code (`get_openai_callback()`).
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
"""How many values to look at, because a runnable may hold a million documents."""


def attached_handlers(source: object) -> list[BaseCallbackHandler]:
    """Return the handlers that are attached to the run behind a stream of events.

    Args:
        source: The source of the events. It is not started.

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
    """Return whether two handlers are the same to the user: the same object, or one made from it by `wrap_handler`."""
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
    """Return the handlers that any run started here would have: from hooks, from the run around, from wrapped managers."""
    callbacks = ensure_config().get("callbacks")
    return list(CallbackManager.configure(callbacks).handlers)


class _Search:
    """Searches runnables, their parts, and configs."""

    def __init__(self) -> None:
        self._left = _BUDGET
        self._seen: set[int] = set()

    def handlers(self, values: list[Any]) -> Iterator[BaseCallbackHandler]:
        for value in values:
            # Other arguments, such as the input, are not searched.
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
