"""v2 events as protocol events, beside what LangGraph itself yields for the same graph."""

from __future__ import annotations

import re
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

import callbridge as cb
from callbridge import compat
from core.protocol.validity import assert_valid_message, messages_of
from scripted import CALLS, SCRIPTS, model, needs_v3, quiet_beta, turns

like_langgraph = [
    needs_v3,
    quiet_beta,
    pytest.mark.skipif(not compat.HAS_TOOL_CALL_DELTA, reason="langchain-core before 1.7 tells arguments as snapshots"),
]


def protocol_of(events: Any, **options: Any) -> list[Any]:
    translator = cb.EventsToProtocol(**options)
    return [made for event in events for made in translator.feed(event)]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def broken(city: str) -> str:
    """Raise."""
    raise ConnectionError("no net")


def agent(tool: Any = weather, **fields: Any) -> Any:
    agents = pytest.importorskip("langchain.agents")
    call = [chunk.model_copy(deep=True) for chunk in CALLS]
    call[0].tool_call_chunks[0]["name"] = tool.__name__
    return agents.create_agent(turns(call, "text", **fields), tools=[tool])


def graph() -> Any:
    graphs = pytest.importorskip("langgraph.graph")

    def talk(state: Any) -> Any:
        return {"messages": [model("usage").invoke(state["messages"])]}

    child = graphs.StateGraph(graphs.MessagesState).add_node("inner", talk).add_edge("__start__", "inner").compile(name="child")
    around = graphs.StateGraph(graphs.MessagesState)
    around.add_node("talk", talk).add_node("child", child).add_node("wrap", lambda state: child.invoke(state))
    around.add_edge("__start__", "talk").add_edge("talk", "child").add_edge("child", "wrap")
    return around.compile()


def compared(envelopes: Any, channel: str) -> list[Any]:
    """Return what has to be equal: without ids, which each run has of its own."""
    found = []
    for one in envelopes:
        if one["method"] == channel:
            data = one["params"]["data"]
            data = data[0] if isinstance(data, tuple) else data
            told = {key: value for key, value in data.items() if key not in ("id", "trigger_call_id")}
            if isinstance(told.get("output"), ToolMessage):
                told["output"] = told["output"].model_copy(update={"id": None})
            found.append(repr((one["params"]["namespace"], told)))
    return [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text) for text in found]


@pytest.mark.parametrize("channel", ["messages", "tools", "lifecycle"])
@pytest.mark.parametrize("name", ["agent", "graph", "silent agent"])
class TestAgainstLangGraph:
    pytestmark = like_langgraph

    def test_equal_to_its_own(self, name: str, channel: str) -> None:
        made = graph if name == "graph" else lambda: agent(reports="" if name == "silent agent" else "before")
        wanted = compared(made().stream_events({"messages": ["hi"]}, version="v3"), channel)
        found = compared(protocol_of(cb.stream_events(made(), {"messages": ["hi"]}, extended=True)), channel)
        assert found == wanted
        assert wanted or channel == ("tools" if name == "graph" else "lifecycle")


@needs_v3
@quiet_beta
def test_a_failing_tool_is_told() -> None:
    with cb.stream_events(agent(broken), {"messages": ["hi"]}, extended=True) as stream:
        made: list[Any] = []
        translator = cb.EventsToProtocol()
        with pytest.raises(ConnectionError):
            for event in stream:
                made += translator.feed(event)
    told = [one["params"]["data"] for one in made if one["method"] == "tools"]
    assert [(one["event"], one["tool_call_id"]) for one in told] == [("tool-started", "c1"), ("tool-error", "c1")]
    assert told[1]["message"] == "no net"
    assert made[-1]["params"]["data"] == {"event": "failed", "namespace": [], "error": "no net"}


@needs_v3
@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_made_of_a_model_is_valid(script: str) -> None:
    made = protocol_of(cb.stream_events(model(script), "hi"))
    (events,) = messages_of(made).values()
    assert_valid_message(events)


def test_a_model_that_does_not_stream_is_told_whole() -> None:
    model_run = {"name": "m", "run_id": "7", "tags": [], "metadata": {}, "parent_ids": []}
    start = {**model_run, "event": "on_chat_model_start", "data": {"input": {"messages": [[]]}}}
    end = {**model_run, "event": "on_chat_model_end", "data": {"output": {"type": "ai", "content": "Yes."}}}
    made = [one["params"]["data"] for one in protocol_of([start, end])]
    assert [one["event"] for one in made] == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    assert made[0]["id"] == "lc_run--7"
    assert_valid_message(made)


def test_the_input_and_the_output_of_the_root_are_values() -> None:
    from langchain_core.runnables import RunnableLambda

    made = protocol_of(cb.stream_events(RunnableLambda(lambda x: x + 1), 1))
    assert [(one["method"], one["params"]["data"]) for one in made] == [("values", 1), ("values", 2)]
    assert [one["seq"] for one in made] == [1, 2]


def test_a_string_model_speaks_too() -> None:
    run = {"name": "m", "run_id": "7", "tags": [], "metadata": {}, "parent_ids": []}
    start = {**run, "event": "on_llm_start", "data": {"input": {"prompts": ["hi"]}}}
    chunk = {**run, "event": "on_llm_stream", "data": {"chunk": "Yes."}}
    end = {**run, "event": "on_llm_end", "data": {"output": {"generations": [[{"text": "Yes."}]]}}}
    for events in ([start, chunk, end], [start, end]):
        (told,) = messages_of(protocol_of(events)).values()
        assert_valid_message(told)
        assert told[-2]["content"]["text"] == "Yes."


def test_a_clock_gives_the_times() -> None:
    from langchain_core.runnables import RunnableLambda

    times = iter((5, 6))
    made = protocol_of(cb.stream_events(RunnableLambda(lambda x: x), 1), clock=lambda: next(times))
    assert [one["params"]["timestamp"] for one in made] == [5, 6]


def test_nothing_is_remembered_of_what_is_over() -> None:
    translator = cb.EventsToProtocol()
    for event in cb.stream_events(model(), "hi"):
        translator.feed(event)
    assert not translator._runs
    assert not translator._families
    assert not translator._graphs


def test_what_is_no_event_is_an_error() -> None:
    with pytest.raises(cb.EventFormatError):
        cb.EventsToProtocol().feed({"event": "on_chat_model_stream"})
