"""How runs end in each protocol: cut short, waiting for a human, leaving calls to the client; and what stays secret."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk

from callbridge.errors import ArgumentError
from callbridge.web import AGUIFormat, AISDKFormat, Failure, OpenAIFormat
from web.protocols import READERS, Seen

FORMATS: dict[str, Any] = {"ai-sdk": AISDKFormat, "ag-ui": AGUIFormat, "openai": OpenAIFormat}
each_format = pytest.mark.parametrize("name", FORMATS)
SECRET = "swordfish"


def event(name: str, run_id: str = "m", parents: Any = ("r",), shown: str = "model", **data: Any) -> Any:
    return {
        "event": name,
        "run_id": run_id,
        "parent_ids": list(parents),
        "name": shown,
        "tags": [],
        "metadata": {},
        "data": data,
    }


def texts(name: str, *events: Any, failure: Failure | None = None, **options: Any) -> list[str]:
    encoder = FORMATS[name](**options).begin()
    made = [frame.data for each in events for frame in encoder.feed(each)]
    made += [frame.data for frame in (encoder.fail(failure) if failure else ())]
    return made + [frame.data for frame in encoder.end()]


def seen(name: str, *events: Any, **options: Any) -> Seen:
    return READERS[name](texts(name, *events, **options))


def said(reason: str, **more: Any) -> Any:
    usage: Any = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return event(
        "on_chat_model_end", output=AIMessage("Half", response_metadata={"finish_reason": reason}, usage_metadata=usage, **more)
    )


def test_a_model_that_ran_out_of_tokens_has_not_finished() -> None:
    """The run has ended well, the answer has not; both protocols that have a word for it say it."""
    assert seen("ai-sdk", said("length")).reason == "length"
    assert seen("openai", said("max_tokens")).reason == "length"
    assert seen("openai", said("content_filter")).reason == "content_filter"


CALL = {"name": "pick", "args": {"n": 1}, "id": "c", "type": "tool_call"}


def test_calls_that_nobody_made_are_the_clients() -> None:
    """And those that the run has made itself are not sent again, whatever the model says why it ended."""
    (call,) = seen("openai", said("tool_calls", tool_calls=[CALL])).tools
    assert call["function"] == {"name": "pick", "arguments": '{"n":1}'}
    assert seen("openai", said("tool_calls", tool_calls=[CALL])).reason == "tool_calls"
    assert seen("ai-sdk", said("tool_calls", tool_calls=[CALL])).reason == "tool-calls"
    made = [event("on_tool_start", "t", shown="pick", input={"n": 1}), event("on_tool_end", "t", shown="pick", output="x")]
    assert seen("openai", said("tool_calls", tool_calls=[CALL]), *made).tools == []
    assert seen("openai", said("tool_calls", tool_calls=[CALL]), *made).reason == "stop"
    assert seen("ai-sdk", said("tool_calls", tool_calls=[CALL]), *made).reason == "stop"


class Interrupt:
    id, value = "i1", {"ask": "sure?"}


def test_a_run_that_waits_for_a_human_has_not_finished() -> None:
    """Each protocol says so as it can."""
    waits = event("on_chain_end", "r", (), output={"__interrupt__": (Interrupt(),)})
    for_ai = seen("ai-sdk", waits)
    assert (for_ai.custom, for_ai.reason) == ([("interrupt", {"id": "i1", "value": {"ask": "sure?"}})], "other")
    assert seen("ag-ui", waits).end == "interrupt"
    assert '"interrupts":[{"id":"i1","reason":"interrupt","message":"{\\"ask\\":\\"sure?\\"}"}]' in texts("ag-ui", waits)[-1]
    assert seen("openai", waits).end == "interrupt"


@each_format
def test_what_it_has_cost_is_said_if_asked(name: str) -> None:
    option = {"include_usage": True} if name == "openai" else {"send_usage": True}
    assert seen(name, said("stop")).usage is None
    assert "16" in repr(seen(name, said("stop"), said("stop") | {"run_id": "n"}, **option).usage)


@each_format
@pytest.mark.parametrize(
    "value",
    [float("nan"), object(), {1: 2}, {"a": {1, 2}}, "\ud83c"],
    ids=["nan", "object", "number as a key", "set", "half a character"],
)
def test_what_is_no_json_is_sent_all_the_same(name: str, value: Any) -> None:
    """A tool may return anything, and a custom event may carry it."""
    made = [
        said("tool_calls", tool_calls=[CALL]),
        event("on_tool_start", "t", shown="pick", input={"n": 1}),
        event("on_tool_end", "t", shown="pick", output=value),
        event("on_custom_event", "r", (), "progress") | {"data": value},
    ]
    if value == "\ud83c":  # half of a character, which the framing mends
        assert texts(name, *made)
        return
    assert seen(name, *made).end == "finish"


def secret_run() -> list[Any]:
    thought = AIMessageChunk(content=[{"type": "reasoning", "reasoning": f"{SECRET} thought"}])
    return [
        event("on_chain_start", "r", (), input={"question": SECRET}),
        event("on_prompt_start", "p", input={"question": SECRET}),
        event(
            "on_retriever_end",
            "q",
            output=[Document(SECRET, metadata={"title": "Tea", "source": f"/{SECRET}/tea.md"})],
            input={"query": SECRET},
        ),
        event("on_chat_model_start", input={"messages": [[SECRET]]}),
        event("on_chat_model_stream", chunk=thought),
        event("on_chat_model_end", output=AIMessage("Tea.", tool_calls=[CALL]), input={"messages": [[SECRET]]}),
        event("on_tool_start", "t", shown="pick", input={"n": 1, "token": SECRET}),
        event("on_tool_error", "t", shown="pick", error=ValueError(f"{SECRET} error"), input={"n": 1, "token": SECRET}),
        event("on_tool_start", "u", shown="lookup", input={"key": f"{SECRET} input"}),
        event("on_tool_end", "u", shown="lookup", output="found", input={"key": SECRET}),
        event("on_chain_end", "r", (), output={"answer": "Tea.", "state": SECRET}, input={"question": SECRET}),
    ]


@each_format
def test_secrets_stay_unless_they_are_asked_for(name: str) -> None:
    """Inputs, prompts, reasoning, what documents say, what errors say; each option shows what it is for and nothing else."""
    assert SECRET not in "".join(texts(name, *secret_run(), failure=Failure()))
    for option, shown in (("send_reasoning", "thought"), ("show_errors", "error"), ("send_inputs", "input")):
        found = "".join(texts(name, *secret_run(), **{option: True}))
        expected = [] if name == "openai" and option != "send_reasoning" else [f"{SECRET} {shown}"]
        assert [f"{SECRET} {each}" for each in ("thought", "error", "input") if f"{SECRET} {each}" in found] == expected
        assert found.count(SECRET) == len(expected)


@pytest.mark.parametrize("value", ["search", 3, None])
def test_options_that_cannot_be_are_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="send_tools"):
        AISDKFormat(send_tools=value)
    with pytest.raises(ArgumentError, match="model"):
        OpenAIFormat(model=3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="thread_id"):
        AGUIFormat(thread_id=3)  # type: ignore[arg-type]


def test_the_time_of_a_completion_is_that_of_its_run() -> None:
    """So that the same run is told in the same bytes; ids of version 7 have the time in them."""
    run = "0192a6d0-0000-7000-8000-000000000000"
    assert '"created":1729375502,' in texts("openai", event("on_chain_start", run, ()))[0]
    assert '"created":0' in texts("openai", event("on_chain_start", "no-uuid", ()))[0]


def test_a_blank_line_may_stand_between_texts() -> None:
    two = [said("stop"), said("stop") | {"run_id": "n"}]
    assert seen("openai", *two).texts == ["HalfHalf"]
    assert seen("openai", *two, between="\n\n").texts == ["Half\n\nHalf"]
