"""`merge_chunks`: several chunks of one run as one, for channels that coalesce.

Source: `add_ai_message_chunks` (`langchain_core/messages/ai.py`), `GenerationChunk.__add__` (`outputs/generation.py`),
`AddableDict.__add__` (`runnables/utils.py`), langchain-core 0.3.0 to 1.8.1: what LangChain itself does to make a run's output
of its chunks.
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
    """Return a key that adjacent events share if they can be merged; `None` for those that cannot.

    Text, messages, generations, and the dicts of them that chains with several outputs stream, add up to what the run's output
    will be. Other chunks (a graph's states, numbers) are values of their own: adding them would be wrong even where it is
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
    """Make one event of adjacent ones with one `mergeable` key.

    One merge of n chunks, not n - 1 of two: for messages that is the difference between linear and quadratic.

    Args:
        events: At least one; none of them is written to.

    Raises:
        TypeError: LangChain has no sum for these chunks, so each of them is to be delivered as it is.
    """
    data: list[Payload] = [event["data"] for event in events]
    try:
        chunk = _sum([one["chunk"] for one in data])
    except ValueError as error:  # messages that contradict each other
        raise TypeError(str(error)) from error
    # Of the other keys only the first event of a run can have any.
    return cast("Event", {**events[0], "data": {**data[0], "chunk": chunk}})


def sum_chunks(chunks: Sequence[Payload]) -> Payload:
    """Return what the chunks of one answer add up to, as LangChain adds them up at its end; at least one.

    Raises:
        TypeError: They are of kinds that have no sum.
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
    """Add up messages, if that makes the same whole as adding each of them to what came before."""
    chunks = (first, *rest)
    if len({type(chunk.content) for chunk in chunks}) > 1:
        # "a" and "b" and [x] are ["ab", x], but "a" and ("b" and [x]) are ["a", "b", x].
        raise TypeError("contents of different types")
    if _has(chunks, "chunk_position") and _has(chunks, "tool_call_chunks"):
        # The sum would take the deltas for whole calls, and parse them.
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
    """Return whether this is a dict of chunks. LangGraph derives its states from the same class, and they are none."""
    return isinstance(chunk, dict) and type(chunk).__name__ == "AddableDict"


def _own(chunk: Any) -> Any:
    """Return a copy of a message whose lists and dicts may be written to.

    LangChain's sum may write to the first message, depending on the version: to a list that is its content, to its usage.
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
