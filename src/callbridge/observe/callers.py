"""Who is calling: LangChain's dispatchers, told apart by their code objects.

A callback is reached in three ways, which differ in what it may do: `handle_event` calls it (it may block, unless a loop
runs in this thread), `ahandle_event` awaits it (it may wait), and anybody else just calls it. LangChain gives no argument that
says which, but the caller's frame does.

A name that a future LangChain lacks leaves an empty set behind. An unknown caller gets an answer that is safe for all three,
so callbridge would be slower then, not wrong.
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

SYNC_DISPATCH: Final = codes_of_langchain("langchain_core.callbacks.manager:handle_event")
"""`handle_event`: sync runs, and sync calls inside a running loop."""

ASYNC_DISPATCH: Final = codes_of_langchain("langchain_core.callbacks.manager:ahandle_event")
"""`ahandle_event`: asks each handler whether it is inline."""

ASYNC_DISPATCH_ONE: Final = codes_of_langchain("langchain_core.callbacks.manager:_ahandle_event_for_handler")
"""The part of `ahandle_event` that calls one handler."""

_PRIVATE_LOOP: Final = codes_of_langchain("langchain_core.callbacks.manager:_run_coros")
"""The function that runs coroutines of async handlers for a sync run, on a loop of its own."""

_FIRST_TAP_ONLY: Final = (
    *codes_of_langchain("langchain_core.runnables.base:Runnable._transform_stream_with_config"),
    *codes_of_langchain("langchain_core.runnables.base:Runnable._atransform_stream_with_config"),
)
"""The functions that let only the first streaming handler tap a run; LangGraph taps with all of them itself."""


class _Unknown:
    """What a handler would be an instance of."""


StreamingHandler: Final[Any] = langchain("langchain_core.tracers._streaming:_StreamingCallbackHandler", _Unknown)
"""LangChain lets the handlers of this class see the chunks of runs."""

_PACKAGES: Final = frozenset(
    {"callbridge", "langchain", "langchain_classic", "langchain_community", "langchain_core", "langgraph"}
)
"""Whose `finally` blocks are no cleanup of the user's."""


def left_out_of_tap(handler: Any, caller: FrameType) -> Sequence[Any]:
    """Return a run's handlers after this one, if LangChain lets only its first streaming handler tap it; otherwise none.

    Args:
        handler: The handler whose tap is called.
        caller: The frame which calls it; it has the run's manager in a local variable, and nowhere else the handlers can
            be had from on every version: the context that names them is the run's own from CPython 3.11 on only.
    """
    if caller.f_code not in _FIRST_TAP_ONLY:
        return ()
    names = caller.f_locals
    handlers = list(getattr(names.get("run_manager"), "handlers", ()))
    if type(names) is dict:
        # Before CPython 3.13 a copy, kept by the frame: it would keep alive what `RunScope.end_leftovers` has to close.
        names.clear()
    places = [place for place, other in enumerate(handlers) if other is handler]
    return handlers[places[0] + 1 :] if places else ()


def is_cleanup() -> bool:
    """Return whether this is called by the user's code while a cancellation goes through it: in a `finally`, or an `except`.

    LangChain's own generators read on in theirs, to trace their inputs; that is no cleanup. The frame that handles an error is
    the last one that was added to the error's traceback.
    """
    error = sys.exc_info()[1]
    while error is not None and (isinstance(error, Exception) or error.__traceback__ is None):
        error = error.__context__  # LangChain may be handling one of its own on the way here
    if error is None or error.__traceback__ is None:
        return False
    module = str(error.__traceback__.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] not in _PACKAGES


def in_borrowed_loop() -> bool:
    """Return whether the loop running here runs for sync code in a thread that waits for it, and may be the reader's.

    That is where `handle_event` puts coroutines of handlers when a loop runs in its own thread: whoever waits there for a
    reader on that loop waits for ever. In a thread without a loop it runs them on the spot, where waiting does no harm.
    """
    frame: FrameType | None = calling_frame(1)
    while frame is not None and frame.f_code not in _PRIVATE_LOOP:
        frame = frame.f_back
    below = None if frame is None else frame.f_back
    return frame is not None and (below is None or below.f_code not in SYNC_DISPATCH)
