"""Whole messages: the sum of message events, and the message that old code expects in its place.

Source: `ChatModelStream._assemble_message` (`langchain_core/language_models/chat_model_stream.py`, 1.4.0 to 1.8.3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from callbridge.core.calls import Payload
from callbridge.core.protocol.table import CALL_TYPES, CHUNK_TYPES, MEDIA_TYPES, PAYLOADS
from callbridge.core.text import text_of

__all__ = ["finished_call", "plain_message", "whole_block", "whole_message"]

_KEPT = frozenset({*MEDIA_TYPES, "server_tool_call", "server_tool_result", "non_standard"})
"""Types of blocks that the message contains as they were at their end."""


def finished_call(kind: str, named: Mapping[str, Any], args: str) -> dict[str, Any]:
    """Return a complete call; an invalid one if its arguments are not JSON.

    Args:
        kind: The type of its parts: `tool_call_chunk` or `server_tool_call_chunk`.
        named: Its `id`, its `name` and any other fields.
        args: The arguments as text; `""` if there are none.
    """
    dropped = {"type", "id", "name", "args"} | ({"index"} if kind == "tool_call_chunk" else set())
    more = {key: value for key, value in named.items() if key not in dropped and value is not None}
    try:
        parsed = json.loads(args or "{}")
    except ValueError:
        error = "Failed to parse tool call arguments as JSON"
        named_as = {"id": named.get("id"), "name": named.get("name"), "args": args, "error": error}
        return {"type": "invalid_tool_call", **named_as, **more}
    return {"type": CHUNK_TYPES[kind], "id": named.get("id") or "", "name": named.get("name") or "", "args": parsed, **more}


def whole_block(wire: int, kind: str, seen: str, named: Mapping[str, Any], end: Mapping[str, Any] | None) -> Payload:
    """Return a content block of a whole message; None if LangChain skips blocks of its type.

    Args:
        wire: Its index.
        kind: Its type at the start.
        seen: The parts of its payload, joined.
        named: The fields of its start.
        end: The fields of its end; None if there was no end.
    """
    if end is None:
        if kind in CHUNK_TYPES:
            return finished_call(kind, named, seen)
        if kind not in ("text", "reasoning"):
            return None
        end = {"type": kind, kind: seen}
    ended_as = end.get("type")
    if ended_as == "tool_call":
        filled = {"id": "", "name": "", "args": {}}
        return {**filled, **{key: value for key, value in end.items() if key != "index"}}
    if ended_as == "invalid_tool_call":
        return {key: value for key, value in end.items() if key != "index"}
    if ended_as == "text":
        return {"index": wire, **end, "text": end.get("text") or seen}
    if ended_as == "reasoning":
        told = end.get("reasoning") or seen
        return {"index": wire, **end, **({"reasoning": told} if told else {})}
    return {"index": wire, **end} if ended_as in _KEPT else None


def whole_message(
    blocks: Iterable[Payload], *, message_id: str | None, metadata: Mapping[str, Any], finish: Mapping[str, Any]
) -> AIMessage:
    """Return the message that is the `output` of a v3 stream.

    Args:
        blocks: Its blocks, in order.
        message_id: Its id.
        metadata: The metadata from its start, under the names of `response_metadata`.
        finish: The event that ended it; empty if none did.
    """
    content = [block for block in blocks if block is not None]
    calls = [block for block in content if block["type"] == "tool_call"]
    invalid = [block for block in content if block["type"] == "invalid_tool_call"]
    fields: dict[str, Any] = {}
    if finish.get("additional_kwargs"):
        fields["additional_kwargs"] = dict(finish["additional_kwargs"])
    return AIMessage(
        content=content or "",
        id=message_id,
        tool_calls=[{key: call[key] for key in ("id", "name", "args", "type")} for call in calls],
        invalid_tool_calls=[
            {"type": "invalid_tool_call", **{key: call.get(key) or None for key in ("id", "name", "args", "error")}}
            for call in invalid
        ],
        usage_metadata=finish.get("usage") or None,
        response_metadata={**metadata, **(finish.get("metadata") or {}), "output_version": "v1"},
        **fields,
    )


def plain_message(message: Payload) -> Payload:
    """Return a message of text and tool calls with its text as a string, as `stream` and `invoke` do.

    If a message contains anything else (reasoning, media, citations), return it as it is: that would be lost.
    """
    content = getattr(message, "content", None)
    if not isinstance(content, list) or not all(_is_plain(block) for block in content):
        return message
    said = {key: value for key, value in message.response_metadata.items() if key != "output_version"}
    return message.model_copy(update={"content": text_of(content), "response_metadata": said})


def _is_plain(block: object) -> bool:
    """Return whether a string and a list of tool calls can hold everything in a block."""
    if isinstance(block, str):
        return True
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    return kind in CALL_TYPES or (kind == "text" and not block.keys() - {"type", "index", "id", PAYLOADS["text"]})
