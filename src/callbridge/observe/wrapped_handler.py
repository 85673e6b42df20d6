"""`wrap_handler`: an old handler that works as before and is also an iterator of events.

LangChain sees the wrapper as the old handler: its methods are sync, async and inline as those of the old handler, and it is an
instance of the same class. So LangChain's own dispatch decides everything as for the old handler alone: in which thread, loop
and context its methods run, in which order with those of other handlers, and how their errors are treated.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from callbridge.core.arguments import class_hint
from callbridge.core.calls import Payload
from callbridge.core.methods import METHODS
from callbridge.core.stand_in import StandIn
from callbridge.errors import ChannelOverflow, HandlerTypeError, WrappedNameError
from callbridge.observe.callers import StreamingHandler
from callbridge.observe.handler import Callback, EventStreamHandler
from callbridge.observe.reading import described

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from callbridge.observe.options import HandlerOptions

__all__ = ["WrappedHandler", "wrap_handler"]

H = TypeVar("H", bound=BaseCallbackHandler)

_OF_THE_STREAM: Final = frozenset(
    name for name in vars(EventStreamHandler).keys() - METHODS.keys() - vars(BaseCallbackHandler).keys() if name[0] != "_"
) - {"ignore_llm", "ignore_chain", "raise_error", "run_inline"}
"""Public names of the event stream: those that are not callbacks or settings of a handler."""


def wrap_handler(handler: H, *, roots: int | None = 1, **options: Unpack[HandlerOptions]) -> WrappedHandler[H]:
    """Make any callback handler an iterator of the events of its runs.

    Pass the result wherever you passed the handler. The handler's own methods run exactly as if it were attached alone: in the
    same thread, loop and context, in the same place among other handlers, with the same rules for errors. `isinstance` takes
    the result for an instance of the handler's class. Attributes are read from the old handler and set on it.

    The names of the event stream (`text`, `result`, `finish`, `close` and the like) belong to `EventStreamHandler` and cannot
    be set. If the old handler has attributes or methods with these names, reach them through `wrapped`: `handler.wrapped.text`.

    Leaving `with` or `async with` closes the stream. If the old handler is such a context manager itself, it is entered with
    the stream and exited after it. The value that its `__enter__` returns is not passed on.

    Args:
        handler: The handler.
        roots: The iteration ends after this many root runs. With `None` it ends only after `finish()`.
        **options: See `HandlerOptions`. `streaming` defaults to False.

    Raises:
        HandlerTypeError: It is not a callback handler.
        OptionError: A keyword is not one of the options.
        ArgumentError: An option has a value that is not allowed.

    Example:
        ```python
        handler = callbridge.wrap_handler(PrintTokens(), streaming=True)
        task = asyncio.create_task(chain.ainvoke({"drink": "tea"}, config={"callbacks": [handler]}))
        async with handler:
            async for event in handler:
                ...
        await task  # `PrintTokens.on_llm_new_token` was called as ever
        #> With hot water.
        ```
    """
    _check_handler(handler)
    return WrappedHandler(handler, roots=roots, **options)


def _check_handler(handler: object) -> None:
    if not isinstance(handler, BaseCallbackHandler):
        raise HandlerTypeError("handler", handler, f"an instance of a BaseCallbackHandler{class_hint(handler)}")


class WrappedHandler(EventStreamHandler, StandIn, Generic[H]):
    """An old handler and the events of its runs; made by `wrap_handler`."""

    # Always call the old handler's own method.
    on_llm_new_token: Any = Callback("on_llm_new_token")
    on_stream_event: Any = Callback("on_stream_event")

    def __new__(cls, handler: BaseCallbackHandler, *, streaming: bool = False, **_: Any) -> Self:
        """Make an instance. It may tap if the old handler does."""
        return super().__new__(cls, streaming=streaming or isinstance(handler, StreamingHandler))

    def __init__(self, handler: H, **options: Any) -> None:
        self.wrapped: H = handler
        """The old handler."""
        super().__init__(**options)
        self._is_made = True

    # -- calls --------------------------------------------------------------------------------------------------------

    def _report_sync(self, method: str, /, *args: Payload, **kwargs: Payload) -> Any:
        result: Any = None
        try:
            result = self._own(method)(*args, **kwargs)
        finally:
            try:
                super()._report_sync(method, *args, **kwargs)
            except ChannelOverflow:
                if inspect.iscoroutine(result):
                    result.close()  # the run fails here, so nobody will await it
                raise
        # If the old handler is async, this is a coroutine. LangChain runs it after calling all sync handlers.
        return result

    async def _report_async(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        try:
            await self._run_own(method, args, kwargs)
        except BaseException:
            # If the callback is failing, it does not wait for room.
            self._sender.report(method, args, kwargs)
            raise
        await super()._report_async(method, *args, **kwargs)

    async def _report_async_any(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        """Report a callback that LangChain does not await."""
        try:
            await self._run_own(method, args, kwargs)
        finally:
            room = super()._report_any(method, *args, **kwargs)
        await room

    def _reporter(self, method: str) -> Callable[..., Any]:
        is_async = inspect.iscoroutinefunction(getattr(self.wrapped, method))
        return partial(self._report_async_any if is_async else self._report_sync, method)

    def _own(self, method: str) -> Callable[..., Any]:
        """Return the old handler's method, or one that does nothing if it ignores the call."""
        ignored_by = METHODS[method].ignored_by
        if ignored_by is not None and getattr(self.wrapped, ignored_by):
            return _ignore
        own: Callable[..., Any] = getattr(self.wrapped, method)
        return own

    async def _run_own(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload]) -> None:
        """Run the old handler's method as an async run does (source: `_ahandle_event_for_handler`)."""
        own = self._own(method)
        if inspect.iscoroutinefunction(own):
            await own(*args, **kwargs)
        elif own is _ignore or self.wrapped.run_inline:
            own(*args, **kwargs)
        else:
            call = partial(copy_context().run, own, *args, **kwargs)
            await asyncio.get_running_loop().run_in_executor(None, call)

    # -- standing for the old handler ---------------------------------------------------------------------------------

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The old handler's class, because LangChain, LangGraph and tracers check handlers with `isinstance`."""
        return self.wrapped.__class__

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """The value of the old handler."""
        return self.wrapped.run_inline

    @property
    def raise_error(self) -> bool:  # type: ignore[override]
        """The value of the old handler, except for an overflow that you asked for."""
        return self.wrapped.raise_error or isinstance(sys.exc_info()[1], ChannelOverflow)

    def __getattr__(self, name: str) -> Any:
        # Called only for names that neither this object nor its class has.
        if name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_is_made" not in self.__dict__ or name in self.__dict__:
            super().__setattr__(name, value)
        elif name in _OF_THE_STREAM:
            # This would set the old handler's attribute, but reading would return ours.
            raise WrappedNameError(name)
        else:
            setattr(self.wrapped, name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self.wrapped).__name__} {described(self._reader.state, self.statistics())}>"

    # `with` looks these up in the class, not through `__getattr__`.

    def __enter__(self) -> Self:
        enter = getattr(type(self.wrapped), "__enter__", None)
        if enter is not None:
            enter(self.wrapped)
        return self

    def __exit__(self, *raised: object) -> Any:
        self.close()
        leave = getattr(type(self.wrapped), "__exit__", None)
        return None if leave is None else leave(self.wrapped, *raised)

    async def __aenter__(self) -> Self:
        enter = getattr(type(self.wrapped), "__aenter__", None)
        if enter is not None:
            await enter(self.wrapped)
        return self

    async def __aexit__(self, *raised: object) -> Any:
        self.close()
        leave = getattr(type(self.wrapped), "__aexit__", None)
        return None if leave is None else await leave(self.wrapped, *raised)

    def copy_with_metadata_defaults(self, **defaults: Any) -> WrappedHandler[H]:
        """Copy a tracer as LangChain does for a run with metadata. The copy reports to the same reader."""
        copied: WrappedHandler[H] = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, wrapped=self.wrapped.copy_with_metadata_defaults(**defaults))  # type: ignore[attr-defined]
        return copied

    def _before_tap(self, tap: str, run_id: UUID, output: Any) -> Any:
        return getattr(self.wrapped, tap)(run_id, output) if self._stands_for_another else output

    @property
    def _stands_for_another(self) -> bool:
        return isinstance(self.wrapped, StreamingHandler)


def _ignore(*_: Payload, **__: Payload) -> None:
    """Stand in for a method that the old handler ignores."""
