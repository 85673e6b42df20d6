"""Names that nobody promised, of LangChain and of what it stands on, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from types import CodeType
from typing import Any

__all__ = ["codes_of", "elsewhere"]

_LIBRARY = "current_async_library_cvar"
"""Sniffio's variable, which says what library the loop is of in which a context was made."""


def elsewhere(context: Context) -> Context:
    """Return a copy of a context for another thread, where the loop in which it was made does not run."""
    copy = context.copy()
    for variable in list(copy):
        if variable.name == _LIBRARY:
            copy.run(variable.set, None)
    return copy


def codes_of(function: Callable[..., Any] | None) -> tuple[CodeType, ...]:
    """Return a function's code and that of what is defined in it: comprehensions run in frames of their own before 3.12.

    A tuple, not a set: it is searched by identity first, while hashing a code object hashes all that is in it. The
    comprehensions come first, because `ahandle_event` asks in them.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    return (*(const for const in code.co_consts if isinstance(const, CodeType)), code)
