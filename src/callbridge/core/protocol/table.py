"""Tables of what corresponds in v2 events and in the content-block protocol. Both directions use them.

A *protocol event* is an envelope: `{"type": "event", "seq": 3, "method": "messages", "params": {"namespace": [], "data": …}}`.
The envelopes of models contain *message events*, and a model's own v3 stream yields nothing else: `message-start`, then for
each content block `content-block-start`, any number of `content-block-delta` and `content-block-finish`, then `message-finish`.
Blocks have an `index`, and several may be open at the same time.

| message event | carries |
|---|---|
| `message-start` | `id`, `metadata` with provider and model |
| `content-block-start` | the block without its payload |
| `content-block-delta` | a part of the payload, to append |
| `content-block-finish` | the block, whole |
| `message-finish` | `usage`, `metadata`, `additional_kwargs` |
| `error` | `message`; only from remote runs |

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
"""Prefix that makes a model run's id the id of its message, as in LangChain."""

MESSAGE_EVENTS: Final = frozenset(
    {"message-start", "content-block-start", "content-block-delta", "content-block-finish", "message-finish", "error"}
)
"""The names of message events. Others are skipped."""

MEDIA_TYPES: Final = frozenset({"image", "audio", "video", "file"})
"""Types of blocks whose payload is media data."""

CHUNK_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"tool_call_chunk": "tool_call", "server_tool_call_chunk": "server_tool_call"}
)
"""The type of a complete call, by the type of its parts."""

CALL_TYPES: Final = frozenset({"tool_call", "invalid_tool_call"})
"""Types of blocks that a message also has in fields of its own."""

PAYLOADS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "text": "text",
        "reasoning": "reasoning",
        **dict.fromkeys(CHUNK_TYPES, "args"),
        **dict.fromkeys(MEDIA_TYPES, "data"),
    }
)
"""The field of a block that comes in parts, by the block's type."""

DELTAS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "text": ("text-delta", "text"),
        "reasoning": ("reasoning-delta", "reasoning"),
        "args": ("tool-call-delta", "args"),
        "data": ("data-delta", "data"),
    }
)
"""The type of the delta and the name of the part in it, by that field."""

PROVIDER_FIELDS: Final = (("provider", "model_provider"), ("model", "model_name"))
"""Fields of the metadata in `message-start`, and their names in a message's `response_metadata`."""

TOOL_EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"on_tool_start": "tool-started", "on_tool_end": "tool-finished", "on_tool_error": "tool-error"}
)
"""The event of the channel `tools`, by v2 event."""

LIFECYCLE_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"failed": "failed", "cancelled": "failed", "interrupted": "interrupted"}
)
"""The event of the channel `lifecycle`, by the `status` of an extended error event."""

CHANNELS: Final = frozenset({"messages", "tools", "lifecycle", "values"})
"""The methods of protocol events that can be translated into v2 events."""
