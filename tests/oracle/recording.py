"""Handlers that write down what they are called with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.outputs import LLMResult

LoggedCall = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Method name, positional arguments, keyword arguments: split as the caller split them."""

CALLBACK_METHODS: tuple[str, ...] = tuple(sorted(name for name in dir(BaseCallbackHandler) if name.startswith("on_")))
"""Every callback of the installed langchain-core."""


class _Log:
    """The calls in order.

    Payloads are kept as the live objects they are, so that a log and the events of the same run show them in the same
    state: LangGraph gives ids to messages in place, after the callback. With `snapshot=True` a log keeps deep copies
    instead, which shows whoever writes to a payload.
    """

    def __init__(self, *, snapshot: bool = False, **options: Any) -> None:
        super().__init__()
        self.calls: list[LoggedCall] = []
        self._snapshot = snapshot
        for name, value in options.items():
            setattr(self, name, value)

    def _note(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._snapshot:
            args, kwargs = _copied(args), _copied(kwargs)
        elif method == "on_llm_end":
            # A cache that the result goes to puts other messages into its generations when it is hit; events have the first.
            args = (_kept(args[0]), *args[1:])
        self.calls.append((method, args, kwargs))


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock, a generator, an exception with a frame: nothing that anybody writes to
        return value


def _kept(result: LLMResult) -> LLMResult:
    """The result with containers of its own and the same messages in them."""
    rows = [[generation.model_copy() for generation in row] for row in result.generations]
    return result.model_copy(update={"generations": rows})


def _sync_method(name: str) -> Callable[..., None]:
    def method(self: _Log, *args: Any, **kwargs: Any) -> None:
        self._note(name, args, kwargs)

    method.__name__ = name
    return method


def _async_method(name: str) -> Callable[..., Any]:
    async def method(self: _Log, *args: Any, **kwargs: Any) -> None:
        self._note(name, args, kwargs)

    method.__name__ = name
    return method


class Recorder(_Log, BaseCallbackHandler):
    """A sync handler; `Recorder(run_inline=True)`, `Recorder(raise_error=True)` set those attributes."""


class AsyncRecorder(_Log, AsyncCallbackHandler):
    """The same with coroutine methods."""


class TextOnlyRecorder(_Log, BaseCallbackHandler):
    """A sync handler without `on_chat_model_start`: chat models reach it as `on_llm_start`, with the prompt as text."""


for _name in CALLBACK_METHODS:
    setattr(Recorder, _name, _sync_method(_name))
    setattr(AsyncRecorder, _name, _async_method(_name))
    if _name != "on_chat_model_start":
        setattr(TextOnlyRecorder, _name, _sync_method(_name))
