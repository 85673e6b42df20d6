"""Message events as chunks: what they add up to, beside LangChain's own sums; shapes of older versions; bad input."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message

from callbridge.core.protocol.to_chunks import MessageToChunks
from callbridge.errors import EventFormatError, EventSequenceError
from scripted import MIXES, SCRIPTS, model, needs_v3, quiet_beta, read_v3

START = {"event": "message-start", "role": "ai", "id": "lc_run--7"}
FINISH = {"event": "message-finish"}


def begun(content: Any, index: int = 0) -> dict[str, Any]:
    return {"event": "content-block-start", "index": index, "content": content}


def delta(content: Any, index: int = 0) -> dict[str, Any]:
    return {"event": "content-block-delta", "index": index, "delta": content}


def ended(content: Any, index: int = 0) -> dict[str, Any]:
    return {"event": "content-block-finish", "index": index, "content": content}


def chunks_of(events: list[Any], **options: Any) -> list[AIMessageChunk]:
    translator = MessageToChunks(**options)
    return [chunk for event in events for chunk in translator.feed(event)]


def total(chunks: list[AIMessageChunk]) -> AIMessage:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk  # type: ignore[assignment]
    return message_chunk_to_message(whole)  # type: ignore[return-value]


@needs_v3
@quiet_beta
class TestAgainstLangChain:
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_text_pieces_are_those_of_stream(self, script: str) -> None:
        wanted = [chunk.text for chunk in model(script).stream("hi") if chunk.text]
        assert [chunk.text for chunk in chunks_of(read_v3(model(script)), strict=True) if chunk.text] == wanted

    @pytest.mark.parametrize("script", SCRIPTS)
    def test_the_whole_message_is_the_output(self, script: str) -> None:
        stream = model(script).stream_events("hi", version="v3")
        translator = MessageToChunks(strict=True)
        for event in stream:
            translator.feed(event)
        assert translator.message() == stream.output

    # LangChain parses arguments of chunks leniently, those of a v3 stream strictly (D21).
    @pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "arguments that are no JSON"])
    def test_blocks_add_up_to_the_output(self, script: str) -> None:
        if MIXES and script == "one tool call":
            pytest.skip("LangChain itself makes one block of the text and the call")
        stream = model(script).stream_events("hi", version="v3")
        assert total(chunks_of(list(stream), blocks=True, strict=True)) == stream.output

    @pytest.mark.parametrize(
        "script",
        ["text", "usage", "metadata", "one tool call", "two tool calls", "interleaved tool calls", "a call without arguments"],
    )
    def test_plain_chunks_add_up_to_what_stream_adds_up_to(self, script: str) -> None:
        wanted = total(list(model(script).stream("hi")))
        found = total(chunks_of(read_v3(model(script)), strict=True))
        assert found.model_dump(exclude={"id"}) == wanted.model_dump(exclude={"id"})

    @pytest.mark.parametrize("script", ["image", "reasoning", "server tools", "citations"])
    def test_plain_chunks_lose_no_block(self, script: str) -> None:
        found = total(chunks_of(read_v3(model(script))))
        wanted = model(script).stream_events("hi", version="v3").output
        strings = [one for one in found.content if isinstance(one, str)]
        listed = [one for one in found.content if isinstance(one, dict)]
        assert "".join(strings) == wanted.text
        for block in wanted.content:
            if block["type"] != "text":
                assert block in listed
            elif "annotations" in block:
                assert any(one.get("annotations") == block["annotations"] for one in listed)


def test_text_is_plain_and_bears_the_messages_id() -> None:
    events = [START, begun({"type": "text", "text": ""}), delta({"type": "text-delta", "text": "Hi"}), FINISH]
    found = chunks_of(events)
    assert [(chunk.content, chunk.id) for chunk in found] == [("Hi", "lc_run--7"), ("", "lc_run--7")]
    assert found[0] == AIMessageChunk(content="Hi", id="lc_run--7")


SNAPSHOTS = [
    START,
    begun({"type": "tool_call_chunk", "id": "c1", "name": "weather", "args": "", "index": 4}),
    delta({"type": "block-delta", "fields": {"type": "tool_call_chunk", "args": '{"city"'}}),
    delta({"type": "block-delta", "fields": {"type": "tool_call_chunk", "args": '{"city": "Oslo"}'}}),
    delta({"type": "block-delta", "fields": {"type": "tool_call_chunk", "args": '{"city": "Oslo"}'}}),
    ended({"type": "tool_call", "id": "c1", "name": "weather", "args": {"city": "Oslo"}}),
    FINISH,
]


@pytest.mark.parametrize("blocks", [False, True])
def test_snapshots_of_arguments_are_told_as_what_they_add(blocks: bool) -> None:
    found = chunks_of(SNAPSHOTS, blocks=blocks, strict=True)
    parts = [part["args"] for chunk in found for part in chunk.tool_call_chunks]
    assert parts == ["", '{"city"', ': "Oslo"}']
    assert total(found).tool_calls == [{"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}]


def test_a_snapshot_that_takes_something_back_ends_the_parts() -> None:
    taken_back = [
        *SNAPSHOTS[:3],
        delta({"type": "block-delta", "fields": {"type": "tool_call_chunk", "args": "{"}}),
        SNAPSHOTS[3],
    ]
    translator = MessageToChunks()
    parts = [part["args"] for event in taken_back for chunk in translator.feed(event) for part in chunk.tool_call_chunks]
    assert parts == ["", '{"city"']
    translator.feed(SNAPSHOTS[5])
    assert translator.message().tool_calls[0]["args"] == {"city": "Oslo"}


@pytest.mark.parametrize("blocks", [False, True])
def test_a_call_that_comes_whole_at_its_end_is_one_chunk(blocks: bool) -> None:
    call = {"type": "tool_call", "id": "c1", "name": "weather", "args": {"city": "Oslo"}}
    found = chunks_of([START, begun({**call, "args": {}}), ended(call), FINISH], blocks=blocks, strict=True)
    assert total(found).tool_calls == [{**call}]


def test_the_shape_before_there_were_deltas_is_read() -> None:
    old = [
        {"event": "message-start", "message_id": "m1"},
        {"event": "content-block-start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"event": "content-block-delta", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"event": "content-block-finish", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        FINISH,
    ]
    assert [(chunk.content, chunk.id) for chunk in chunks_of(old, strict=True)] == [("Hi", "m1"), ("", "m1")]


def test_text_that_only_the_end_of_a_block_tells_is_told() -> None:
    events = [START, begun({"type": "text", "text": ""}), ended({"type": "text", "text": "Hello"})]
    assert [chunk.content for chunk in chunks_of(events)] == ["Hello"]
    events.insert(2, delta({"type": "text-delta", "text": "Hel"}))
    assert [chunk.content for chunk in chunks_of(events)] == ["Hel", "lo"]


def test_what_is_unknown_is_passed_over_and_counted() -> None:
    translator = MessageToChunks(strict=True)
    for event in [
        START,
        {"event": "message-pause"},
        begun({"type": "text", "text": ""}),
        delta({"type": "smell-delta", "smell": "tea"}),
        delta({"type": "text-delta", "text": "Hi"}),
    ]:
        translator.feed(event)
    assert translator.skipped == 2
    assert translator.text == "Hi"


OUT_OF_ORDER = {
    "a delta of a block that never began": [START, delta({"type": "text-delta", "text": "x"})],
    "two starts of a block": [START, begun({"type": "text"}), begun({"type": "text"})],
    "an end before its start": [START, ended({"type": "text", "text": "x"})],
    "two ends of a block": [START, begun({"type": "text"}), ended({"type": "text"}), ended({"type": "text"})],
    "a delta after the block's end": [START, begun({"type": "text"}), ended({"type": "text"}), delta({"type": "text-delta"})],
    "two starts of a message": [START, START],
    "a block before the message": [begun({"type": "text"})],
    "the message's end before its start": [FINISH],
    "two ends of a message": [START, FINISH, FINISH],
}


@pytest.mark.parametrize("case", OUT_OF_ORDER)
def test_what_cannot_come_now_is_an_error_that_names_it(case: str) -> None:
    *before, last = OUT_OF_ORDER[case]
    translator = MessageToChunks(strict=True)
    for event in before:
        translator.feed(event)
    with pytest.raises(EventSequenceError) as caught:
        translator.feed(last)
    assert caught.value.event == last["event"]


@pytest.mark.parametrize("case", OUT_OF_ORDER)
def test_a_live_run_is_read_as_langchain_reads_it(case: str) -> None:
    translator = MessageToChunks()
    for event in OUT_OF_ORDER[case]:
        translator.feed(event)
    assert isinstance(translator.message(), AIMessage)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "content-block-delta", "delta": {"type": "text-delta", "text": "x"}},
        delta({"type": "text-delta", "text": "x"}, index=-1),
        {"event": "content-block-delta", "index": 0},
        begun("text"),
        ended(None),
    ],
)
def test_what_lacks_its_parts_is_an_error_that_shows_it(event: dict[str, Any]) -> None:
    translator = MessageToChunks(strict=True)
    translator.feed(START)
    with pytest.raises(EventFormatError) as caught:
        translator.feed(event)
    assert caught.value.value is event


def test_a_long_text_is_kept_whole() -> None:
    """Beyond the number of parts that are joined, with parts of a second block between them."""
    translator = MessageToChunks(strict=True)
    pieces = [f"{number} " for number in range(2000)]
    translator.feed(START)
    for index in (0, 1):
        translator.feed(begun({"type": "text", "text": ""}, index))
    for piece in pieces:
        translator.feed(delta({"type": "text-delta", "text": piece}))
        translator.hear(delta({"type": "text-delta", "text": piece}, 1))
    assert translator.text == "".join(pieces) * 2
    for index in (0, 1):
        assert translator.feed(ended({"type": "text", "text": "".join(pieces)}, index)) == []
    translator.feed(FINISH)
    assert [block["text"] for block in translator.message().content] == ["".join(pieces)] * 2


def test_what_is_only_heard_makes_the_same_message() -> None:
    """Where a model reports its tokens itself, nobody asks for chunks, and the message may be asked for all the same."""
    fed, heard = MessageToChunks(strict=True), MessageToChunks(strict=True)
    for event in SNAPSHOTS:
        fed.feed(event)
        heard.hear(event)
    assert heard.message() == fed.message()
    with pytest.raises(EventSequenceError):
        heard.hear(SNAPSHOTS[1])


@pytest.mark.parametrize("field", ["content_block", "content"])
def test_parts_may_be_blocks(field: str) -> None:
    """As they were before there were deltas, and as LangGraph's server tells the output of tools."""
    part = {"event": "content-block-delta", "index": 0, field: {"type": "text", "text": "rain"}}
    events = [START, begun({"type": "text", "text": ""}), part, ended({"type": "text", "text": "rain"}), FINISH]
    assert [chunk.content for chunk in chunks_of(events, strict=True)] == ["rain", ""]
