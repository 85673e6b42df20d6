"""`ReceivingHandler`: one handler as the dispatcher sees it: its methods, and how to call each of them.

The rules are those of LangChain's managers, with three differences. A handler notices them only because it is quicker, or works
at all. First, a method that is inherited from LangChain's base classes and does nothing is not called (D6 in
`docs/divergences.md`). Second, `token` is passed by position, or by keyword if the position does not work; LangChain passes it
by keyword in sync runs and by position in async ones. Third, a method without `**kwargs` gets only the keyword arguments that
it names (D5).

Source: `handle_event`, `_ahandle_event_for_handler` (`langchain_core/callbacks/manager.py`, 0.3.0 to 1.8.1).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import BaseMessage, get_buffer_string

from callbridge.core.arguments import class_hint
from callbridge.core.calls import CallParts, Payload
from callbridge.core.methods import METHODS
from callbridge.errors import HandlerTypeError

__all__ = ["Handlers", "ReceivingHandler", "as_llm_start", "handler_list"]

Handlers: TypeAlias = "BaseCallbackHandler | BaseCallbackManager | Iterable[BaseCallbackHandler]"
"""The types accepted as handlers: one handler, several, or a manager with its handlers."""

_BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)

_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

# By identity, because a callable object need not be hashable.
_INHERITED: Final = frozenset(
    id(getattr(base, name)) for base in (BaseCallbackHandler, AsyncCallbackHandler) for name in METHODS if hasattr(base, name)
)


def handler_list(handlers: object) -> list[BaseCallbackHandler]:
    """Return the handlers, each once, in order.

    Args:
        handlers: `Handlers`, to be checked.

    Raises:
        HandlerTypeError: One of them is not a handler, or the value is not a sequence of handlers.
    """
    if isinstance(handlers, BaseCallbackHandler):
        return [handlers]
    if isinstance(handlers, BaseCallbackManager):
        handlers = handlers.handlers
    if isinstance(handlers, (str, bytes, Mapping)) or not isinstance(handlers, Iterable):
        raise HandlerTypeError("handlers", handlers, "a BaseCallbackHandler, a sequence of them, or a callback manager")
    found: list[BaseCallbackHandler] = []
    for handler in handlers:
        if not isinstance(handler, BaseCallbackHandler):
            raise HandlerTypeError("handlers", handler, f"instances of BaseCallbackHandler{class_hint(handler)}")
        if not any(handler is known for known in found):
            found.append(handler)
    return found


@dataclass(frozen=True, slots=True)
class _Fitting:
    """How to change arguments so that they fit a method."""

    gets_fillers: bool
    """Whether some arguments are made for the call, so that the handler may write to them."""

    token_by_keyword: bool
    """Whether the method is `on_llm_new_token` and takes nothing by position."""

    keywords: frozenset[str] | None
    """The keyword arguments that it takes; `None` if it takes any."""

    def fitted(self, parts: CallParts) -> tuple[tuple[Payload, ...], dict[str, Payload]]:
        """Return the arguments for the method."""
        _, args, kwargs, _ = parts
        if self.gets_fillers:
            args, kwargs = _own_arguments(parts)
        if self.token_by_keyword:
            kwargs = {"token": args[0], **kwargs}
            args = ()
        if self.keywords is not None:
            kwargs = {name: value for name, value in kwargs.items() if name in self.keywords}
        return args, kwargs


@dataclass(frozen=True, slots=True)
class _Method:
    """A callback method that a handler overrides."""

    ignored_by: str | None
    """The handler's attribute that switches it off."""

    fitting: _Fitting | None
    """`None` if it takes the arguments as they are, as nearly all methods that are called often."""


class ReceivingHandler:
    """A handler and those of its callback methods that do something.

    Args:
        handler: The handler. Its overridden methods are found now. The methods themselves are looked up at each call.
    """

    __slots__ = ("_methods", "handler")

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self.handler = handler
        self._methods = {name: _method(handler, name) for name in METHODS if _is_overridden(handler, name)}

    @property
    def methods(self) -> frozenset[str]:
        """The callback methods that the handler overrides."""
        return frozenset(self._methods)

    def has(self, method: str) -> bool:
        """Return whether the handler overrides this method."""
        return method in self._methods

    def receives(self, method: str) -> bool:
        """Return whether a call of this method does anything, also if LangChain would call `on_llm_start` instead."""
        return method in self._methods or (method == "on_chat_model_start" and "on_llm_start" in self._methods)

    def call(self, parts: CallParts, run: Callable[..., Any], context: Context) -> Any:
        """Call the handler's method, unless the handler's `ignore_*` flag switches it off.

        Args:
            parts: The method and its arguments. The handler gets copies of what it may write to.
            run: Makes the call, now or later, in the right place. It gets the context, the method and its arguments.
            context: The context for the call.

        Returns:
            What `run` returns; `None` if nothing was called.

        Raises:
            NotImplementedError: The handler does not override the method.
            BaseException: Whatever `run` raises.
        """
        name, args, kwargs, _ = parts
        method = self._methods.get(name)
        if method is None:
            return self._call_missing(name)
        if method.ignored_by is not None and getattr(self.handler, method.ignored_by):
            return None
        if method.fitting is not None:
            args, kwargs = method.fitting.fitted(parts)
        return run(context, getattr(self.handler, name), *args, **kwargs)

    def _call_missing(self, name: str) -> None:
        ignored_by = METHODS[name].ignored_by
        if ignored_by is None or not getattr(self.handler, ignored_by):
            raise NotImplementedError(name)


def as_llm_start(parts: CallParts) -> CallParts:
    """Return a chat model's start for a handler without `on_chat_model_start`: with prompts as text."""
    _, (serialized, groups), kwargs, scope = parts
    return "on_llm_start", (serialized, [_as_text(group) for group in groups]), kwargs, scope


def _as_text(messages: list[Payload]) -> str:
    if all(isinstance(message, BaseMessage) for message in messages):
        return get_buffer_string(messages)
    return "\n".join(str(message) for message in messages)  # JSON that is not a known message


def _is_overridden(handler: BaseCallbackHandler, name: str) -> bool:
    """Return whether the handler has its own method: from its class, on the instance, or made on demand."""
    try:
        method = getattr(handler, name)
    except AttributeError:  # a callback of a newer LangChain
        return False
    return id(getattr(method, "__func__", method)) not in _INHERITED


def _method(handler: BaseCallbackHandler, name: str) -> _Method:
    ignored_by = METHODS[name].ignored_by
    gets_fillers = METHODS[name].phase == "start"
    token_by_keyword = False
    keywords: frozenset[str] | None = None
    with suppress(TypeError, ValueError):  # the callable has no signature
        parameters = inspect.signature(getattr(handler, name)).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        token_by_keyword = name == "on_llm_new_token" and kinds.isdisjoint(_BY_POSITION)
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            keywords = frozenset(parameter.name for parameter in parameters if parameter.kind in _BY_NAME)
    if gets_fillers or token_by_keyword or keywords is not None:
        return _Method(ignored_by, _Fitting(gets_fillers, token_by_keyword, keywords))
    return _Method(ignored_by, None)


def _own_arguments(parts: CallParts) -> tuple[tuple[Payload, ...], dict[str, Payload]]:
    """Return the arguments, with copies of those made for the call, because handlers pop from them and append to them."""
    name, (serialized, subject), given, _ = parts
    kwargs = dict(given)
    if name == "on_chat_model_start":
        subject = [list(group) for group in subject]
    elif name == "on_llm_start":
        subject = list(subject)
    for filler in ("invocation_params", "options"):
        if filler in kwargs:
            kwargs[filler] = dict(kwargs[filler])
    own = {key: value.copy() if isinstance(value, (dict, list)) else value for key, value in serialized.items()}
    return (own, subject), kwargs
