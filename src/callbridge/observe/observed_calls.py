"""`astream_call`, `stream_call`: events of everything a call runs, without touching the call.

The handler is not passed to any code. It is in a context variable of the context in which the call runs, and LangChain reads
that variable whenever it configures callbacks. So the handler hears of each run that starts inside, however deep, and of no run
outside.

Source: `register_configure_hook` (`langchain_core/tracers/context.py`, 0.3.0 to 1.8.1).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable
from langchain_core.tracers.context import register_configure_hook

from callbridge.core.calls import Payload
from callbridge.errors import CallableTypeError
from callbridge.internals import is_unread_v3_stream
from callbridge.observe.options import OnExit, StreamOptions, check_option_names
from callbridge.observe.owned_run_handler import OwnedRunHandler
from callbridge.observe.streams import AsyncEventStream, EventStream
from callbridge.running.owned_runs import LateRun, OwnedRun, TaskRun, ThreadRun, call_in_thread

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["astream_call", "observing", "stream_call"]

R = TypeVar("R")

_LAZY: Final = (
    "a call that does its work before it returns; this one {} a generator, which does nothing until it is read. Instead of "
    "chain.stream and chain.astream, use stream_events(chain, x) and astream_events(chain, x), or call chain.invoke. Read any "
    "other generator inside the call: lambda: list(generate(x))"
)

_UNREAD: Final = (
    "a call that does its work before it returns; this one returned a stream of version='v3', which does nothing until it is "
    "read. Read it in the call: lambda: model.stream_events(q, version='v3').output; or in a coroutine function: "
    "return await (await model.astream_events(q, version='v3')); for a graph: run.output, or await run.output()"
)

_KEYWORDS: Final = "pass keyword arguments of the call with functools.partial(call, name=value) or a lambda"

_V3_CALL: Final = (
    f"{_KEYWORDS}, and read a stream of version='v3' in the call: lambda: model.stream_events(q, version='v3').output"
)


# The second overload has a union because mypy would match a call with `**kwargs: Any`, such as `chain.ainvoke`, with a plain
# `Callable[..., R]` as well, and would give up on both.
@overload
def astream_call(call: Callable[..., Awaitable[R]], /, *args: Any, **options: Unpack[StreamOptions]) -> AsyncEventStream[R]: ...
@overload
def astream_call(
    call: Callable[..., Awaitable[R] | R], /, *args: Any, **options: Unpack[StreamOptions]
) -> AsyncEventStream[R]: ...
def astream_call(call: Callable[..., Any], /, *args: Any, **options: Unpack[StreamOptions]) -> AsyncEventStream[Any]:
    """Read the events of every run that a call starts.

    Args:
        call: A sync or async callable. A coroutine function runs in a task on this loop. Anything else runs in its own thread,
            and if it returns an awaitable (`lambda: chain.acall(x)`), this loop awaits it.
        *args: Its positional arguments; use `functools.partial` for keywords.
        **options: See `StreamOptions`. `streaming` defaults to True.

    Returns:
        A stream. Its first read starts the call, and its `result` is what the call returned.

    Raises:
        CallableTypeError: `call` cannot be called, or is a generator function, such as `chain.astream`, which does nothing
            until somebody reads what it returns. If the call turns out to return a generator, or a stream of version 3 that
            nobody has begun to read, the stream raises this error then.
        OptionError: A keyword is not one of the options.
        ArgumentError: An option has a value that is not allowed.

    Cancellation: leaving the stream cancels the call and awaits it; see `AsyncEventStream`.

    Example:
        ```python
        async with callbridge.astream_call(chain.ainvoke, {"drink": "tea"}) as stream:
            names = [event["event"] async for event in stream]
        print(names[0], names[-1])
        #> on_chain_start on_chain_end
        ```
    """
    handler, on_exit = _prepared(call, options)
    return AsyncEventStream(handler, _async_run(handler, partial(call, *args), _is_async(call)), on_exit=on_exit)


@overload
def stream_call(call: Callable[..., Awaitable[R]], /, *args: Any, **options: Unpack[StreamOptions]) -> EventStream[R]: ...
@overload
def stream_call(call: Callable[..., Awaitable[R] | R], /, *args: Any, **options: Unpack[StreamOptions]) -> EventStream[R]: ...
def stream_call(call: Callable[..., Any], /, *args: Any, **options: Unpack[StreamOptions]) -> EventStream[Any]:
    """Read the events of every run that a call starts, from sync code. No event loop is needed.

    The call runs in its own thread, with a copy of the caller's context. If it returns an awaitable, a loop in that thread
    runs the awaitable to its end.

    Args:
        call: A callable.
        *args: Its positional arguments; use `functools.partial` for keywords.
        **options: See `StreamOptions`. `streaming` defaults to True.

    Returns:
        A stream. Its first read starts the call, and its `result` is what the call returned.

    Raises:
        CallableTypeError: `call` cannot be called, or it is a generator function, or returns a generator or the like; see
            `astream_call`.
        OptionError: A keyword is not one of the options.
        ArgumentError: An option has a value that is not allowed.

    Example:
        ```python
        with callbridge.stream_call(chain.invoke, {"drink": "tea"}) as stream:
            for text in stream.text():
                print(text, end="")
        print(stream.result.content == "With hot water.")
        #> With hot water.True
        ```
    """
    handler, on_exit = _prepared(call, options)
    run = ThreadRun(handler.sender, partial(_called, partial(call, *args)), partial(observed, handler))
    return EventStream(handler, run, on_exit=on_exit)


def _prepared(call: object, options: StreamOptions) -> tuple[OwnedRunHandler, OnExit]:
    """Check a stream's options, and return its handler and its `on_exit`."""
    _check_callable(call)
    is_v3_call = cast("Any", options).get("version") == "v3"
    check_option_names(options, StreamOptions, hint=_V3_CALL if is_v3_call else _KEYWORDS)
    on_exit = options.pop("on_exit", "cancel")
    return OwnedRunHandler(**{"streaming": True, **options}), on_exit


def observed(handler: BaseCallbackHandler) -> Context:
    """Return a copy of the current context in which the handler hears of every run."""
    context = copy_context()
    context.run(_observe, handler)
    return context


@contextmanager
def observing(handler: BaseCallbackHandler) -> Iterator[None]:
    """Let a handler hear of every run that starts inside, in this context and its copies."""
    variable, token = _observe(handler)
    try:
        yield
    finally:
        variable.reset(token)


def _observe(handler: BaseCallbackHandler) -> tuple[ContextVar[BaseCallbackHandler | None], Token[BaseCallbackHandler | None]]:
    level = 0
    while (observer := _hook(level).get()) is not None and not (isinstance(observer, OwnedRunHandler) and observer.is_over):
        # This call is itself observed, and its observer goes on hearing of everything. An observer whose run is over is
        # replaced. If not, each generation of runs that start the next one in a task would need one more variable.
        level += 1
    variable = _hook(level)
    return variable, variable.set(handler)


@cache
def _hook(level: int) -> ContextVar[BaseCallbackHandler | None]:
    """Return the variable for observers at this depth of nesting. Its first use registers it with LangChain.

    LangChain cannot unregister such a variable. So there are as many as calls were ever nested, and importing callbridge makes
    none.
    """
    variable: ContextVar[BaseCallbackHandler | None] = ContextVar(f"callbridge_observer_{level}", default=None)
    register_configure_hook(variable, inheritable=True)
    return variable


def _check_callable(call: object) -> None:
    if not callable(call):
        raise CallableTypeError("call", call, f"a callable and its arguments, as in (chain.invoke, x){_hint(call)}")
    if _is(inspect.isgeneratorfunction, call) or _is(inspect.isasyncgenfunction, call):
        raise CallableTypeError("call", call, _LAZY.format("makes"))


def _hint(call: object) -> str:
    if isinstance(call, Awaitable):
        return "; this is an awaitable: pass the callable itself, and its arguments after it"
    if isinstance(call, Runnable):
        return "; of a runnable, give a method"
    return ""


def _is(kind: Callable[[object], bool], call: object) -> bool:
    """Return whether a callable is of a kind: a function, a method, a partial, or an object with such a `__call__`."""
    return kind(call) or kind(getattr(call, "__call__", None))  # noqa: B004


def _is_async(call: Callable[..., Any]) -> bool:
    """Return whether calling this makes a coroutine."""
    return _is(inspect.iscoroutinefunction, call)


def _async_run(handler: OwnedRunHandler, call: Callable[[], Any], is_async: bool) -> OwnedRun:
    sender = handler.sender

    async def run() -> Payload:
        result = call() if is_async else await call_in_thread(sender, call)
        return _checked(await result if inspect.isawaitable(result) else result)

    def make() -> OwnedRun:
        if is_async or _on_asyncio():
            return TaskRun(sender, run, partial(observed, handler))
        # LangChain's async API does not run on trio. Sync code does, in its own thread.
        return ThreadRun(sender, partial(_called, call), partial(observed, handler))

    return LateRun(make)


def _called(call: Callable[[], Any]) -> Any:
    """Make the call and return its result, or an awaitable for it."""
    result = call()
    return _awaited(result) if inspect.isawaitable(result) else _checked(result)


async def _awaited(result: Awaitable[Any]) -> Payload:
    return _checked(await result)


def _checked(result: Payload) -> Payload:
    """Return the result of a call, unless it is work that has not been done yet.

    Raises:
        CallableTypeError: It is a generator, or a stream of version 3 that nobody has begun to read.
    """
    if is_unread_v3_stream(result):
        raise CallableTypeError("call()", result, _UNREAD)
    if isinstance(result, (Generator, AsyncGenerator)):
        raise CallableTypeError("call()", result, _LAZY.format("returned"))
    return result


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
