"""What corresponds to what in v2 events and in the content-block protocol; both directions read these tables.

A *protocol event* is an envelope: `{"type": "event", "seq": 3, "method": "messages", "params": {"namespace": [], "data": …}}`.
What is inside of one of a model, and all that a model's own v3 stream yields, is a *message event*: `message-start`, then for
each content block `content-block-start`, any number of `content-block-delta` and `content-block-finish`, then
`message-finish`. Blocks are told apart by `index`, and may go on side by side.

| message event | carries |
|---|---|
| `message-start` | `id`, `metadata` with provider and model |
| `content-block-start` | the block without its payload |
| `content-block-delta` | a part of the payload, to be appended |
| `content-block-finish` | the block, whole |
| `message-finish` | `usage`, `metadata`, `additional_kwargs` |
| `error` | `message`; of remote runs alone |

Source: `langchain_protocol/protocol.py` (0.0.14 to 0.0.20), `language_models/_compat_bridge.py` and `chat_model_stream.py`
(langchain-core 1.4.0 to 1.8.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "CALL_TYPES",
    "CHANNELS",
    "CHUNK_TYPES",
    "DELTAS",
    "LIFECYCLE_ENDS",
    "MEDIA_TYPES",
    "MESSAGE_EVENTS",
    "PAYLOADS",
    "PROVIDER_FIELDS",
    "RUN_PREFIX",
    "TOOL_EVENTS",
]

RUN_PREFIX: Final = "lc_run--"
"""What LangChain puts before a model run's id to make the id of its message."""

MESSAGE_EVENTS: Final = frozenset(
    {"message-start", "content-block-start", "content-block-delta", "content-block-finish", "message-finish", "error"}
)
"""The names of message events; others are passed over."""

MEDIA_TYPES: Final = frozenset({"image", "audio", "video", "file"})
"""Blocks whose payload is data."""

CHUNK_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"tool_call_chunk": "tool_call", "server_tool_call_chunk": "server_tool_call"}
)
"""Blocks that are parts of a call, to what they are when they are whole."""

CALL_TYPES: Final = frozenset({"tool_call", "invalid_tool_call"})
"""Blocks that a message has as fields of its own as well."""

PAYLOADS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text": "text",
        "reasoning": "reasoning",
        **dict.fromkeys(CHUNK_TYPES, "args"),
        **dict.fromkeys(MEDIA_TYPES, "data"),
    }
)
"""Type of a block to the field of it that comes in parts."""

DELTAS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "text": ("text-delta", "text"),
        "reasoning": ("reasoning-delta", "reasoning"),
        "args": ("tool-call-delta", "args"),
        "data": ("data-delta", "data"),
    }
)
"""That field to the type of the delta, and the name of the part in it."""

PROVIDER_FIELDS: Final = (("provider", "model_provider"), ("model", "model_name"))
"""A field of the metadata in `message-start`, and its name in a message's `response_metadata`."""

TOOL_EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"on_tool_start": "tool-started", "on_tool_end": "tool-finished", "on_tool_error": "tool-error"}
)
"""v2 event to event of the channel `tools`."""

LIFECYCLE_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"failed": "failed", "cancelled": "failed", "interrupted": "interrupted"}
)
"""The `status` of an extended error event to the event of the channel `lifecycle`."""

CHANNELS: Final = frozenset({"messages", "tools", "lifecycle", "values"})
"""The methods of protocol events that v2 events can be made of."""
