"""`with_tokens`: an old handler that hears its tokens under version 3, too.

LangChain takes the result for the old handler: its callbacks are the old handler's own methods, and sync if those are sync. So
LangChain decides as ever in which thread, loop and context they run. Four callbacks are intercepted:

| callback | what is done |
|---|---|
| `on_llm_new_token` | passed on, unless the run's tokens come from the protocol already |
| `on_stream_event` | passed on; if the model has reported no token by itself, made into `on_llm_new_token` first |
| `on_llm_end`, `on_llm_error` | passed on; the run is forgotten |
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from callbridge.core.arguments import check_flag, class_hint
from callbridge.core.calls import Payload
from callbridge.core.chunks import chat_chunk
from callbridge.core.methods import METHODS
from callbridge.core.protocol.to_chunks import MessageToChunks
from callbridge.core.protocol.whole import plain_message
from callbridge.core.text import text_of
from callbridge.errors import HandlerTypeError

__all__ = ["TokenHandler", "with_tokens"]

H = TypeVar("H", bound=BaseCallbackHandler)

_REMEMBERED: Final = 1024
"""How many runs whose end may still come are remembered. LangChain never reports the end of a sync v3 stream that its reader
leaves with `break`. If there are more, the oldest are forgotten."""


def with_tokens(handler: H, *, list_tokens: bool = False, text_end: bool = False) -> TokenHandler[H]:
    """Give a handler its `on_llm_new_token` in runs that are driven by version 3; elsewhere nothing changes.

    Pass the result wherever you passed the handler: `config={"callbacks": [with_tokens(handler)]}`. If a model reports its
    tokens itself, the handler gets them as before. Otherwise the tokens are made from the events of `on_stream_event`. Each
    token comes once. `isinstance` takes the result for an instance of the handler's class. Attributes are read from the old
    handler and set on it.

    Args:
        handler: The handler.
        list_tokens: If true, the handler gets a token that is a list of content blocks as it is. If false, it gets the text
            in it, and the blocks are in `chunk`.
        text_end: Whether runs that are driven by version 3 end as `stream` ends them: a message that is nothing but text and
            tool calls has its text as a string in `on_llm_end`, and `on_llm_error` has the text so far in its `response`.

    Returns:
        A handler to attach. Its `wrapped` is the old one.

    Raises:
        HandlerTypeError: It is not a callback handler.
        ArgumentError: An option is neither True nor False.

    Example:
        ```python
        config = {"callbacks": [callbridge.with_tokens(PrintTokens())]}
        answer = model.stream_events("How do I make tea?", config, version="v3").output
        #> With hot water.
        ```
    """
    if not isinstance(handler, BaseCallbackHandler):
        raise HandlerTypeError("handler", handler, f"an instance of a BaseCallbackHandler{class_hint(handler)}")
    check_flag("list_tokens", list_tokens)
    check_flag("text_end", text_end)
    return TokenHandler(handler, list_tokens, text_end)


class _OfWrapped:
    """An attribute or a method of the old handler."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.__doc__ = f"As the old handler's `{name}`."

    def __get__(self, handler: TokenHandler[Any] | None, owner: type[TokenHandler[Any]]) -> Any:
        return self if handler is None else getattr(handler.wrapped, self._name)


class _Looked:
    """An intercepted callback. It is sync or async, as that of the old handler."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.__doc__ = f"As the old handler's `{method}`; see the head of this module."

    def __get__(self, handler: TokenHandler[Any] | None, owner: type[TokenHandler[Any]]) -> Any:
        return self if handler is None else handler._looked(self._method)


class _Heard:
    """The state of a model's run."""

    __slots__ = ("message", "source")

    def __init__(self) -> None:
        self.source = ""  # what reports its tokens: `tokens` or `protocol`
        self.message: MessageToChunks | None = None  # for a run that is driven by version 3


_Call = tuple[str, tuple[Payload, ...], dict[str, Payload]]


class TokenHandler(BaseCallbackHandler, Generic[H]):
    """An old handler that hears tokens under version 3, too; made by `with_tokens`."""

    wrapped: H
    """The old handler."""

    def __init__(self, handler: H, list_tokens: bool, text_end: bool) -> None:
        keep = partial(object.__setattr__, self)
        keep("wrapped", handler)
        keep("_list_tokens", list_tokens)
        keep("_text_end", text_end)
        keep("_runs", OrderedDict())

    # -- callbacks ----------------------------------------------------------------------------------------------------

    def _looked(self, method: str) -> Callable[..., Any]:
        own = getattr(self.wrapped, method, None)
        is_async = inspect.iscoroutinefunction(own)
        if method == "on_stream_event":
            is_async = is_async or inspect.iscoroutinefunction(self.wrapped.on_llm_new_token)
        return partial(self._pass_async if is_async else self._pass, method)

    def _pass(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        *tokens, call = self._calls(method, args, kwargs)
        try:
            for token in tokens:
                self._own(token[0])(*token[1], **token[2])
        finally:
            self._own(call[0])(*call[1], **call[2])

    async def _pass_async(self, method: str, /, *args: Payload, **kwargs: Payload) -> None:
        *tokens, call = self._calls(method, args, kwargs)
        try:
            for token in tokens:
                await _seen_through(self._own(token[0])(*token[1], **token[2]))
        finally:
            await _seen_through(self._own(call[0])(*call[1], **call[2]))

    def _own(self, method: str) -> Callable[..., Any]:
        own: Callable[..., Any] = _ignore if method == "" else getattr(self.wrapped, method, _ignore)
        return own

    def _calls(self, method: str, args: tuple[Payload, ...], kwargs: dict[str, Payload]) -> list[_Call]:
        """Return the calls to make for one of LangChain's: first those for tokens, and last the call itself."""
        run_id: UUID = kwargs["run_id"]
        if method == "on_llm_new_token":
            heard = self._heard(run_id)
            heard.source = heard.source or "tokens"
            return [("", (), {})] if heard.source == "protocol" else [(method, args, kwargs)]
        if method == "on_stream_event":
            return [*self._tokens(args[0], self._heard(run_id), kwargs), (method, args, kwargs)]
        heard = self._runs.pop(run_id, None)
        if self._text_end and heard is not None and heard.message is not None:
            if method == "on_llm_end":
                args = (_plain_result(args[0]), *args[1:])
            elif heard.message.text:
                kwargs = {**kwargs, "response": _partial_result(heard.message)}
        return [(method, args, kwargs)]

    def _heard(self, run_id: UUID) -> _Heard:
        heard: _Heard | None = self._runs.get(run_id)
        if heard is None:
            heard = self._runs[run_id] = _Heard()
            if len(self._runs) > _REMEMBERED:
                self._runs.popitem(last=False)
        return heard

    def _tokens(self, event: Payload, heard: _Heard, kwargs: dict[str, Payload]) -> list[_Call]:
        """Make the tokens in a message event, if nothing else reports the run's tokens."""
        if heard.message is None:
            heard.message = MessageToChunks()
        is_content = heard.message.is_content(event) or event.get("event") == "message-finish"
        if is_content:
            heard.source = heard.source or "protocol"
        if heard.source != "protocol" or self.wrapped.ignore_llm:
            heard.message.hear(event)
            return []
        chunks = heard.message.feed(event)
        ids = {key: value for key, value in kwargs.items() if key in ("run_id", "parent_run_id", "tags")}
        return [("on_llm_new_token", (self._token(chunk),), {"chunk": chat_chunk(chunk), **ids}) for chunk in chunks]

    def _token(self, message: AIMessageChunk) -> Payload:
        return message.content if self._list_tokens else text_of(message.content)

    # -- standing for the old handler ---------------------------------------------------------------------------------

    on_llm_new_token: Any = _Looked("on_llm_new_token")
    on_stream_event: Any = _Looked("on_stream_event")
    on_llm_end: Any = _Looked("on_llm_end")
    on_llm_error: Any = _Looked("on_llm_error")

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The old handler's class, because LangChain, LangGraph and tracers check handlers with `isinstance`."""
        return self.wrapped.__class__

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.wrapped, name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self.wrapped).__name__}>"

    def copy_with_metadata_defaults(self, **defaults: Any) -> TokenHandler[H]:
        """Copy a tracer as LangChain does for a run with metadata."""
        copied = cast("Any", self.wrapped).copy_with_metadata_defaults(**defaults)
        return TokenHandler(copied, self._list_tokens, self._text_end)


for _name in {name for name in dir(BaseCallbackHandler) if not name.startswith("_")} | METHODS.keys():
    if _name not in vars(TokenHandler):
        setattr(TokenHandler, _name, _OfWrapped(_name))


def _ignore(*_: Payload, **__: Payload) -> None:
    """Stand in for a callback that is left out."""


async def _seen_through(result: Payload) -> None:
    if inspect.isawaitable(result):
        await result


def _plain_result(response: Payload) -> Payload:
    """Return a copy of a result. Messages that are only text have it as a string there."""
    generations = [[_plain_generation(one) for one in group] for group in response.generations]
    return response.model_copy(update={"generations": generations})


def _plain_generation(generation: Payload) -> Payload:
    message = getattr(generation, "message", None)
    plain = plain_message(message)
    return generation if plain is message else ChatGeneration(message=plain, generation_info=generation.generation_info)


def _partial_result(message: MessageToChunks) -> LLMResult:
    return LLMResult(generations=[[ChatGenerationChunk(message=AIMessageChunk(content=message.text, id=message.id))]])
