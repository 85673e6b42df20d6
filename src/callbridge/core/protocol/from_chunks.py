"""`ChunksToMessage` turns the chunks of one message into message events; `message_events` does it for a whole message.

The `index` of a block says which block a chunk adds to. The provider chooses it: a number or a string. A block without an index
adds to the block of its type that came at the same place. On the wire, blocks are numbered in the order of their first parts.

Source: `chunks_to_events`, `message_to_events` (`langchain_core/language_models/_compat_bridge.py`, 1.7.0 to 1.8.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessageChunk

from callbridge.core.calls import Payload
from callbridge.core.protocol.table import CHUNK_TYPES, DELTAS, PAYLOADS, PROVIDER_FIELDS
from callbridge.core.protocol.whole import finished_call
from callbridge.core.text import text_of

__all__ = ["ChunksToMessage", "message_events"]

_HEAVY: Final = frozenset({"args", "data", "output", "transcript", "value"})
"""Fields that only the end of a block has."""

_EMPTY: Final = (("tool_call", "args"), ("server_tool_call", "args"), ("non_standard", "value"))
"""Types of blocks whose start has such a field as well, with an empty value."""


class ChunksToMessage:
    """Translate the chunks of one message.

    Args:
        message_id: The message's id. None takes that of the first chunk.
        snapshots: Whether each event carries the arguments of a call so far, as LangChain before 1.7 expects them, and not only
            the part to append.
    """

    def __init__(self, message_id: str | None = None, *, snapshots: bool = False) -> None:
        self._id = message_id
        self._snapshots = snapshots
        self._blocks: dict[Payload, tuple[int, dict[str, Any]]] = {}  # our index and the block so far, by the provider's index
        self._started = False
        self._usage: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._kwargs: dict[str, Any] = {}

    @property
    def started(self) -> bool:
        """Whether a chunk has come."""
        return self._started

    def feed(self, chunk: AIMessageChunk) -> list[dict[str, Any]]:
        """Translate a chunk. It is not written to.

        Returns:
            The events it makes: starts and parts of blocks, and the start of the message if it is the first.
        """
        events: list[dict[str, Any]] = []
        if not self._started:
            self._started = True
            events.append(_message_start(chunk, self._id))
        self._metadata.update(chunk.response_metadata)
        if chunk.additional_kwargs:
            self._kwargs = _merged(self._kwargs, chunk.additional_kwargs)
        for key, block in _keyed_blocks(chunk):
            events += self._add(key, block)
        if chunk.usage_metadata:
            self._count(chunk.usage_metadata)
        return events

    def finish(self) -> list[dict[str, Any]]:
        """Return the ends of all blocks and of the message. Without any chunk there are none."""
        if not self._started:
            return []
        ends = [_finished(wire, block) for wire, block in self._blocks.values()]
        return [*ends, _message_finish(self._usage, self._metadata, self._kwargs)]

    def _add(self, key: Payload, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if key in self._blocks:
            wire, state = self._blocks[key]
            _accumulate(state, block)
        else:
            wire = len(self._blocks)
            self._blocks[key] = wire, dict(block)
            yield {"event": "content-block-start", "index": wire, "content": _beginning(block)}
        delta = _delta(block)
        if delta is not None and self._snapshots and delta["type"] == "tool-call-delta":
            delta = {"type": "block-delta", "fields": dict(self._blocks[key][1])}
        if delta is not None:
            yield {"event": "content-block-delta", "index": wire, "delta": delta}

    def _count(self, usage: Mapping[str, Any]) -> None:
        for key, value in usage.items():
            if isinstance(value, Mapping):
                self._usage[key] = {**self._usage.get(key, {}), **value}
            else:
                self._usage[key] = self._usage.get(key, 0) + value


def message_events(message: Payload, message_id: str | None = None) -> list[dict[str, Any]]:
    """Return the events of a message that came whole.

    Args:
        message: The message. It is not written to.
        message_id: Its id. None takes that of the message.
    """
    events = [_message_start(message, message_id)]
    for wire, (_, block) in enumerate(_keyed_blocks(message)):
        events.append({"event": "content-block-start", "index": wire, "content": _beginning(block)})
        delta = _delta(block)
        if delta is not None:
            events.append({"event": "content-block-delta", "index": wire, "delta": delta})
        events.append(_finished(wire, block))
    usage = getattr(message, "usage_metadata", None)
    events.append(_message_finish(usage or {}, message.response_metadata, {}))
    return events


# -- the message ------------------------------------------------------------------------------------------------------


def _message_start(message: Payload, message_id: str | None) -> dict[str, Any]:
    started: dict[str, Any] = {"event": "message-start", "role": "ai", "id": message_id or message.id or ""}
    said = message.response_metadata
    metadata = {ours: said[theirs] for ours, theirs in PROVIDER_FIELDS if theirs in said}
    return {**started, "metadata": metadata} if metadata else started


def _message_finish(usage: Mapping[str, Any], metadata: Mapping[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    finish: dict[str, Any] = {"event": "message-finish"}
    if usage:
        finish["usage"] = {key: dict(value) if isinstance(value, Mapping) else value for key, value in usage.items()}
    if metadata:
        finish["metadata"] = dict(metadata)
    if kwargs:
        finish["additional_kwargs"] = dict(kwargs)
    return finish


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge the data that chunks carry beside their content, as adding the chunks does."""
    whole = AIMessageChunk(content="", additional_kwargs=one) + AIMessageChunk(content="", additional_kwargs=other)
    return whole.additional_kwargs


# -- its blocks -------------------------------------------------------------------------------------------------------


def _keyed_blocks(message: Payload) -> list[tuple[Payload, dict[str, Any]]]:
    """Return the content blocks of a message or chunk, each with a key that is unique in the message."""
    keyed: list[tuple[Payload, dict[str, Any]]] = []
    for place, block in enumerate(_blocks_of(message)):
        if isinstance(block, Mapping):
            index = block.get("index")
            keyed.append(((block.get("type"), place) if index is None else index, dict(block)))
    if not isinstance(message, AIMessageChunk):
        for call in getattr(message, "invalid_tool_calls", None) or ():
            told = {key: call[key] for key in ("id", "name", "args", "error") if call.get(key) is not None}
            keyed.append(((None, len(keyed)), {"type": "invalid_tool_call", **told}))
    return keyed


def _blocks_of(message: Payload) -> list[Any]:
    """Return a message's content as blocks. Before langchain-core 1.0, these are its text and its tool calls."""
    try:
        blocks: list[Any] = message.content_blocks
    except Exception:  # noqa: BLE001 - a provider's translator that stumbles over its own content costs the content alone
        blocks = []
        if not hasattr(type(message), "content_blocks"):
            text = text_of(message.content)
            calls = getattr(message, "tool_call_chunks", None)
            called = [{**call, "type": "tool_call_chunk"} for call in calls or ()]
            if calls is None:
                called = [{**call, "type": "tool_call"} for call in getattr(message, "tool_calls", ())]
            blocks = [*([{"type": "text", "text": text}] if text else []), *called]
    return blocks


def _beginning(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields for the start of a block."""
    kind = str(block.get("type", "text"))
    if kind in ("text", "reasoning"):
        told = {key: value for key, value in block.items() if key not in (kind, "index", "annotations") or key == "type"}
        if kind == "reasoning" and "annotations" in block:
            told["annotations"] = block["annotations"]
        return {**told, kind: ""}
    if kind in CHUNK_TYPES:
        named = {key: block.get(key) for key in ("id", "name") if kind == "tool_call_chunk" or block.get(key) is not None}
        index = {} if block.get("index") is None else {"index": block["index"]}
        return {"type": kind, **named, "args": "", **index}
    told = {key: value for key, value in block.items() if key not in _HEAVY}
    return told | {field: {} for of, field in _EMPTY if of == kind}


def _delta(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the part of a block's payload in a chunk; None if there is none."""
    field = PAYLOADS.get(str(block.get("type")), "data")
    part = block.get(field)
    if not part:
        return None
    kind, name = DELTAS[field]
    encoding = {"encoding": "base64"} if field == "data" and block.get("encoding") == "base64" else {}
    return {"type": kind, name: part, **encoding}


def _accumulate(state: dict[str, Any], block: Mapping[str, Any]) -> None:
    """Add a chunk's part to a block."""
    kind = state.get("type")
    field = PAYLOADS.get(str(kind), "data" if "data" in block else None)
    if kind != block.get("type") or field is None:
        state.clear()
        state.update(block)
        return
    state[field] = (state.get(field) or "") + (block.get(field) or "")
    for key, value in block.items():
        if key in ("type", field) or value is None or (kind in CHUNK_TYPES and key not in ("id", "name")):
            continue
        if key == "extras" and isinstance(value, Mapping):
            value = {**(state.get("extras") or {}), **value}
        state[key] = value


def _finished(wire: int, block: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(block.get("type"))
    content = finished_call(kind, block, block.get("args") or "") if kind in CHUNK_TYPES else dict(block)
    return {"event": "content-block-finish", "index": wire, "content": content}
