"""`merge_chunks`: several chunks of one run as one, for channels that coalesce.

Source: `add_ai_message_chunks` (`langchain_core/messages/ai.py`), `GenerationChunk.__add__` (`outputs/generation.py`),
langchain-core 0.3.0 to 1.8.1: what LangChain itself does to make a run's output of its chunks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, cast

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import GenerationChunk

from callbridge.core.calls import Payload

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["merge_chunks", "mergeable"]


def mergeable(event: Event) -> Hashable | None:
    """Return a key that adjacent events share if they can be merged; `None` for those that cannot.

    Text, messages and generations add up to what the run's output will be. Other chunks (a graph's states, numbers) are
    values of their own: adding them would be wrong even where it is possible.
    """
    name = event["event"]
    if not name.endswith("_stream"):
        return None
    data: Payload = event["data"]
    chunk = data.get("chunk")
    if not isinstance(chunk, (str, BaseMessageChunk, GenerationChunk)):
        return None
    return name, event["run_id"], type(chunk)


def merge_chunks(events: Sequence[Event]) -> Event:
    """Make one event of adjacent ones with one `mergeable` key.

    One merge of n chunks, not n - 1 of two: for messages that is the difference between linear and quadratic.

    Args:
        events: At least one; none of them is written to.
    """
    data: list[Payload] = [event["data"] for event in events]
    first, *rest = [one["chunk"] for one in data]
    if isinstance(first, str):
        chunk: Payload = "".join([first, *rest])
    elif isinstance(first, AIMessageChunk):
        chunk = add_ai_message_chunks(first, *rest)
    else:
        chunk = reduce(add, rest, first)
    return cast("Event", {**events[0], "data": {"chunk": chunk}})
