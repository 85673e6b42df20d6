"""`CallsToEvents`: what the differential suite does not reach: extended events, repair, root rules, what is remembered."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, GenerationChunk, LLMResult

from callbridge import Call, CallFormatError, CallsToEvents, RunUnfinishedError


def start(encode: CallsToEvents, run_id: UUID, parent: UUID | None = None, **kwargs: Any) -> list[Any]:
    return list(encode.on_chain_start(None, {"x": 1}, run_id=run_id, parent_run_id=parent, name="chain", **kwargs))


def chat(encode: CallsToEvents, run_id: UUID, parent: UUID | None = None, **kwargs: Any) -> list[Any]:
    messages = [[HumanMessage(content="hi")]]
    return list(encode.on_chat_model_start({}, messages, run_id=run_id, parent_run_id=parent, name="model", **kwargs))


def said(text: str) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=AIMessage(content=text))]])


# Stand-ins, told by name as LangGraph's own are.
GraphBubbleUp = type("GraphBubbleUp", (Exception,), {})
GraphInterrupt = type("GraphInterrupt", (GraphBubbleUp,), {})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (GraphInterrupt("ask"), "interrupted"),
    ],
)
def test_extended_errors_say_how_the_run_ended(error: BaseException, status: str) -> None:
    """A failed, a cancelled and an interrupted run are told apart, and the error is the very object."""
    encode, run_id = CallsToEvents(extended=True), uuid4()
    start(encode, run_id)
    (event,) = encode.on_chain_error(error, run_id=run_id)
    assert event["event"] == "on_chain_error"
    assert event["data"] == {"error": error, "input": {"x": 1}, "status": status}


def test_strict_events_have_no_chain_error() -> None:
    """v2 says nothing of a failed chain."""
    encode, run_id = CallsToEvents(), uuid4()
    start(encode, run_id)
    assert list(encode.on_chain_error(ValueError(), run_id=run_id)) == []
    assert encode.runs == 0


def test_extended_mode_ends_what_its_parent_left_open() -> None:
    """A model run that a fallback rescued ends just before its parent, once, and later reports of it are dropped."""
    encode, root, model = CallsToEvents(extended=True), uuid4(), uuid4()
    start(encode, root)
    chat(encode, model, root)
    events = encode.on_chain_end("rescued", run_id=root)
    assert [event["event"] for event in events] == ["on_chat_model_error", "on_chain_end"]
    assert isinstance(events[0]["data"]["error"], RunUnfinishedError)
    assert list(encode.on_llm_end(said("late"), run_id=model, parent_run_id=root)) == []
    assert encode.runs == 0


def test_child_of_a_cancelled_run_is_cancelled_with_it() -> None:
    """A cancelled `ainvoke` of a chat model reports nothing: its end comes with its parent's, for the same reason."""
    encode, root, model = CallsToEvents(extended=True), uuid4(), uuid4()
    error = asyncio.CancelledError()
    start(encode, root)
    chat(encode, model, root)
    child, parent = encode.on_chain_error(error, run_id=root)
    assert (child["data"]["error"], child["data"]["status"]) == (error, "cancelled")
    assert parent["data"]["status"] == "cancelled"


def test_tool_call_id_is_on_all_tool_events_of_the_extended_vocabulary() -> None:
    """It comes with the start where LangChain gives it, else from the tool's message."""
    encode, first, second = CallsToEvents(extended=True), uuid4(), uuid4()
    (started,) = encode.on_tool_start({"name": "t"}, "{}", run_id=first, inputs={"a": 1}, tool_call_id="call_1")
    (ended,) = encode.on_tool_end("done", run_id=first)
    encode.on_tool_start({"name": "t"}, "{}", run_id=second, inputs={"a": 1})
    (message_ended,) = encode.on_tool_end(ToolMessage("done", tool_call_id="call_2"), run_id=second)
    assert [event["data"]["tool_call_id"] for event in (started, ended, message_ended)] == ["call_1", "call_1", "call_2"]


@pytest.mark.parametrize(
    ("chunk", "run_type"),
    [(GenerationChunk(text="a"), "llm"), (ChatGenerationChunk(message=AIMessageChunk("a")), "chat_model")],
)
def test_model_run_without_a_start_is_started_from_its_first_token(chunk: Any, run_type: str) -> None:
    """An inline tracer makes LangChain forget other handlers' `on_llm_start`: the run is not lost."""
    encode, root, run_id = CallsToEvents(), uuid4(), uuid4()
    start(encode, root)
    events = list(encode.on_llm_new_token("a", chunk=chunk, run_id=run_id, parent_run_id=root, tags=["t"]))
    events += encode.on_llm_new_token("a", chunk=chunk, run_id=run_id, parent_run_id=root, tags=["t"])
    events += encode.on_llm_end(said("aa"), run_id=run_id, parent_run_id=root)
    assert [event["event"] for event in events] == [f"on_{run_type}_{phase}" for phase in ("start", "stream", "stream", "end")]
    assert all(event["parent_ids"] == [str(root)] and event["tags"] == ["t"] for event in events)


def test_model_run_without_start_and_tokens_is_started_from_its_end() -> None:
    """The same for a model that does not stream."""
    encode, run_id = CallsToEvents(), uuid4()
    assert [event["event"] for event in encode.on_llm_end(said("a"), run_id=run_id)] == [
        "on_chat_model_start",
        "on_chat_model_end",
    ]
    assert encode.runs == 0


def test_late_report_below_a_forgotten_parent_is_dropped() -> None:
    """The garbage collector ends abandoned runs when their root has long gone: no run is made up for them."""
    encode, gone = CallsToEvents(), uuid4()
    assert list(encode.on_llm_end(said("a"), run_id=uuid4(), parent_run_id=gone)) == []
    assert list(encode.on_chain_end("a", run_id=uuid4(), parent_run_id=gone)) == []
    assert list(encode.on_llm_new_token("a", run_id=uuid4(), parent_run_id=gone)) == []
    assert encode.runs == 0


class Ambiguous:
    """A value that has no truth value and compares to a thing without one, as an array does."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = object.__hash__


def test_values_without_truth_value_lose_no_event() -> None:
    """LangChain's handler fails on arrays and data frames as input, and their events are gone."""
    encode, run_id, value = CallsToEvents(), uuid4(), Ambiguous()
    (started,) = encode.on_chain_start(None, value, run_id=run_id)
    (ended,) = encode.on_chain_end(value, run_id=run_id)
    assert started["data"]["input"] is value
    assert ended["data"]["input"] is value


def test_root_rule_does_not_write_to_a_custom_events_payload() -> None:
    """If a custom event is the first to pass the filters it shows the root's input; the payload stays as it was."""
    payload = {"k": 1}
    encode = CallsToEvents(root_input="root", include_names=["mine"])
    (event,) = encode.on_custom_event("mine", payload, run_id=uuid4())
    assert (event["data"], payload) == ({"k": 1, "input": "root"}, {"k": 1})
    (text,) = CallsToEvents(root_input="root", include_names=["mine"]).on_custom_event("mine", "text", run_id=uuid4())
    assert text["data"] == "text"


def test_payloads_are_the_callers_own_objects() -> None:
    """Nothing is copied that need not be, and nothing written to."""
    encode, run_id = CallsToEvents(), uuid4()
    tags, metadata, inputs = ["a"], {"m": 1}, {"x": [1]}
    (event,) = encode.on_chain_start(None, inputs, run_id=run_id, tags=tags, metadata=metadata)
    assert event["tags"] is tags
    assert event["metadata"] is metadata
    assert event["data"]["input"] is inputs


def test_handler_below_the_root_names_the_parent_it_never_saw() -> None:
    """A handler attached to a model alone sees a root with a parent id, as LangChain's does."""
    encode, unseen, run_id = CallsToEvents(), uuid4(), uuid4()
    (event,) = chat(encode, run_id, unseen)
    assert event["parent_ids"] == [str(unseen)]
    encode.on_llm_end(said("a"), run_id=run_id)
    assert (encode.roots_ended, encode.open_roots, encode.runs) == (1, 0, 0)


def test_child_that_starts_after_its_parent_ended_keeps_its_ancestry() -> None:
    """As long as the root is open, a late child knows all its parents."""
    encode, root, parent, child = CallsToEvents(), uuid4(), uuid4(), uuid4()
    start(encode, root)
    start(encode, parent, root)
    encode.on_chain_end(1, run_id=parent)
    (event,) = start(encode, child, parent)
    assert event["parent_ids"] == [str(root), str(parent)]
    encode.on_chain_end(1, run_id=child)
    encode.on_chain_end(1, run_id=root)
    assert encode.runs == 0


@pytest.mark.parametrize("extended", [False, True])
def test_run_with_its_parents_id_goes_silent(extended: bool) -> None:
    """Strict v2 says nothing more of either, as LangChain; extended ends the parent; both see the root end."""
    encode, root = CallsToEvents(extended=extended), uuid4()
    assert [event["event"] for event in start(encode, root)] == ["on_chain_start"]
    assert start(encode, root, root) == []
    assert list(encode.on_chain_end("inner", run_id=root, parent_run_id=root)) == []
    assert encode.roots_ended == 0
    ended = list(encode.on_chain_end("outer", run_id=root))
    assert [event["data"]["output"] for event in ended] == (["outer"] if extended else [])
    assert (encode.roots_ended, encode.root_output, encode.runs) == (1, "outer", 0)


def test_nothing_is_said_below_a_run_with_its_parents_id() -> None:
    """Not of runs that were open already, not of later ones, not of custom events."""
    encode, root, before, after = CallsToEvents(), uuid4(), uuid4(), uuid4()
    start(encode, root)
    start(encode, before, root)
    start(encode, root, before)
    events = [*start(encode, after, root), *encode.on_custom_event("note", 1, run_id=after)]
    events += [*encode.on_chain_end(1, run_id=after), *encode.on_chain_end(1, run_id=before)]
    assert events == []


def test_token_of_a_model_with_its_parents_id_is_no_event_of_the_chain() -> None:
    """A chain has no tokens, so none are reported in its name."""
    encode, root = CallsToEvents(extended=True), uuid4()
    start(encode, root)
    chat(encode, root, root)
    assert list(encode.on_llm_new_token("a", run_id=root, parent_run_id=root)) == []
    assert list(encode.on_llm_end(said("a"), run_id=root, parent_run_id=root)) == []
    assert [event["event"] for event in encode.on_chain_end(1, run_id=root)] == ["on_chain_end"]


def test_thousand_runs_leave_nothing_behind() -> None:
    """Failed, dangling and good runs through one long-lived translator."""
    encode = CallsToEvents()
    for number in range(1000):
        root, child = uuid4(), uuid4()
        start(encode, root)
        chat(encode, child, root)
        if number % 3 == 0:
            encode.on_llm_error(ValueError(), run_id=child)
            encode.on_chain_error(ValueError(), run_id=root)
        elif number % 3 == 1:
            encode.on_chain_error(asyncio.CancelledError(), run_id=root)  # the child dangles
        else:
            encode.on_llm_end(said("a"), run_id=child)
            encode.on_chain_end(1, run_id=root)
    assert (encode.runs, encode.roots_ended) == (0, 1000)


@pytest.mark.parametrize(
    "call",
    [
        Call("on_nothing"),
        Call("on_chain_end", (1,)),
        Call("on_chain_start", ({}, {})),
        Call("on_llm_start", (), {"run_id": uuid4()}),
    ],
)
def test_calls_that_are_none_are_refused(call: Call) -> None:
    """A method that LangChain does not have, or one without its arguments, is named in the error."""
    with pytest.raises(CallFormatError, match=call.method):
        CallsToEvents().feed(call)
