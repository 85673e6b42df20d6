"""Merging chunks loses nothing, whatever is merged with whatever."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk, HumanMessageChunk
from langchain_core.outputs import GenerationChunk
from langchain_core.runnables import AddableDict

from callbridge.channel.memory import open_channel
from callbridge.core.merge import merge_chunks, mergeable
from chunks import MIXED_CONTENTS_ADD_UP, messages, scripts


class AddableUpdatesDict(AddableDict):
    """Named like LangGraph's, which adds up to a list."""


def event(chunk: Any, *, name: str = "on_chain_stream", run_id: str = "1", **more: Any) -> Any:
    data = {"chunk": chunk, **more}
    return {"event": name, "run_id": run_id, "name": "n", "tags": [], "metadata": {}, "parent_ids": [], "data": data}


def chunks_of(events: Sequence[Any]) -> list[Any]:
    return [one["data"]["chunk"] for one in events]


def text_chunk(text: str, **options: Any) -> AIMessageChunk:
    return AIMessageChunk(content=text, id="m", **options)


@given(scripts(), st.integers(1, 4), st.lists(st.integers(0, 3), max_size=14))
def test_what_a_full_channel_delivers_adds_up_to_what_was_sent(script: list[Any], capacity: int, takes: list[int]) -> None:
    """Text, tool calls, usage, metadata: the sum is the same, however the reader is interrupted. No chunk is written to."""
    before, expected = copy.deepcopy(script), reduce(add, copy.deepcopy(script))
    send, receive = open_channel(capacity, overflow="coalesce", kind=mergeable, merge=merge_chunks)
    taken: list[Any] = []
    for place, chunk in enumerate(script):
        send.push(event(chunk))
        for _ in range(takes[place] if place < len(takes) else 0):
            if send.statistics().buffered:
                taken.append(receive.receive_nowait())
    send.close()
    taken += receive
    assert script == before
    assert reduce(add, chunks_of(taken)) == expected
    statistics = send.statistics()
    assert statistics.sent == len(script) == statistics.received + statistics.merged


@given(messages(), messages())
def test_runs_that_alternate_are_kept_apart(ones: list[AIMessageChunk], others: list[AIMessageChunk]) -> None:
    """Parallel models."""
    send, receive = open_channel(2, overflow="coalesce", kind=mergeable, merge=merge_chunks)
    for one, other in zip(ones, others, strict=False):
        send.push(event(one, run_id="1"))
        send.push(event(other, run_id="2"))
    send.close()
    taken = list(receive)
    pairs = min(len(ones), len(others))
    for run_id, script in (("1", ones), ("2", others)):
        found = chunks_of([one for one in taken if one["run_id"] == run_id])
        assert reduce(add, found) == reduce(add, copy.deepcopy(script[:pairs]))


def test_text_is_one_merge_however_long() -> None:
    """Ten thousand tokens of a model that nobody reads are one event."""
    send, receive = open_channel(1, overflow="coalesce", kind=mergeable, merge=merge_chunks)
    for _ in range(10_000):
        send.push(event(text_chunk("x"), name="on_chat_model_stream"))
    send.close()
    (only,) = list(receive)
    assert only["data"]["chunk"].content == "x" * 10_000
    assert send.statistics().overruns == 0


@pytest.mark.skipif(not MIXED_CONTENTS_ADD_UP, reason="this langchain-core cannot add blocks to text")
def test_contents_of_different_types_are_split_where_they_change() -> None:
    """LangChain's sum depends on the order of adding there. One odd chunk does not keep the others from merging."""
    send, receive = open_channel(1, overflow="coalesce", kind=mergeable, merge=merge_chunks)
    script = [
        text_chunk(""),
        *(AIMessageChunk(content=[{"type": "text", "text": "x", "index": 0}], id="m") for _ in range(999)),
    ]
    for chunk in script:
        send.push(event(chunk))
    send.close()
    taken = chunks_of(list(receive))
    assert len(taken) < 15
    assert reduce(add, taken) == reduce(add, script)
    assert send.statistics().merged == 1000 - len(taken)


def test_the_last_message_does_not_parse_half_a_tool_call() -> None:
    """A chunk that says it is the last one makes LangChain take deltas for whole calls."""
    if "chunk_position" not in AIMessageChunk.model_fields:
        pytest.skip("this langchain-core knows no last chunk")

    def piece(args: str, **options: Any) -> AIMessageChunk:
        found = {"type": "tool_call_chunk", "name": None, "args": args, "id": "c", "index": 0}
        metadata = {"output_version": "v1"}
        return AIMessageChunk(content=[dict(found)], tool_call_chunks=[found], response_metadata=metadata, **options)

    script = [piece('{"a"'), piece(': {"b": 1'), piece("}}"), piece("", chunk_position="last")]
    send, receive = open_channel(1, overflow="coalesce", kind=mergeable, merge=merge_chunks)
    for chunk in script[1:]:
        send.push(event(chunk))
    send.close()
    assert reduce(add, [script[0], *chunks_of(list(receive))]) == reduce(add, script)


def test_the_roots_input_is_kept() -> None:
    """The first event that passes the filters may be a chunk, which then shows what the root was called with."""
    merged: Any = merge_chunks([event("a", input="tea"), event("b")])
    assert merged["data"] == {"chunk": "ab", "input": "tea"}


def test_messages_that_are_no_answers_add_up_too() -> None:
    """A chain may stream any message."""
    merged: Any = merge_chunks([event(HumanMessageChunk(content="a")), event(HumanMessageChunk(content="b"))])
    assert merged["data"]["chunk"] == HumanMessageChunk(content="ab")


@pytest.mark.parametrize(
    "chunks",
    [
        ["a", text_chunk("b")],
        [text_chunk("a"), GenerationChunk(text="b")],
        [AddableDict(a="x"), AddableDict(a=1)],
        [AddableDict(a=1), AddableDict(a=2)],
        [text_chunk("a", additional_kwargs={"f": {"x": 1}}), text_chunk("b", additional_kwargs={"f": "y"})],
    ],
)
def test_what_does_not_add_up_says_so(chunks: list[Any]) -> None:
    """And is then delivered as it is."""
    with pytest.raises(TypeError):
        merge_chunks([event(chunk) for chunk in chunks])


@pytest.mark.parametrize("chunk", [1, None, [1], {"a": "x"}, {"node": {"q": 1}}, AddableUpdatesDict(node={"q": 1}), object()])
def test_values_of_their_own_are_never_merged(chunk: Any) -> None:
    """Numbers, lists, and the states of graphs: a chain that streams them means each of them."""
    assert mergeable(event(chunk)) is None


@pytest.mark.parametrize("name", ["on_chain_start", "on_chain_end", "on_tool_error", "on_custom_event", "on_agent_action"])
def test_what_is_no_chunk_is_never_merged(name: str) -> None:
    """Whatever it carries."""
    assert mergeable(event("text", name=name)) is None
