"""Recognizes the caller of a callback: LangChain's dispatchers, by their code objects.

A callback is called in three ways, which allow different things. `handle_event` calls it: it may block, unless a loop runs in
this thread. `ahandle_event` awaits it: it may wait. All other callers just call it. LangChain passes no argument that tells
which, but the caller's frame does.

If a future LangChain lacks one of the names, its set is empty. An unknown caller gets an answer that is safe in all three
cases, so callbridge would be slower then, but not wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from callbridge.internals import calling_frame, codes_of_langchain, langchain

__all__ = [
    "ASYNC_DISPATCH",
    "ASYNC_DISPATCH_ONE",
    "SYNC_DISPATCH",
    "StreamingHandler",
    "in_borrowed_loop",
    "is_cleanup",
    "left_out_of_tap",
]

SYNC_DISPATCH: Final = codes_of_langchain("langchain_core.callbacks.manager:handle_event")[-1:]
"""`handle_event`: for sync runs, and for sync calls inside a running loop. Without its comprehensions, which call no
handler, because a search compares each code object that comes before the right one."""

ASYNC_DISPATCH: Final = codes_of_langchain("langchain_core.callbacks.manager:ahandle_event")
"""`ahandle_event`: asks each handler whether it is inline."""

ASYNC_DISPATCH_ONE: Final = codes_of_langchain("langchain_core.callbacks.manager:_ahandle_event_for_handler")[-1:]
"""The part of `ahandle_event` that calls one handler, likewise."""

_PRIVATE_LOOP: Final = codes_of_langchain("langchain_core.callbacks.manager:_run_coros")
"""The function that runs coroutines of async handlers for a sync run, on a loop of its own."""

_FIRST_TAP_ONLY: Final = (
    *codes_of_langchain("langchain_core.runnables.base:Runnable._transform_stream_with_config"),
    *codes_of_langchain("langchain_core.runnables.base:Runnable._atransform_stream_with_config"),
)
"""The functions that let only the first streaming handler tap a run. LangGraph lets all of them tap."""


class _Unknown:
    """Stands for a class of LangChain that is missing. No handler is an instance of it."""


StreamingHandler: Final[Any] = langchain("langchain_core.tracers._streaming:_StreamingCallbackHandler", _Unknown)
"""LangChain lets the handlers of this class see the chunks of runs."""

_PACKAGES: Final = frozenset(
    {"callbridge", "langchain", "langchain_classic", "langchain_community", "langchain_core", "langgraph"}
)
"""Code whose `finally` blocks are not the user's cleanup."""


def left_out_of_tap(handler: Any, caller: FrameType) -> Sequence[Any]:
    """Return a run's handlers after this one, if LangChain lets only the first streaming handler tap it; otherwise none.

    Args:
        handler: The handler whose tap is called.
        caller: The frame that calls it. It has the run's manager in a local variable. No other place has the handlers on every
            version: only from CPython 3.11 on is the context that names them the run's own.
    """
    if caller.f_code not in _FIRST_TAP_ONLY:
        return ()
    names = caller.f_locals
    handlers = list(getattr(names.get("run_manager"), "handlers", ()))
    if type(names) is dict:
        # Before CPython 3.13 this is a copy that the frame keeps. It would keep objects alive that `RunScope.end_leftovers`
        # must close.
        names.clear()
    places = [place for place, other in enumerate(handlers) if other is handler]
    return handlers[places[0] + 1 :] if places else ()


def is_cleanup() -> bool:
    """Return whether the user's code calls this while a cancellation passes through it: in a `finally` or an `except`.

    LangChain's own generators read on in their `finally`, to trace their inputs. That does not count as cleanup. The frame that
    handles an error is the last one that was added to the error's traceback.
    """
    error = sys.exc_info()[1]
    while error is not None and (isinstance(error, Exception) or error.__traceback__ is None):
        error = error.__context__  # LangChain may be handling an error of its own on the way here
    if error is None or error.__traceback__ is None:
        return False
    module = str(error.__traceback__.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] not in _PACKAGES


def in_borrowed_loop() -> bool:
    """Return whether the loop here runs for sync code in a waiting thread, which may be the reader's.

    If a loop runs in the thread of `handle_event`, `handle_event` runs the coroutines of handlers on another loop, in another
    thread, and waits. A coroutine there that waited for a reader on the first loop would wait for ever. In a thread without a
    loop, `handle_event` runs them in place, where waiting does no harm.
    """
    frame: FrameType | None = calling_frame(1)
    while frame is not None and frame.f_code not in _PRIVATE_LOOP:
        frame = frame.f_back
    below = None if frame is None else frame.f_back
    return frame is not None and (below is None or below.f_code not in SYNC_DISPATCH)
