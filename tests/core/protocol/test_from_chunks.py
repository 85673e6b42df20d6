"""Chunks as message events, beside LangChain's own bridge."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from callbridge import compat
from callbridge.core.protocol.from_chunks import ChunksToMessage, message_events
from core.protocol.validity import assert_valid_message
from scripted import CALLS, MIXES, SCRIPTS, model, needs_v3, quiet_beta, read_v3


def events_of(chunks: list[AIMessageChunk], message_id: str | None = None, **options: Any) -> list[Any]:
    translator = ChunksToMessage(message_id, **options)
    return [event for chunk in chunks for event in translator.feed(chunk)] + translator.finish()


needs_appended_arguments = pytest.mark.skipif(
    not compat.HAS_TOOL_CALL_DELTA, reason="langchain-core before 1.7 tells arguments as snapshots"
)


@needs_v3
@quiet_beta
class TestAgainstLangChain:
    @needs_appended_arguments
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_chunks_of_stream_are_the_v3_stream(self, script: str) -> None:
        wanted = read_v3(model(script))
        assert events_of(list(model(script).stream("hi")), wanted[0]["id"]) == wanted

    @needs_appended_arguments
    @pytest.mark.parametrize("script", SCRIPTS)
    def test_a_whole_message_is_what_langchain_replays(self, script: str) -> None:
        bridge = pytest.importorskip("langchain_core.language_models._compat_bridge")
        for message in (model(script).invoke("hi"), model(script).stream_events("hi", version="v3").output):
            assert message_events(message) == list(bridge.message_to_events(message))

    @pytest.mark.parametrize("script", SCRIPTS)
    def test_what_is_made_can_be_read_by_langchains_own_stream(self, script: str) -> None:
        from langchain_core.language_models.chat_model_stream import ChatModelStream

        chunks = list(model(script).stream("hi"))
        stream = ChatModelStream()
        for event in events_of(chunks, "lc_run--7", snapshots=not compat.HAS_TOOL_CALL_DELTA):
            stream.dispatch(event)
        assert stream.output.text == "".join(chunk.text for chunk in chunks)
        calls = [call["args"] for chunk in chunks for call in chunk.tool_call_chunks if call["args"]]
        if compat.HAS_TOOL_CALL_DELTA:  # it hands out the snapshots of older ones as they are
            assert [call["args"] for call in stream.tool_calls] == calls
        wanted = model(script).stream_events("hi", version="v3").output
        if not (MIXES and script == "one tool call"):
            assert stream.output.tool_calls == wanted.tool_calls
            assert stream.output.invalid_tool_calls == wanted.invalid_tool_calls


@needs_v3
@pytest.mark.parametrize("snapshots", [False, True])
@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_made_is_valid(script: str, snapshots: bool) -> None:
    events = events_of(SCRIPTS[script], "lc_run--7", snapshots=snapshots)
    if not snapshots:
        assert_valid_message(events)
    assert_valid_message(message_events(model(script).invoke("hi")))


def test_no_chunk_makes_no_message() -> None:
    assert events_of([]) == []


def test_text_and_calls_are_told_on_every_langchain() -> None:
    """Before langchain-core 1.0 messages have no content blocks."""
    events = events_of([AIMessageChunk(content="Let me see."), *CALLS], "m1")
    ends = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert ends == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_call", "id": "c1", "name": "weather", "args": {"city": "Oslo"}},
    ]
    assert_valid_message(events)


def test_a_whole_message_is_told_on_every_langchain() -> None:
    called = {"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}
    events = message_events(AIMessage(content="Let me see.", tool_calls=[called]), "m1")
    ends = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert [{key: end.get(key) for key in ("type", "text", "args")} for end in ends] == [
        {"type": "text", "text": "Let me see.", "args": None},
        {"type": "tool_call", "text": None, "args": {"city": "Oslo"}},
    ]


def test_nothing_is_written_to() -> None:
    chunk = AIMessageChunk(content="a", additional_kwargs={"x": {"y": "1"}}, response_metadata={"m": "1"})
    before = chunk.model_copy(deep=True)
    events_of([chunk, chunk])
    assert chunk == before
