"""`chat_chunk` makes the `ChatGenerationChunk` around a chat model's token, and `text_message` makes a message for it.

A token's callback has such a chunk and its event does not, so one is made for each token that is dispatched. pydantic would
take longer to validate it than the rest of the dispatch takes, and would find nothing: the message was validated when it was
made. So the chunk is assembled as unpickling does it, from the values that validation would have produced.

LangChain itself still makes the chunk for a list of blocks and for custom message classes. If a future pydantic lays out its
models differently, LangChain makes all of them.

Source: `ChatGeneration.set_text` (`langchain_core/outputs/chat_generation.py`, 0.3.0 to 1.8.3), `BaseModel.__setstate__`
(`pydantic/main.py`, 2.5 to 2.14).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

__all__ = ["chat_chunk", "text_message"]

_SAMPLE: Final = ChatGenerationChunk(message=AIMessageChunk(content=""))

_FIELDS: Final = MappingProxyType(vars(_SAMPLE))
"""The fields of a chunk, in order. Their default values are immutable."""

_TEXT: Final[type[str]] = type(_SAMPLE.text)
"""`str`; since langchain-core 1.0 `TextAccessor`, a string that you can also call."""

_LAYOUT_IS_KNOWN: Final = (
    {slot for base in ChatGenerationChunk.__mro__ for slot in vars(base).get("__slots__", ())}
    == {"__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"}
    and _SAMPLE.__pydantic_fields_set__ == {"message", "text"}
    and _SAMPLE.__pydantic_extra__ is None
    and _SAMPLE.__pydantic_private__ is None
    and ChatGenerationChunk.__new__ is object.__new__
    and vars(_TEXT).get("__slots__", ()) == ()
)


def _setter(slot: str) -> Any:
    """Return the setter of a slot, because pydantic's own `__setattr__` accepts only fields."""
    return next(
        (getattr(vars(base)[slot], "__set__", None) for base in ChatGenerationChunk.__mro__ if slot in vars(base)), None
    )


_set_fields: Final = _setter("__dict__")
_set_fields_set: Final = _setter("__pydantic_fields_set__")
_set_extra: Final = _setter("__pydantic_extra__")
_set_private: Final = _setter("__pydantic_private__")

# Looking these up on the classes takes as long as calling them.
_new: Final[Callable[[type[ChatGenerationChunk]], ChatGenerationChunk]] = object.__new__
_text: Final[Callable[[type[str], str], str]] = str.__new__


def chat_chunk(message: AIMessageChunk, info: dict[str, Any] | None = None) -> ChatGenerationChunk:
    """Return what `ChatGenerationChunk(message=message, generation_info=info)` returns.

    Args:
        message: A valid message. The chunk holds the message itself, not a copy, as in LangChain.
        info: Its `generation_info`.
    """
    content = message.content
    if info is not None:
        return ChatGenerationChunk(message=message, generation_info=info)
    if type(content) is not str or type(message) is not AIMessageChunk or not _LAYOUT_IS_KNOWN:
        return ChatGenerationChunk(message=message)
    fields = _FIELDS.copy()
    fields["text"] = _text(_TEXT, content)
    fields["message"] = message
    chunk = _new(ChatGenerationChunk)
    _set_fields(chunk, fields)
    _set_fields_set(chunk, {"message", "text"})
    _set_extra(chunk, None)
    _set_private(chunk, None)
    return chunk


_PLAIN: Final = MappingProxyType(vars(_SAMPLE.message))
"""The fields of an empty message, in order."""

_LISTS: Final = tuple(key for key, value in _PLAIN.items() if value == [])
_DICTS: Final = tuple(key for key, value in _PLAIN.items() if value == {})

_TEXT_FIELDS_SET: Final = frozenset(AIMessageChunk(content="", id="0").__pydantic_fields_set__)

_MESSAGE_LAYOUT_IS_KNOWN: Final = (
    _LAYOUT_IS_KNOWN
    and _SAMPLE.message.__pydantic_extra__ in (None, {})
    and _SAMPLE.message.__pydantic_private__ is None
    and all(value in (None, "", [], {}, False) or key == "type" for key, value in _PLAIN.items())
)


def text_message(text: str, message_id: str | None) -> AIMessageChunk:
    """Return what `AIMessageChunk(content=text, id=message_id)` returns.

    Args:
        text: A string.
        message_id: The message's id.
    """
    if type(text) is not str or not _MESSAGE_LAYOUT_IS_KNOWN:
        return AIMessageChunk(content=text, id=message_id)
    fields = _PLAIN.copy()
    for key in _LISTS:
        fields[key] = []
    for key in _DICTS:
        fields[key] = {}
    fields["content"] = text
    fields["id"] = message_id
    message = AIMessageChunk.__new__(AIMessageChunk)
    _set_fields(message, fields)
    _set_fields_set(message, set(_TEXT_FIELDS_SET))
    _set_extra(message, None if _SAMPLE.message.__pydantic_extra__ is None else {})
    _set_private(message, None)
    return message
