"""Makes messages, documents, generations and errors from the dicts that JSON turned them into.

Two forms are known for all of them: that of `model_dump` (`{"type": "human", "content": ...}`) and the envelope of LangChain's
`dumpd` (`{"lc": 1, "type": "constructor", "id": [...], "kwargs": {...}}`). For messages there are also that of
`messages_to_dict` (`{"type": "human", "data": {...}}`) and the providers' `{"role": "user", "content": ...}`.

Events may come from an untrusted server. So the data can only choose from the tables below: no name in it is ever imported or
called, as `langchain_core.load.load` would do. Anything that is not in a table stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from langchain_core.agents import AgentAction, AgentActionMessageLog, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from callbridge.core.calls import Payload
from callbridge.errors import RemoteError

__all__ = [
    "AGENT_STEP_CLASSES",
    "MESSAGE_CLASSES",
    "revive_agent_step",
    "revive_document",
    "revive_error",
    "revive_generation",
    "revive_message",
    "revive_tool_output",
]

MESSAGE_CLASSES: Final = (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
"""The only message classes that a name in the data can choose. They hold plain data, and making one has no effects."""

AGENT_STEP_CLASSES: Final = (AgentAction, AgentActionMessageLog, AgentFinish)
"""The same for agents' decisions."""

_MESSAGES: Final[Mapping[str, type[BaseMessage]]] = MappingProxyType(
    {kind.__name__: kind for kind in MESSAGE_CLASSES}
    | {
        "ai": AIMessage,
        "assistant": AIMessage,
        "chat": ChatMessage,
        "function": FunctionMessage,
        "human": HumanMessage,
        "remove": RemoveMessage,
        "system": SystemMessage,
        "tool": ToolMessage,
        "user": HumanMessage,
    }
)
"""Message class by class name, `type` or `role`."""

_AGENT_STEPS: Final[Mapping[str, type[AgentAction | AgentFinish]]] = MappingProxyType(
    {kind.__name__: kind for kind in AGENT_STEP_CLASSES}
)

_TOOL_MESSAGE_KEYS: Final = frozenset({"additional_kwargs", "content", "response_metadata", "tool_call_id", "type"})
"""Keys of every dumped `ToolMessage`, which tell it from a dict that a tool returned."""


def revive_message(value: Payload) -> Payload:
    """Return the message that a dict stands for. Return any other value as it is."""
    if not isinstance(value, dict):
        return value
    kind, fields = _unwrapped(value)
    if kind is None and "role" in fields:
        kind = fields.pop("role")
    data = fields.get("data")
    if isinstance(data, dict) and "content" in data and "content" not in fields:
        fields = dict(data)
        fields.pop("type", None)
    if fields.get("content") is None:
        fields["content"] = ""  # providers send None for a message that only calls tools
    return _made(_MESSAGES.get(kind) if isinstance(kind, str) else None, fields, value)


def revive_tool_output(value: Payload) -> Payload:
    """Return the `ToolMessage` that was dumped as a dict. Return a dict that a tool may have returned as it is."""
    if not isinstance(value, dict):
        return value
    if _is_envelope(value) or (value.get("type") == "tool" and value.keys() >= _TOOL_MESSAGE_KEYS):
        return revive_message(value)
    return value


def revive_document(value: Payload) -> Payload:
    """Return the document that a dict stands for. Return any other value as it is."""
    if not isinstance(value, dict):
        return value
    kind, fields = _unwrapped(value)
    if kind not in (None, "Document") or "page_content" not in fields:
        return value
    return _made(Document, fields, value)


def revive_generation(value: Payload, *, chunk: bool) -> Payload:
    """Return the generation that a dict stands for. Return any other value as it is.

    Args:
        value: A dict with a `text` or a `message`, or something else.
        chunk: Whether to make a chunk, as while a model streams.
    """
    if not isinstance(value, dict):
        return value
    _, fields = _unwrapped(value)
    message = revive_message(fields.get("message"))
    if isinstance(message, BaseMessage):
        kind: type[Generation] = ChatGenerationChunk if chunk else ChatGeneration
        return _made(kind, {"message": message, "generation_info": fields.get("generation_info")}, value)
    if not isinstance(fields.get("text"), str):
        return value
    return _made(GenerationChunk if chunk else Generation, fields, value)


def revive_agent_step(value: Payload) -> Payload:
    """Return the agent's action or finish that a dict stands for. Return any other value as it is."""
    if not isinstance(value, dict):
        return value
    kind, fields = _unwrapped(value)
    if isinstance(fields.get("message_log"), list):
        fields["message_log"] = [revive_message(message) for message in fields["message_log"]]
    return _made(_AGENT_STEPS.get(kind) if isinstance(kind, str) else None, fields, value)


def revive_error(value: Payload) -> BaseException:
    """Return an exception: the value itself if it is one, else a `RemoteError` that holds it."""
    return value if isinstance(value, BaseException) else RemoteError(value)


def _is_envelope(value: dict[str, Any]) -> bool:
    """Return whether a dict has the form of `langchain_core.load.dumpd`."""
    return value.get("lc") == 1 and value.get("type") == "constructor" and isinstance(value.get("kwargs"), dict)


def _unwrapped(value: dict[str, Any]) -> tuple[Payload, dict[str, Any]]:
    """Return the name of the class, and the fields without `type` in a new dict."""
    if _is_envelope(value):
        path = value.get("id")
        kind = path[-1] if isinstance(path, list) and path else ""
        fields = dict(value["kwargs"])
    else:
        kind = value.get("type")
        fields = dict(value)
    fields.pop("type", None)
    return kind, fields


def _made(kind: type[Any] | None, fields: dict[str, Any], value: Payload) -> Payload:
    """Return an object of the class; the value itself if there is no class or the fields do not fit."""
    if kind is None:
        return value
    try:
        return kind(**fields)
    except Exception:  # noqa: BLE001 - validators raise what they like when fields are missing; the value tells it all
        return value
