"""Successors of the six LangChain handlers of Lanarky 0.8.8: same names, same arguments, same bytes to the client.

```python
from callbridge.web.lanarky import TokenStreamingCallbackHandler          # was: from lanarky.adapters.langchain.callbacks

handler = TokenStreamingCallbackHandler(output_key="result", send=send)    # as a handler, attached to a run
EventStreamResponse(stream, TokenStreamingCallbackHandler(output_key="result"), end_event=False)       # as a wire format
```

As a format, a handler is a description: each run works on its own copy, so one object may serve all requests. A format never
raises: where a handler would raise, it makes no frame.

There are three differences from the originals, none of which shows in a run that goes well: they report a lost client once and
not for each token; an empty list of source documents is not an error; and they skip outputs that are not a dict (those of
LCEL's prompts and parsers).

Source: `lanarky/adapters/langchain/callbacks.py`, 0.8.8 (sse-starlette 1.8.2, langchain 0.2.17).
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.documents import Document
from langchain_core.globals import get_llm_cache
from pydantic import BaseModel
from starlette.types import Message
from starlette.websockets import WebSocket
from typing_extensions import Self

from callbridge.core.decode import EventsToCalls
from callbridge.core.window import AnswerWindow
from callbridge.errors import EventSequenceError
from callbridge.web.formats import documents_text
from callbridge.web.wire import BaseEncoder, Frame, FrameEncoder, sse_bytes

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = [
    "FinalTokenStreamingCallbackHandler",
    "FinalTokenWebSocketCallbackHandler",
    "LanarkyCallbackHandler",
    "SourceDocumentsStreamingCallbackHandler",
    "SourceDocumentsWebSocketCallbackHandler",
    "StreamingCallbackHandler",
    "TokenStreamMode",
    "TokenStreamingCallbackHandler",
    "TokenWebSocketCallbackHandler",
    "WebSocketCallbackHandler",
]

_CALLBACKS = ("on_chain_start", "on_llm_start", "on_chat_model_start", "on_llm_new_token", "on_chain_end")


class TokenStreamMode(str, Enum):
    """How to send tokens; plain strings work as well."""

    TEXT = "text"
    JSON = "json"


class TokenEventData(BaseModel):
    """A token in JSON mode."""

    token: str = ""


# -- what to send, and when -------------------------------------------------------------------------------------------


class LanarkyCallbackHandler(AsyncCallbackHandler):
    """Base of the six handlers. Their methods return the frames to send, for handlers and formats alike."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llm_cache_used = get_llm_cache() is not None
        self.streaming: bool | None = None
        self._client_gone = False

    @property
    def always_verbose(self) -> bool:
        """The same as in Lanarky."""
        return True

    # As a handler.

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        """Note that no token has come yet."""
        self._chain_started()

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing. Without this method, LangChain would call `on_llm_start`."""

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Note that a string model was called."""
        self._model_started()

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Send a token."""
        await self._deliver(self._token_came(token))

    async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        """Send the output of a chain if the handler needs it."""
        await self._deliver(self._chain_ended(outputs))

    async def _deliver(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if self._client_gone:
                return
            try:
                await self._send_frame(frame)
            except OSError:
                self._client_gone = True
                raise

    async def _send_frame(self, frame: Frame) -> None:
        raise NotImplementedError

    # As a format.

    def begin(self) -> FrameEncoder:
        """Return the encoder of one run, which works on a copy of this handler."""
        return _HandlerEncoder(self._renewed())

    def _renewed(self) -> Self:
        made = copy.copy(self)
        made.llm_cache_used = get_llm_cache() is not None
        made.streaming = None
        return made

    # The frames of each callback.

    def _chain_started(self) -> None:
        pass

    def _model_started(self) -> None:
        pass

    def _token_came(self, token: Any) -> Iterable[Frame]:
        return ()

    def _chain_ended(self, outputs: Any) -> Iterable[Frame]:
        return ()


class _HandlerEncoder(BaseEncoder):
    """Makes frames from events: it calls a handler with the callbacks that the events stand for."""

    def __init__(self, handler: LanarkyCallbackHandler) -> None:
        self._handler = handler
        self._calls = EventsToCalls(methods=_CALLBACKS)

    def feed(self, event: Event) -> Iterable[Frame]:
        frames: list[Frame] = []
        try:
            for call in self._calls.feed(event):
                frames.extend(Frame(str(frame.data), frame.event) for frame in self._heard(call.method, *call.args))
        except (EventSequenceError, KeyError, TypeError, ValueError):
            pass  # an error that a handler would have logged, or an event whose run a filter has hidden
        return frames

    def _heard(self, method: str, *args: Any) -> Iterable[Frame]:
        handler = self._handler
        if method == "on_chain_start":
            handler._chain_started()
        elif method == "on_llm_start":
            handler._model_started()
        elif method == "on_llm_new_token":
            return handler._token_came(args[0])
        elif method == "on_chain_end":
            return handler._chain_ended(args[0])
        return ()


class _Tokens(LanarkyCallbackHandler):
    """Every token; if there is none, the output of the chain."""

    output_key: Any
    mode: Any

    def _chain_started(self) -> None:
        self.streaming = False

    def _token_came(self, token: Any) -> Iterable[Frame]:
        self.streaming = True
        self.llm_cache_used = False  # or we would not be here
        return [self._token(token)]

    def _chain_ended(self, outputs: Any) -> Iterable[Frame]:
        if not self.llm_cache_used and self.streaming:
            return ()
        if not isinstance(outputs, Mapping):
            if outputs is None:
                raise TypeError("argument of type 'NoneType' is not iterable")
            return ()
        if self.output_key not in outputs:
            raise KeyError(f"missing outputs key: {self.output_key}")
        return [self._token(outputs[self.output_key])]

    def _token(self, token: Any) -> Frame:
        # In text mode, an output that is not text goes over a WebSocket as JSON.
        return Frame(
            token if self.mode == TokenStreamMode.TEXT else TokenEventData(token=token).model_dump_json(), "completion"
        )


class _FinalTokens(AnswerWindow, _Tokens):
    """The tokens after the prefix. The model must give the prefix in exactly these tokens."""

    def __init__(
        self,
        *,
        answer_prefix_tokens: list[str] | None = None,
        strip_tokens: bool = True,
        stream_prefix: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(output_key=None, **kwargs)
        self.set_prefix(answer_prefix_tokens, strip_tokens, stream_prefix)

    def _renewed(self) -> Self:
        made = super()._renewed()
        made.forget_tokens()
        return made

    def _model_started(self) -> None:
        self.answer_reached = False
        self.streaming = False

    def _token_came(self, token: Any) -> Iterable[Frame]:
        self.streaming = True
        self.append_to_last_tokens(token)
        frames: list[Frame] = []
        if self.check_if_answer_reached():
            self.answer_reached = True
            if self.stream_prefix:
                frames.append(self._token("".join(self.last_tokens)))
        if self.answer_reached:
            frames.append(self._token(token))  # the last token of the prefix as well: clients have always got it
        return frames


class _SourceDocuments(LanarkyCallbackHandler):
    """The documents in the output of a chain."""

    def _chain_ended(self, outputs: Any) -> Iterable[Frame]:
        if isinstance(outputs, Mapping) and "source_documents" in outputs:
            documents = outputs["source_documents"]
            if not isinstance(documents, list):
                raise ValueError("source_documents must be a list")
            if not all(isinstance(document, Document) for document in documents):
                raise ValueError("source_documents must be a list of Document")
            if documents:
                return [Frame(documents_text(documents), "source_documents")]
        return ()


# -- where to send it -------------------------------------------------------------------------------------------------


class StreamingCallbackHandler(LanarkyCallbackHandler):
    """Sends server-sent events.

    Args:
        send: The ASGI `send` of a response whose headers are sent. You may set it later.
    """

    def __init__(self, *, send: Callable[[Message], Awaitable[None]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._send = send

    @property
    def send(self) -> Any:
        """The ASGI `send`."""
        return self._send

    @send.setter
    def send(self, value: Any) -> None:
        if not callable(value):
            raise ValueError("value must be a Callable")
        self._send = value
        self._client_gone = False

    def _construct_message(self, data: str, event: str | None = None) -> Message:
        return {"type": "http.response.body", "body": sse_bytes(Frame(str(data), event)), "more_body": True}

    async def _send_frame(self, frame: Frame) -> None:
        await self.send(self._construct_message(frame.data, frame.event))


class WebSocketCallbackHandler(LanarkyCallbackHandler):
    """Sends WebSocket messages.

    Args:
        mode: `"json"` or `"text"`.
        websocket: An accepted Starlette socket. You may set it later.
    """

    def __init__(self, *, mode: str = TokenStreamMode.JSON, websocket: WebSocket | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = _checked(mode)
        self._websocket = websocket

    @property
    def websocket(self) -> Any:
        """The socket."""
        return self._websocket

    @websocket.setter
    def websocket(self, value: Any) -> None:
        if not isinstance(value, WebSocket):
            raise ValueError("value must be a WebSocket")
        self._websocket = value
        self._client_gone = False

    def _construct_message(self, data: str, event: str | None = None) -> dict[str, Any]:
        return {"data": data, "event": event}

    async def _send_frame(self, frame: Frame) -> None:
        await self.websocket.send_json(self._construct_message(frame.data, frame.event))


def _checked(mode: Any) -> Any:
    if mode not in list(TokenStreamMode):
        raise ValueError(f"Invalid stream mode: {mode}")
    return mode


# -- the six ----------------------------------------------------------------------------------------------------------


class TokenStreamingCallbackHandler(_Tokens, StreamingCallbackHandler):
    """Sends every token as a server-sent event; if there was none, the output of the chain.

    Args:
        output_key: The key of that output.
        mode: `"json"` or `"text"`.
        **kwargs: `send`.
    """

    def __init__(self, *, output_key: str | None, mode: str = TokenStreamMode.JSON, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_key = output_key
        self.mode = _checked(mode)


class TokenWebSocketCallbackHandler(_Tokens, WebSocketCallbackHandler):
    """Sends every token as a WebSocket message; if there was none, the output of the chain.

    Args:
        output_key: The key of that output.
        **kwargs: `mode` and `websocket`.
    """

    def __init__(self, *, output_key: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_key = output_key


class SourceDocumentsStreamingCallbackHandler(_SourceDocuments, StreamingCallbackHandler):
    """Sends the source documents of a chain as a server-sent event.

    Args:
        **kwargs: `send`.
    """


class SourceDocumentsWebSocketCallbackHandler(_SourceDocuments, WebSocketCallbackHandler):
    """Sends the source documents of a chain as a WebSocket message.

    Args:
        **kwargs: `mode`, which changes nothing, and `websocket`.
    """


class FinalTokenStreamingCallbackHandler(_FinalTokens, TokenStreamingCallbackHandler):
    """Sends the tokens of an agent's final answer as server-sent events, from the last token of the prefix on.

    Args:
        answer_prefix_tokens: The tokens before the answer; None: `["Final", "Answer", ":"]`.
        strip_tokens: Whether to ignore white space around tokens.
        stream_prefix: Whether to send the prefix, too.
        **kwargs: `mode` and `send`.
    """


class FinalTokenWebSocketCallbackHandler(_FinalTokens, TokenWebSocketCallbackHandler):
    """Sends the tokens of an agent's final answer as WebSocket messages, from the last token of the prefix on.

    Args:
        answer_prefix_tokens: The tokens before the answer; None: `["Final", "Answer", ":"]`.
        strip_tokens: Whether to ignore white space around tokens.
        stream_prefix: Whether to send the prefix, too.
        **kwargs: `mode` and `websocket`.
    """
