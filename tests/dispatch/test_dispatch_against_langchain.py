"""Events to callbacks, with LangChain as the oracle: a driven handler hears what a handler hears that is attached to the run.

What is compared is every call, its order and its arguments, after `oracle.project` has dropped what events cannot carry. There
is no list of exceptions; the deliberate divergences are in `docs/divergences.md`.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

import callbridge as cb
from callbridge.compat import CORE_VERSION
from oracle import AsyncRecorder, Recorder, TextOnlyRecorder, calls_per_run, lost_errors, normalise, project, run_attached
from scenarios import SCENARIOS, WARNINGS, Scenario, as_params, by_name

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

Projected = list[dict[str, Any]]

STREAMED = [one for one in SCENARIOS if "astream_events" in one.modes]
FAILING = [one for one in STREAMED if one.kind in ("error", "fallback", "retry", "interrupt", "graph error") or one.raises]


def comparable(scenario: Scenario, projected: Projected) -> Any:
    return normalise(calls_per_run(projected) if scenario.concurrent else projected)


def is_terminal(method: str) -> bool:
    return method.endswith(("_chain_end", "_llm_end", "_tool_end", "_retriever_end", "_error"))


def driven_and_attached(scenario: Scenario, driven: Any, attached: Any) -> BaseException | None:
    """Attach one handler to a streamed run, and drive another one with its events as they come; return the run's error."""

    async def go() -> None:
        runnable, value = scenario.make()
        config = scenario.new_config()
        config["callbacks"] = [*(config.get("callbacks") or []), attached]
        await cb.adrive(runnable.astream_events(value, config, version="v2"), driven)

    try:
        asyncio.run(go())
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("scenario", as_params(STREAMED))
def test_a_driven_handler_hears_what_an_attached_one_hears(scenario: Scenario) -> None:
    """Same calls in the same order with the same values, but for what v2 events do not carry; and the same error."""
    driven, attached = Recorder(), Recorder()
    error = driven_and_attached(scenario, driven, attached)
    assert isinstance(error, scenario.raises) if scenario.raises else error is None
    lost, tokens = lost_errors(attached.calls), not scenario.self_reporting
    theirs, ours = (project(one.calls, lost=lost, root_tokens=tokens) for one in (attached, driven))
    assert comparable(scenario, ours) == comparable(scenario, theirs)


@pytest.mark.parametrize("scenario", as_params(FAILING))
def test_a_driven_handler_sees_every_run_closed_once(scenario: Scenario) -> None:
    """Each start has one end or error, a child's before its parent's, also where v2 tells of none (D7)."""
    driven = Recorder()
    driven_and_attached(scenario, driven, Recorder())
    open_runs: dict[UUID, UUID | None] = {}
    for method, _, kwargs in driven.calls:
        if method.endswith("_start"):
            open_runs[kwargs["run_id"]] = kwargs["parent_run_id"]
        elif is_terminal(method):
            assert kwargs["run_id"] not in open_runs.values()
            del open_runs[kwargs["run_id"]]
    assert open_runs == {}


def closed_late(calls: list[Any]) -> set[Any]:
    """The runs that LangChain closes after their parent, or never: a dispatched handler sees them closed in time (D7).

    An async generator that was dropped is closed by the loop while its parent's failure is being reported: which of the two a
    handler hears first differs from one handler of the run to the other, so such runs count as late.
    """
    parents: dict[Any, Any] = {}
    late: set[Any] = set()
    for method, args, kwargs in calls:
        if method.endswith("_start"):
            parents[kwargs["run_id"]] = kwargs.get("parent_run_id")
        elif is_terminal(method):
            parents.pop(kwargs["run_id"], None)
            late |= {kwargs["run_id"] for error in args[:1] if isinstance(error, GeneratorExit)}
            late |= {run_id for run_id, parent in parents.items() if parent == kwargs["run_id"]}
    return late | set(parents)


def extended_modes() -> list[Any]:
    """Every scenario called without streaming: sync, or async where that may fail or where runs overlap."""
    chosen = []
    for one in SCENARIOS:
        wanted = "ainvoke" if one in FAILING or one.concurrent else "invoke"
        mode = wanted if wanted in one.modes else one.modes[0]
        marks = [pytest.mark.skip(reason=f"needs {one.missing}")] if one.missing else []
        if mode != "astream_events":
            chosen.append(pytest.param(one, mode, id=f"{one.name}-{mode}", marks=marks))
    return chosen


@pytest.mark.parametrize(("scenario", "mode"), extended_modes())
def test_extended_events_carry_failures_and_notes_too(scenario: Scenario, mode: Any) -> None:
    """Driven by extended events a handler hears each failure where it happened, agent actions, texts and retries."""
    if scenario.name == "executor_react_unknown_tool" and mode == "ainvoke" and CORE_VERSION < (1,):
        pytest.skip("this LangChain writes into a tool's input when it has told of it")
    source, driven, attached = cb.EventStreamHandler(extended=True, roots=None), Recorder(), Recorder()
    run_attached(scenario, mode, [source, attached])
    source.finish()
    cb.drive(source, driven)
    late = closed_late(attached.calls)
    theirs, ours = (
        project(
            [call for call in one.calls if not (is_terminal(call[0]) and call[2]["run_id"] in late)],
            extended=True,
            root_edited=False,
        )
        for one in (attached, driven)
    )
    assert comparable(scenario, ours) == comparable(scenario, theirs)


SOME = ["chat_with_prompt_and_parser", "chat_tool_call_pieces", "llm_streaming_in_chain", "error_in_model_mid_stream"]


@pytest.mark.parametrize("scenario", as_params([by_name(name) for name in SOME]))
def test_an_async_handler_hears_the_same(scenario: Scenario) -> None:
    """In the loop that reads the events."""
    driven, attached = AsyncRecorder(), AsyncRecorder()
    driven_and_attached(scenario, driven, attached)
    theirs, ours = (project(one.calls, lost=lost_errors(attached.calls)) for one in (attached, driven))
    assert comparable(scenario, ours) == comparable(scenario, theirs)


@pytest.mark.parametrize("scenario", as_params([by_name(name) for name in SOME]))
def test_a_handler_of_completion_models_hears_the_same(scenario: Scenario) -> None:
    """One without `on_chat_model_start` gets the same prompts as text."""
    driven, attached = TextOnlyRecorder(), TextOnlyRecorder()
    driven_and_attached(scenario, driven, attached)

    def told(recorder: TextOnlyRecorder) -> list[Any]:
        return [
            (
                method,
                args[1] if method == "on_llm_start" else args[0] if method == "on_llm_new_token" else None,
                kwargs["run_id"],
            )
            for method, args, kwargs in recorder.calls
        ]

    assert told(driven) == told(attached)
