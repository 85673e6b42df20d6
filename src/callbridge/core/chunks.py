"""`chat_chunk`: the `ChatGenerationChunk` around a chat model's token.

A callback about a token has one, an event has not, so it is made for every token that is dispatched. pydantic takes longer to
validate its parts than all the rest of the dispatch takes, and there is nothing to find: the message has been validated when
it was made. So the chunk is put together as unpickling does it, of the parts that validation would have come to.

What LangChain makes of a list of blocks, or of a message class of somebody's own, is left to LangChain, and so is everything
if pydantic lays out its models in another way than today.

Source: `ChatGeneration.set_text` (`langchain_core/outputs/chat_generation.py`, 0.3.0 to 1.8.3), `BaseModel.__setstate__`
(`pydantic/main.py`, 2.5 to 2.14).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

__all__ = ["chat_chunk"]

_SAMPLE: Final = ChatGenerationChunk(message=AIMessageChunk(content=""))

_FIELDS: Final = MappingProxyType(vars(_SAMPLE))
"""The fields of a chunk, in order; what they have by default is immutable."""

_TEXT: Final[type[str]] = type(_SAMPLE.text)
"""`TextAccessor` since langchain-core 1.0, which can be called as well."""

_LAYOUT_IS_KNOWN: Final = (
    {slot for base in ChatGenerationChunk.__mro__ for slot in vars(base).get("__slots__", ())}
    == {"__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"}
    and _SAMPLE.__pydantic_fields_set__ == {"message", "text"}
    and _SAMPLE.__pydantic_extra__ is None
    and _SAMPLE.__pydantic_private__ is None
)

_set: Final = object.__setattr__  # pydantic's own `__setattr__` is for fields alone


def chat_chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    """Return what `ChatGenerationChunk(message=message)` returns.

    Args:
        message: A valid message. The chunk holds it, not a copy, as LangChain's does.
    """
    content = message.content
    if type(content) is not str or type(message) is not AIMessageChunk or not _LAYOUT_IS_KNOWN:
        return ChatGenerationChunk(message=message)
    fields = _FIELDS.copy()
    fields["text"] = _TEXT(content)
    fields["message"] = message
    chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
    _set(chunk, "__dict__", fields)
    _set(chunk, "__pydantic_fields_set__", {"message", "text"})
    _set(chunk, "__pydantic_extra__", None)
    _set(chunk, "__pydantic_private__", None)
    return chunk
