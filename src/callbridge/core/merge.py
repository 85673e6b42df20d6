"""`merge_chunks`: merges several chunks of one run into one, for channels that coalesce.

Source: `add_ai_message_chunks` (`langchain_core/messages/ai.py`), `GenerationChunk.__add__` (`outputs/generation.py`),
`AddableDict.__add__` (`runnables/utils.py`), langchain-core 0.3.0 to 1.8.1: this is how LangChain itself makes a run's output
from its chunks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import GenerationChunk

from callbridge.core.calls import Payload

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["merge_chunks", "mergeable", "sum_chunks"]


def mergeable(event: Event) -> Hashable | None:
    """Return a key that adjacent events share if they can be merged; `None` if an event cannot be merged.

    Text, messages and generations add up to the run's output, and so do dicts of them, which chains with several outputs
    stream. Each other chunk (a graph's state, a number) is a value of its own: adding them would be wrong even if it is
    possible.
    """
    name = event["event"]
    if not name.endswith("_stream"):
        return None
    data: Payload = event["data"]
    chunk = data.get("chunk")
    if isinstance(chunk, (str, BaseMessageChunk, GenerationChunk)) or _is_addable(chunk):
        return name, event["run_id"]
    return None


def merge_chunks(events: Sequence[Event]) -> Event:
    """Merge adjacent events with the same `mergeable` key into one.

    This merges n chunks at once, not two at a time n - 1 times: for messages that makes it linear and not quadratic.

    Args:
        events: At least one. They are not written to.

    Raises:
        TypeError: LangChain has no sum for these chunks. Deliver each of them as it is.
    """
    data: list[Payload] = [event["data"] for event in events]
    try:
        chunk = _sum([one["chunk"] for one in data])
    except ValueError as error:  # the messages contradict each other
        raise TypeError(str(error)) from error
    # Only the first event of a run can have other keys.
    return cast("Event", {**events[0], "data": {**data[0], "chunk": chunk}})


def sum_chunks(chunks: Sequence[Payload]) -> Payload:
    """Return the sum of the chunks of one answer, as LangChain adds them up at its end. Give at least one.

    Raises:
        TypeError: There is no sum for chunks of these types.
        ValueError: They contradict each other.
    """
    first, *rest = chunks
    if not rest:
        return first
    if all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
        return add_ai_message_chunks(_own(first), *rest)
    return reduce(add, rest, _own(first))


def _sum(chunks: Sequence[Payload]) -> Payload:
    first, *rest = chunks
    if not rest:
        return first
    if all(isinstance(chunk, str) for chunk in chunks):
        return "".join(chunks)
    if all(isinstance(chunk, BaseMessageChunk) for chunk in chunks):
        return _sum_messages(first, rest)
    if all(isinstance(chunk, GenerationChunk) for chunk in chunks):
        return reduce(add, rest, first)
    if all(_is_addable(chunk) for chunk in chunks):
        return _sum_dicts(chunks)
    raise TypeError(f"chunks of {', '.join(sorted({type(chunk).__name__ for chunk in chunks}))} do not add up")


def _sum_messages(first: Any, rest: Sequence[Any]) -> BaseMessageChunk:
    """Add up messages at once, if the result is the same as adding them one after the other."""
    chunks = (first, *rest)
    if len({type(chunk.content) for chunk in chunks}) > 1:
        # ("a" + "b") + [x] is ["ab", x], but "a" + ("b" + [x]) is ["a", "b", x].
        raise TypeError("contents of different types")
    if _has(chunks, "chunk_position") and _has(chunks, "tool_call_chunks"):
        # The sum would take the deltas for whole calls and parse them.
        raise TypeError("the last message of several with tool calls")
    if all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
        return add_ai_message_chunks(_own(first), *rest)
    return cast("BaseMessageChunk", reduce(add, rest, _own(first)))


def _has(chunks: Sequence[Any], name: str) -> bool:
    return any(getattr(chunk, name, None) for chunk in chunks)


def _sum_dicts(chunks: Sequence[dict[str, Payload]]) -> dict[str, Payload]:
    values: dict[str, list[Payload]] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            values.setdefault(key, [])
            if value is not None:
                values[key].append(value)
    return type(chunks[0])({key: _sum(found) if found else None for key, found in values.items()})


def _is_addable(chunk: Payload) -> bool:
    """Return whether this is a dict of chunks. LangGraph's states derive from the same class but are not."""
    return isinstance(chunk, dict) and type(chunk).__name__ == "AddableDict"


def _own(chunk: Any) -> Any:
    """Return a copy of a message whose lists and dicts may be written to.

    Depending on the version, LangChain's sum may write to the first message: to its content, if that is a list, and to its
    usage.
    """
    if not isinstance(chunk, BaseMessageChunk):
        return chunk
    changed: dict[str, Any] = {}
    if isinstance(chunk.content, list):
        changed["content"] = list(chunk.content)
    usage = getattr(chunk, "usage_metadata", None)
    if usage is not None:
        changed["usage_metadata"] = dict(usage)
    return chunk.model_copy(update=changed) if changed else chunk
