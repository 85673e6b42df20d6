"""Names that nobody promised, of LangChain and of what it stands on, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from types import CodeType
from typing import Any, Final

__all__ = ["codes_of", "elsewhere", "is_unread_v3_stream", "is_v3_stream", "used_elsewhere"]

_LIBRARY = "current_async_library_cvar"
"""Sniffio's variable, which says what library the loop is of in which a context was made."""


def elsewhere(context: Context) -> Context:
    """Return a copy of a context for another thread, where the loop in which it was made does not run."""
    copy = context.copy()
    for variable in _libraries(copy):
        copy.run(variable.set, None)
    return copy


@contextmanager
def used_elsewhere(context: Context) -> Iterator[None]:
    """Use a context, and not a copy of it, for a while in another thread, where the loop in which it was made does not run."""
    tokens = [(variable, context.run(variable.set, None)) for variable in _libraries(context)]
    try:
        yield
    finally:
        for variable, token in tokens:
            context.run(variable.reset, token)


def _libraries(context: Context) -> list[ContextVar[Any]]:
    return [variable for variable in context if variable.name == _LIBRARY]


def codes_of(function: Callable[..., Any] | None) -> tuple[CodeType, ...]:
    """Return a function's code and that of what is defined in it: comprehensions run in frames of their own before 3.12.

    A tuple, not a set: it is searched by identity first, while hashing a code object hashes all that is in it. The
    comprehensions come first, because `ahandle_event` asks in them.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    return (*(const for const in code.co_consts if isinstance(const, CodeType)), code)


_MODEL_STREAMS: Final = frozenset({"ChatModelStream", "AsyncChatModelStream"})

_RUN_STREAMS: Final = frozenset({"GraphRunStream", "AsyncGraphRunStream"})
"""Streams of version 3, by name: no LangChain need have them, and LangGraph need not be there."""


def _names(value: object) -> set[str]:
    """Return the names of a value's classes that are LangChain's or LangGraph's."""
    return {
        kind.__name__ for kind in type(value).__mro__ if kind.__module__.partition(".")[0] in ("langchain_core", "langgraph")
    }


def is_v3_stream(value: object) -> bool:
    """Return whether a value is a stream of version 3: of a model, or of a graph."""
    return not _names(value).isdisjoint(_MODEL_STREAMS | _RUN_STREAMS)


def is_unread_v3_stream(value: object) -> bool:
    """Return whether a value is such a stream that nobody has begun to read, so that its run has not begun either.

    Source: `langchain_core/language_models/chat_model_stream.py` (1.4.0 to 1.8.3), `langgraph/stream/run_stream.py` (1.2.0 to
    1.2.24). Where these names are gone, such a stream is a result like any other.
    """
    names = _names(value)
    if not names.isdisjoint(_MODEL_STREAMS):
        return not getattr(value, "done", True) and not getattr(value, "has_events", getattr(value, "_events", True))
    if not names.isdisjoint(_RUN_STREAMS):
        return getattr(value, "_exhausted", None) is False and getattr(value, "_latest", None) is None
    return False
