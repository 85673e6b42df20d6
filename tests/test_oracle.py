"""The oracle tests itself: scenarios are deterministic, and the comparisons see every difference that matters."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from oracle import (
    CALLBACK_METHODS,
    AsyncRecorder,
    Recorder,
    TextOnlyRecorder,
    arun_call,
    attached_reference_events,
    calls_per_run,
    direct_calls,
    langchain_events,
    lost_errors,
    normalise,
    per_run,
    project,
    reference_events,
    run_attached,
)
from scenarios import AVAILABLE, FILTERS, SCENARIOS, SYNC, WARNINGS, Flaw, Scenario, as_params, by_name

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

Events = list[dict[str, Any]]


def comparable(scenario: Scenario, events: Events) -> Any:
    return per_run(events) if scenario.concurrent else normalise(events)


# -- the scenarios


@pytest.mark.parametrize("scenario", as_params([one for one in SCENARIOS if "astream_events" in one.modes][::8]))
def test_a_scenario_gives_the_same_events_twice(scenario: Scenario) -> None:
    """Two runs of a scenario differ in ids and times only, and end as the scenario says.

    An eighth of the scenarios: of the others, `observe/test_against_langchain.py` compares two runs.
    """
    (first, error), (second, again) = reference_events(scenario), reference_events(scenario)
    assert first
    assert comparable(scenario, first) == comparable(scenario, second)
    assert normalise(error) == normalise(again)
    assert isinstance(error, scenario.raises) if scenario.raises else error is None


@pytest.mark.parametrize("scenario", as_params([one for one in SCENARIOS if "astream_events" not in one.modes]))
def test_a_scenario_gives_the_same_attached_events_twice(scenario: Scenario) -> None:
    """The same with LangChain's handler attached, where `astream_events` makes no sense."""
    mode = scenario.modes[0]
    (first, error), (second, again) = (attached_reference_events(scenario, mode) for _ in range(2))
    if "batch" in mode:
        assert per_run(first) == per_run(second)
    else:
        assert comparable(scenario, first) == comparable(scenario, second)
    assert normalise(error) == normalise(again)
    assert isinstance(error, scenario.raises) if scenario.raises else error is None


def test_every_kind_of_the_contract_has_scenarios() -> None:
    """At least one scenario can run here for each kind of runnable that the suite has to cover."""
    kinds = {one.kind for one in AVAILABLE}
    wanted = {"sequence", "parallel", "assign", "branch", "fallback", "retry", "generator", "binding", "map", "configurable"}
    wanted |= {"prompt", "parser", "chat_model", "llm", "tool", "retriever", "history", "legacy", "agent executor", "graph"}
    wanted |= {"prebuilt agent", "subgraph", "interrupt", "graph error", "custom", "error", "nested", "scopes"}
    assert wanted <= kinds
    assert len(AVAILABLE) >= 110


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: "-".join(filters))
def test_a_filter_lets_some_events_through_and_holds_others_back(filters: dict[str, list[str]]) -> None:
    """No filter is idle on the scenarios marked for it, but the one that is meant to match nothing."""
    names = ("scopes_all_at_once", "tool_called_by_model", "custom_dict_payload", "parallel_of_two", "chat_nostream_tags")
    assert all(by_name(name).filtered for name in names)
    whole = sum(len(reference_events(by_name(name))[0]) for name in names)
    left = sum(len(reference_events(by_name(name), **filters)[0]) for name in names)
    assert left == 0 if filters is FILTERS[-1] else 0 < left < whole


# -- normalise


def chain_events() -> Events:
    events, _ = reference_events(by_name("chat_with_prompt_and_parser"))
    return events


def _change_chunk(events: Events) -> None:
    chunk = next(event for event in events if event["event"] == "on_chat_model_stream")["data"]
    chunk["chunk"] = chunk["chunk"].model_copy(update={"content": "another"})


def _drop(events: Events) -> None:
    del events[3]


def _swap(events: Events) -> None:
    events[3], events[4] = events[4], events[3]


def _change_parent(events: Events) -> None:
    other = next(event["run_id"] for event in events if event["name"] == "ChatPromptTemplate")
    next(event for event in events if event["event"] == "on_chat_model_stream")["parent_ids"].append(other)


def _change_run(events: Events) -> None:
    next(event for event in events if event["event"] == "on_chat_model_end")["run_id"] = str(uuid4())


def _change_tags(events: Events) -> None:
    events[-1]["tags"] = ["more"]


def _change_metadata(events: Events) -> None:
    events[-1]["metadata"] = {"more": 1}


def _change_class(events: Events) -> None:
    end = next(event for event in events if event["event"] == "on_chat_model_end")["data"]
    other = AIMessage if isinstance(end["output"], AIMessageChunk) else AIMessageChunk
    end["output"] = other(content=end["output"].content, id=end["output"].id)


def _change_id_prefix(events: Events) -> None:
    data = next(event for event in events if event["event"] == "on_chat_model_stream")["data"]
    data["chunk"] = data["chunk"].model_copy(update={"id": f"other-{data['chunk'].id}"})


def _change_id(events: Events) -> None:
    data = next(event for event in events if event["event"] == "on_chat_model_stream")["data"]
    data["chunk"] = data["chunk"].model_copy(update={"id": data["chunk"].id.replace(data["chunk"].id[-6:], "abcdef")})


def _change_type(events: Events) -> None:
    events[0]["data"]["input"] = tuple(events[0]["data"]["input"].items())


CHANGES: list[Callable[[Events], None]] = [
    _change_chunk,
    _drop,
    _swap,
    _change_parent,
    _change_run,
    _change_tags,
    _change_metadata,
    _change_class,
    _change_id_prefix,
    _change_id,
    _change_type,
]


@pytest.mark.parametrize("change", CHANGES)
def test_normalise_sees_a_change(change: Callable[[Events], None]) -> None:
    """Each single change to an event list changes what `normalise` makes of it."""
    events = chain_events()
    changed = copy.deepcopy(events)
    change(changed)
    assert normalise(changed) != normalise(events)


@pytest.mark.parametrize("change", [one for one in CHANGES if one not in (_swap, _change_run, _change_parent)])
def test_per_run_sees_a_change(change: Callable[[Events], None]) -> None:
    """So it is with `per_run`, but for the order between runs."""
    events = chain_events()
    changed = copy.deepcopy(events)
    change(changed)
    assert per_run(changed) != per_run(events)


def test_normalise_leaves_its_input_alone() -> None:
    """The events are as they were."""
    events = chain_events()
    before = copy.deepcopy(events)
    normalise(events)
    assert events == before


def test_normalise_tells_exceptions_apart_by_type_and_arguments() -> None:
    """Equal errors of two runs are equal; another argument or type is a difference."""
    assert normalise(Flaw("a")) == normalise(Flaw("a"))
    assert normalise(Flaw("a")) != normalise(Flaw("b"))
    assert normalise(Flaw("a")) != normalise(ValueError("a"))


def test_normalise_keeps_equal_ids_equal_and_different_ones_different() -> None:
    """Labels stand for ids one to one, wherever the ids are."""
    one, two = str(uuid4()), str(uuid4())
    assert normalise([one, f"run-{one}", two]) == normalise([two, f"run-{two}", one])
    assert normalise([one, f"run-{one}"]) != normalise([one, f"run-{two}"])
    assert normalise([one]) != normalise([f"run-{one}"])


# -- per_run


def parallel_events() -> Events:
    events, _ = reference_events(by_name("parallel_of_two"))
    return events


def test_per_run_forgives_another_order_of_siblings() -> None:
    """The events of one branch before those of the other, or the other way round: the same forest."""
    events = parallel_events()
    branches = [event for event in events if event["name"] == "add_one"]
    later = [event for event in events if event["name"] == "double"]
    root = [event for event in events if event["parent_ids"] == []]
    assert len(root) + len(branches) + len(later) == len(events)
    one = per_run([root[0], *branches, *later, *root[1:]])
    assert one == per_run([root[0], *later, *branches, *root[1:]]) == per_run(events)


def test_per_run_sees_another_order_within_a_run() -> None:
    """The end before the last chunk is a difference."""
    events = chain_events()
    positions = [index for index, event in enumerate(events) if event["name"] == "StrOutputParser"]
    changed = list(events)
    changed[positions[-1]], changed[positions[-2]] = changed[positions[-2]], changed[positions[-1]]
    assert per_run(changed) != per_run(events)


def test_per_run_sees_a_run_below_another_parent() -> None:
    """A run that hangs below its sibling is a difference."""
    events = parallel_events()
    other = next(event["run_id"] for event in events if event["name"] == "add_one")
    moved = [{**e, "parent_ids": [*e["parent_ids"], other]} if e["name"] == "double" else e for e in events]
    ordered = sorted(moved, key=lambda event: event["name"] == "double")
    assert per_run(ordered) != per_run(events)


def test_per_run_refuses_a_child_before_its_parent() -> None:
    """The order between a parent's and its child's first event is checked, not given up."""
    events = parallel_events()
    with pytest.raises(AssertionError, match="before its parent"):
        per_run([*events[1:], events[0]])


def test_per_run_refuses_events_of_one_run_with_different_parents() -> None:
    """The events of a run agree about its parents."""
    events = parallel_events()
    changed = [*events[:-1], {**events[-1], "parent_ids": [str(uuid4())]}]
    with pytest.raises(AssertionError, match="has the parents"):
        per_run(changed)


# -- the reference handler


def test_attached_events_of_a_streamed_chain_are_those_of_astream_events() -> None:
    """LangChain's handler attached to `astream` differs from `astream_events` in the root's input only."""
    scenario = by_name("sequence_nested")
    attached, _ = attached_reference_events(scenario, "astream")
    whole, _ = reference_events(scenario)
    attached[0]["data"]["input"] = whole[0]["data"]["input"]
    del attached[-1]["data"]["input"]
    assert normalise(attached) == normalise(whole)


@pytest.mark.anyio
async def test_attached_events_can_be_taken_inside_a_running_loop() -> None:
    """A sync mode runs in a thread of its own then, and yields the same."""
    scenario = by_name("chat_with_prompt_and_parser")
    inside, _ = attached_reference_events(scenario, "invoke")
    outside, _ = await asyncio.to_thread(attached_reference_events, scenario, "invoke")
    assert normalise(inside) == normalise(outside) != []


def test_a_filter_leaves_the_attached_events_that_pass() -> None:
    """Filters apply to the attached handler as to `astream_events`."""
    events, _ = attached_reference_events(by_name("chat_with_prompt_and_parser"), "invoke", include_types=["prompt"])
    assert [event["event"] for event in events] == ["on_prompt_start", "on_prompt_end"]


# -- recorders and projection


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
@pytest.mark.parametrize("recorder", [Recorder, AsyncRecorder])
def test_recorders_write_down_every_call(recorder: Any, mode: Any) -> None:
    """Sync and async recorders see the same calls of a run, in the same order."""
    calls, _ = direct_calls(by_name("chat_with_prompt_and_parser"), mode, recorder())
    assert [call[0] for call in calls] == [
        "on_chain_start",
        "on_chain_start",
        "on_chain_end",
        "on_chat_model_start",
        "on_llm_end",
        "on_chain_start",
        "on_chain_end",
        "on_chain_end",
    ]
    assert all(call[0] in CALLBACK_METHODS and "run_id" in call[2] for call in calls)


def test_a_text_only_recorder_gets_chat_models_as_text() -> None:
    """Without `on_chat_model_start` LangChain falls back to `on_llm_start`."""
    calls, _ = direct_calls(by_name("chat_root_text"), "invoke", TextOnlyRecorder())
    assert (calls[0][0], calls[0][1][1]) == ("on_llm_start", ["Human: hi"])


def test_a_snapshot_shows_payloads_as_they_were() -> None:
    """Whatever writes to a payload later does not change the log."""
    recorder = Recorder(snapshot=True)
    run_attached(by_name("sequence_of_two"), "invoke", [recorder])
    recorder.calls[0][2]["tags"].append("written")
    live = Recorder()
    run_attached(by_name("sequence_of_two"), "invoke", [live])
    payload: list[int] = []
    recorder.on_custom_event("n", payload, run_id=uuid4())  # type: ignore[attr-defined]
    live.on_custom_event("n", payload, run_id=uuid4())  # type: ignore[attr-defined]
    payload.append(1)
    assert (recorder.calls[-1][1][1], live.calls[-1][1][1]) == ([], [1])


def test_projection_makes_sync_and_async_runs_equal() -> None:
    """What differs between the sync and the async callback managers is nothing that events carry."""
    logs = [direct_calls(by_name("chat_with_prompt_and_parser"), mode)[0] for mode in ("stream", "astream")]
    one, two = (normalise(project(log)) for log in logs)
    assert one == two
    assert normalise(logs[0]) != normalise(logs[1])


def _other_token(calls: list[Any]) -> None:
    index = next(i for i, call in enumerate(calls) if call[0] == "on_llm_new_token")
    method, _, kwargs = calls[index]
    calls[index] = (method, ("another",), {key: value for key, value in kwargs.items() if key != "token"})


def _other_parent(calls: list[Any]) -> None:
    method, args, kwargs = calls[2]
    calls[2] = (method, args, {**kwargs, "parent_run_id": uuid4()})


def _other_output(calls: list[Any]) -> None:
    method, _, kwargs = calls[-1]
    calls[-1] = (method, ("another",), kwargs)


def _other_name(calls: list[Any]) -> None:
    method, args, kwargs = calls[1]
    calls[1] = (method, args, {**kwargs, "name": "another"})


def _without_one(calls: list[Any]) -> None:
    del calls[4]


def _swapped(calls: list[Any]) -> None:
    calls[2], calls[3] = calls[3], calls[2]


@pytest.mark.parametrize("change", [_other_token, _other_parent, _other_output, _other_name, _without_one, _swapped])
def test_projection_sees_a_change(change: Callable[[list[Any]], None]) -> None:
    """What events carry is still compared: values, parents, names, presence and order."""
    calls, _ = direct_calls(by_name("chat_with_prompt_and_parser"), "stream")
    changed = list(calls)
    change(changed)
    assert normalise(project(changed)) != normalise(project(calls))


def test_errors_that_nobody_can_know_are_named() -> None:
    """A rescued run's error is lost; errors that end the whole call are not."""
    rescued, _ = direct_calls(by_name("fallback_rescues"), "invoke")
    assert len(lost_errors(rescued)) == 1
    fatal, _ = direct_calls(by_name("error_three_levels_down"), "invoke")
    assert lost_errors(fatal) == set()
    assert [call["method"] for call in project(fatal)][-4:] == ["on_chain_error"] * 4


def test_projection_refuses_a_parent_that_failed_before_its_child() -> None:
    """Error calls are compared without their order among siblings, but an inner run always fails first."""
    fatal, _ = direct_calls(by_name("error_three_levels_down"), "invoke")
    fatal[-1], fatal[-2] = fatal[-2], fatal[-1]
    with pytest.raises(AssertionError, match="failed before"):
        project(fatal)


@pytest.mark.anyio
async def test_two_logs_of_one_concurrent_run_are_equal_per_run() -> None:
    """Grouped by run, what two handlers saw of the same call is the same."""
    runnable, value = by_name("parallel_nested").make()
    first, second = Recorder(), AsyncRecorder()
    await arun_call("ainvoke", runnable, value, {"callbacks": [first, second]})
    one, two = (normalise(calls_per_run(project(recorder.calls))) for recorder in (first, second))
    assert one == two


@pytest.mark.anyio
async def test_langchain_events_returns_the_error_with_the_events_before_it() -> None:
    """The error is handed back, after everything that came before it."""
    runnable, value = by_name("error_in_last_step").make()
    events, error = await langchain_events(runnable, value)
    assert isinstance(error, Flaw)
    assert events[0]["event"] == "on_chain_start"


def test_sync_modes_are_called_without_a_loop() -> None:
    """What observes a sync mode of the suite observes a thread in which no loop runs."""
    seen: list[bool] = []

    class Watching(Recorder):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            try:
                asyncio.get_running_loop()
                seen.append(True)
            except RuntimeError:
                seen.append(False)

    for mode in SYNC:
        run_attached(by_name("lambda_root"), mode, [Watching()])
    assert seen == [False] * 4
