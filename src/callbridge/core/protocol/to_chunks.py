"""`MessageToChunks`: turns the message events of one message into the chunks that `stream` would have yielded.

Two forms:

| | plain | `blocks=True` |
|---|---|---|
| text | `str` content | `{"type": "text", …}` blocks |
| tool calls | `tool_call_chunks` | blocks, and `tool_call_chunks` |
| reasoning, media, server tools and the like | blocks | blocks |
| the chunks add up to | the text | the message that a v3 stream has as its `output` |

Later chunks do not repeat the fields from the start of a block: chunks are added up, and strings would be doubled. All three
forms of tool arguments are understood: parts to append, snapshots (langchain-core 1.4 to 1.6), and whole blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk

from callbridge.core.calls import Payload
from callbridge.core.chunks import text_message
from callbridge.core.protocol.table import CHUNK_TYPES, DELTAS, MESSAGE_EVENTS, PAYLOADS, PROVIDER_FIELDS
from callbridge.core.protocol.whole import whole_block, whole_message
from callbridge.errors import EventFormatError, EventSequenceError

__all__ = ["MessageToChunks"]

_FIELD_OF_DELTA: Final[Mapping[str, str]] = MappingProxyType({kind: field for field, (kind, _) in DELTAS.items()})
"""The field of the block that a delta adds to, by the type of the delta."""

_LATE: Final = frozenset({"status"})
"""Fields that change while a block is open. Only their value at its end counts."""

_MANY: Final = 256
"""After this many parts they are joined, so that a long text takes no more memory than its letters."""


class _Block:
    """An open content block."""

    __slots__ = ("_lengths", "_parts", "begun_as", "end", "index", "kind", "muted", "told", "wire")

    def __init__(self, wire: int, kind: str, index: Payload, begun_as: Mapping[str, Any]) -> None:
        self.wire = wire
        self.kind = kind  # its type at the start
        self.index = index  # the index in its chunks
        self._lengths: list[str] = []  # the field that comes in parts: many parts joined into one,
        self._parts: list[str] = []  # and the latest parts. So adding one always takes the same time.
        self.told: dict[str, Any] = {}  # fields that a chunk has had
        self.begun_as = begun_as
        self.end: Mapping[str, Any] | None = None
        self.muted = False  # a snapshot did not extend the one before

    def add(self, part: str) -> None:
        """Add a part of the field that comes in parts."""
        self._parts.append(part)
        if len(self._parts) >= _MANY:
            self._lengths.append("".join(self._parts))
            self._parts.clear()

    @property
    def seen(self) -> str:
        """The field that comes in parts, so far."""
        return "".join(self._lengths) + "".join(self._parts)


class MessageToChunks:
    """Translate the message events of one message into chunks.

    Args:
        blocks: Whether all content consists of blocks; see above.
        strict: Whether an event out of sequence is an error. If not, the most likely meaning is assumed, as in LangChain.
    """

    def __init__(self, *, blocks: bool = False, strict: bool = False) -> None:
        self._as_blocks = blocks
        self._strict = strict
        self._open: dict[int, _Block] = {}  # all blocks of the message, by wire index
        self._metadata: dict[str, Any] = {}
        self.id: str | None = None
        """The message's id, once it has begun."""
        self.started = False
        """Whether the message has begun."""
        self.finished = False
        """Whether it has ended."""
        self._finish_event: Mapping[str, Any] = {}
        self.skipped = 0
        """How many events and deltas were skipped, because their type is unknown."""

    @property
    def text(self) -> str:
        """The message's text so far."""
        return "".join(block.seen for _, block in sorted(self._open.items()) if block.kind == "text")

    def feed(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        """Translate one message event.

        Args:
            event: The event, live or out of JSON. It is not written to.

        Returns:
            The chunks it makes. Most events that begin or end something make none.

        Raises:
            EventFormatError: Its data does not fit its name.
            EventSequenceError: It is out of sequence, and `strict` is set.
        """
        name = event.get("event")
        if name == "content-block-delta":
            part = "" if self._as_blocks else self._hear_text(event)
            return [text_message(part, self.id)] if part else self._delta(event)
        if name not in MESSAGE_EVENTS:
            self.skipped += 1
            return []
        if name == "message-start":
            return self._start(event)
        if name == "content-block-start":
            return self._start_block(event)
        if name == "content-block-finish":
            return self._finish_block(event)
        return self._finish(event) if name == "message-finish" else []

    def hear(self, event: Mapping[str, Any]) -> None:
        """Do what `feed` does, but make no chunks."""
        if not self._hear_text(event):
            self.feed(event)

    def _hear_text(self, event: Mapping[str, Any]) -> str:
        """Add a part of an open text and return it; return `""` if the event is anything else.

        In most messages nearly all events are such parts, and nothing else about them matters.
        """
        delta, wire = event.get("delta"), event.get("index")
        if type(delta) is not dict or type(wire) is not int or delta.get("type") != "text-delta":
            return ""
        block, part = self._open.get(wire), delta.get("text")
        if block is None or block.kind != "text" or block.end is not None or type(part) is not str:
            return ""
        block.add(part)
        return part

    def is_content(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event carries content of the message, and does not only begin or end it."""
        return str(event.get("event")).startswith("content-block-")

    def message(self) -> AIMessage:
        """Return the message so far, like the `output` of a v3 stream: its content consists of blocks."""
        blocks = [whole_block(wire, one.kind, one.seen, one.begun_as, one.end) for wire, one in sorted(self._open.items())]
        return whole_message(blocks, message_id=self.id, metadata=self._metadata, finish=self._finish_event)

    # -- the message --------------------------------------------------------------------------------------------------

    def _start(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        if self.started and self._strict:
            raise self._out_of_order(event, "the message has begun already")
        told_id = event.get("id") or event.get("message_id") or self.id
        if told_id is not None and not isinstance(told_id, str):
            raise EventFormatError(event, f"id is {told_id!r}, not a string", kind="protocol")
        self.started, self.id = True, told_id
        told = event.get("metadata")
        if isinstance(told, Mapping):
            self._metadata = {theirs: told[ours] for ours, theirs in PROVIDER_FIELDS if ours in told}
        return []

    def _finish(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        if self._strict and (not self.started or self.finished):
            raise self._out_of_order(event, "the message has ended already" if self.finished else "the message has not begun")
        self.finished, self._finish_event = True, event
        metadata = {**self._metadata, **(event.get("metadata") or {})}
        fields: dict[str, Any] = {
            "additional_kwargs": dict(event.get("additional_kwargs") or {}),
            "chunk_position": "last",
            "usage_metadata": event.get("usage") or None,
        }
        if self._as_blocks:
            content: Any = [] if self._open else ""
            return [self._made(content, response_metadata={**metadata, "output_version": "v1"}, **fields)]
        metadata.pop("output_version", None)  # describes the provider's own format, and this is another
        return [AIMessageChunk(content="", id=self.id, response_metadata=metadata, **fields)]

    # -- its blocks ---------------------------------------------------------------------------------------------------

    def _start_block(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        wire, content = self._index(event), self._content(event)
        if self._strict and wire in self._open:
            raise self._out_of_order(event, f"block {wire} has begun already")
        self._check_open(event)
        return self._begin(wire, content)

    def _begin(self, wire: int, content: Mapping[str, Any]) -> list[AIMessageChunk]:
        kind = str(content.get("type", "text"))
        given = content.get("index")
        block = _Block(wire, kind, wire if self._as_blocks or given is None else given, content)
        self._open[wire] = block
        if kind in CHUNK_TYPES:
            args = content.get("args")
            part = args if isinstance(args, str) else ""
            block.add(part)
            return self._call_part(block, part, id=content.get("id"), name=content.get("name"))
        if not self._as_blocks:
            if kind == "text":
                block.told = dict(content)  # the id of a text block is of no use without the text
            payload = content.get(PAYLOADS.get(kind, ""))
            return self._part(block, payload) if isinstance(payload, str) and payload else []
        if kind in ("tool_call", "invalid_tool_call", "server_tool_call"):
            return []  # whole at its end
        return [self._told(block, content)]

    def _delta(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        wire, delta = self._index(event), _delta_of(event)
        if delta is None:
            raise EventFormatError(event, "it has no delta", kind="protocol")
        field = _FIELD_OF_DELTA.get(str(delta.get("type")))
        block = self._open.get(wire)
        if self._strict and (block is None or block.end is not None):
            problem = f"block {wire} has {'not begun' if block is None else 'ended already'}"
            raise self._out_of_order(event, problem)
        if block is None and field in ("text", "reasoning"):  # the type of the block has the same name
            block = self._open[wire] = _Block(wire, str(field), wire, {})
        if delta.get("type") == "block-delta":
            return self._snapshot(wire, delta.get("fields"))
        if field is None or block is None or PAYLOADS.get(block.kind) != field:
            self.skipped += 1
            return []
        part = delta.get(field)
        return self._part(block, part) if isinstance(part, str) and part else []

    def _snapshot(self, wire: int, fields: object) -> list[AIMessageChunk]:
        """Take a snapshot of a call's arguments, as langchain-core 1.4 to 1.6 report them."""
        if not isinstance(fields, Mapping) or fields.get("type") not in CHUNK_TYPES:
            self.skipped += 1
            return []
        block = self._open.get(wire)
        begun: list[AIMessageChunk] = []
        if block is None:
            begun = self._begin(wire, {**fields, "args": ""})
            block = self._open[wire]
        args, seen = fields.get("args"), block.seen
        if not isinstance(args, str) or block.muted or args == seen:
            return begun
        if not args.startswith(seen):
            block.muted = True  # chunks cannot be taken back
            return begun
        return begun + self._part(block, args[len(seen) :])

    def _finish_block(self, event: Mapping[str, Any]) -> list[AIMessageChunk]:
        wire, content = self._index(event), self._content(event)
        block = self._open.get(wire)
        if self._strict and (block is None or block.end is not None):
            problem = f"block {wire} has {'not begun' if block is None else 'ended already'}"
            raise self._out_of_order(event, problem)
        begun: list[AIMessageChunk] = []
        if block is None:
            begun = self._begin(wire, _beginning(content))
            block = self._open[wire]
        if block.end is not None:
            return []
        block.end = content
        return begun + self._end(block, content)

    def _end(self, block: _Block, content: Mapping[str, Any]) -> list[AIMessageChunk]:
        """Make chunks of the fields that only the end of a block has."""
        kind = str(content.get("type"))
        if kind in ("tool_call", "invalid_tool_call", "server_tool_call"):
            return self._end_call(block, kind, content)
        field = PAYLOADS.get(kind)
        whole = content.get(field) if field else None
        tail = ""
        seen = block.seen
        if isinstance(whole, str) and whole.startswith(seen):
            tail = whole[len(seen) :]
        if not self._as_blocks and kind == "text":
            made = self._part(block, tail) if tail else []
            late = {key: value for key, value in self._rest(block, content).items() if key != "id"}
            return [*made, self._list({"type": "text", "text": "", "index": block.index, **late})] if late else made
        rest = self._rest(block, content)
        if not rest and not tail:
            return []
        block.add(tail)
        payload = {field: tail} if field and (tail or kind in ("text", "reasoning")) else {}
        return [self._list({"type": kind, "index": block.index, **payload, **rest})]

    def _end_call(self, block: _Block, kind: str, content: Mapping[str, Any]) -> list[AIMessageChunk]:
        args = content.get("args")
        if block.kind in CHUNK_TYPES and (self._as_blocks or kind != "server_tool_call"):
            late = {key: content[key] for key in ("id", "name") if content.get(key) and not block.begun_as.get(key)}
            part = "" if block.seen or not args else args if isinstance(args, str) else json.dumps(args)
            block.add(part)
            return self._call_part(block, part, **late) if part or late else []
        text = args if isinstance(args, str) else json.dumps({} if args is None else args)
        if kind == "server_tool_call":
            whole = {key: value for key, value in content.items() if key != "index"}
            return [self._list({**whole, "index": block.index})]
        block.kind = "tool_call_chunk"
        return self._call_part(block, text, id=content.get("id"), name=content.get("name"))

    def _rest(self, block: _Block, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields at the end of a block that no chunk has had."""
        payload = PAYLOADS.get(str(content.get("type")))
        return {
            key: value
            for key, value in content.items()
            if key not in ("type", "index", payload) and value is not None and key not in block.told
        }

    # -- chunks -------------------------------------------------------------------------------------------------------

    def _part(self, block: _Block, part: str) -> list[AIMessageChunk]:
        """Make a chunk of a part of a block."""
        block.add(part)
        kind = block.kind
        if kind == "text" and not self._as_blocks:
            return [text_message(part, self.id)]
        if kind in CHUNK_TYPES:
            return self._call_part(block, part)
        first: dict[str, Any] = {}
        if not self._as_blocks and not block.told:
            first = {key: value for key, value in block.begun_as.items() if key not in ("type", "index", PAYLOADS[kind])}
            block.told = dict(block.begun_as)
        return [self._list({"type": kind, **first, PAYLOADS[kind]: part, "index": block.index})]

    def _call_part(self, block: _Block, args: str, **named: Payload) -> list[AIMessageChunk]:
        told = {"id": named.get("id"), "name": named.get("name"), "args": args}
        content: dict[str, Any] = {"type": block.kind, **told, "index": block.index}
        if block.kind != "tool_call_chunk":
            if not self._as_blocks:
                return []  # whole at its end
            return [self._list({key: value for key, value in content.items() if value is not None})]
        chunks = [{**content}]
        if self._as_blocks:
            return [self._made([content], tool_call_chunks=chunks)]
        return [AIMessageChunk(content="", id=self.id, tool_call_chunks=cast("Any", chunks))]

    def _told(self, block: _Block, content: Mapping[str, Any]) -> AIMessageChunk:
        """Make a chunk of the start of a block, so that blocks are in the order of their starts."""
        fields = {key: value for key, value in content.items() if key != "index" and key not in _LATE}
        block.told = {key: value for key, value in fields.items() if key not in ("type", "value", "args", "extras")}
        payload = PAYLOADS.get(block.kind)
        if payload is not None and isinstance(fields.get(payload), str):
            block.add(fields[payload])
            block.told.pop(payload, None)
        return self._list({**fields, "index": block.index})

    def _list(self, content: dict[str, Any]) -> AIMessageChunk:
        return self._made([content])

    def _made(self, content: Any, **fields: Any) -> AIMessageChunk:
        if self._as_blocks:
            fields.setdefault("response_metadata", {"output_version": "v1"})
        return AIMessageChunk(content=content, id=self.id, **fields)

    # -- checks -------------------------------------------------------------------------------------------------------

    def _index(self, event: Mapping[str, Any]) -> int:
        index = event.get("index")
        if type(index) is not int or index < 0:
            raise EventFormatError(event, f"index is {index!r}, not a number from 0 up", kind="protocol")
        return index

    def _content(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        content = event.get("content") or event.get("content_block")
        if not isinstance(content, Mapping):
            raise EventFormatError(event, f"content is {type(content).__name__}, not a content block", kind="protocol")
        return content

    def _check_open(self, event: Mapping[str, Any]) -> None:
        if self._strict and (not self.started or self.finished):
            raise self._out_of_order(event, "the message has ended already" if self.finished else "the message has not begun")

    def _out_of_order(self, event: Mapping[str, Any], problem: str) -> EventSequenceError:
        return EventSequenceError(str(event.get("event")), self.id or "", problem)


def _delta_of(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the delta of an event, also of one in the format from before there were deltas.

    LangGraph's server still sends the results of tools in that format (`langgraph_api`, 0.16.7).
    """
    delta = event.get("delta")
    if isinstance(delta, Mapping):
        return delta
    block = event.get("content_block") or event.get("content")
    if not isinstance(block, Mapping):
        return None
    field = PAYLOADS.get(str(block.get("type")))
    if field is None:
        return {"type": "unknown"}
    kind, name = DELTAS[field]
    return {"type": kind, name: block.get(field) or ""}


def _beginning(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the start of a block that is known only from its end."""
    payload = PAYLOADS.get(str(content.get("type")))
    begun = {key: value for key, value in content.items() if key in ("type", "id", "name", "index")}
    return {**begun, payload: ""} if payload else begun
