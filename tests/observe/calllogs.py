"""What the tests of handlers share: logs of callback calls, made comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from oracle import AsyncRecorder, LoggedCall, Recorder, normalise, per_run, run_attached
from scenarios import SCENARIOS, Mode, Scenario, by_name

__all__ = ["BY_OTHER_TURNS", "BY_TURNS", "SAMPLE", "attached_alone", "comparable_calls", "comparable_events", "seen_by"]

MODES: tuple[Mode, ...] = ("invoke", "stream", "batch", "ainvoke", "astream", "abatch")

_SAMPLE = (
    "chat_with_prompt_and_parser",
    "chat_without_streaming",
    "custom_between_children",
    "error_in_model_mid_stream",
    "error_in_model_rescued",
    "graph_model_node",
    "legacy_conversation",
    "llm_streaming_in_chain",
    "parallel_of_two",
    "retriever_in_rag_chain",
    "tool_runs_chain_with_config",
)


_STATELESS = ("custom_between_children", "llm_streaming_in_chain", "parallel_of_two")
"""Those whose model, if any, gives every call the same answer."""


def _params(scenarios: Sequence[Scenario], modes: Sequence[Mode]) -> list[Any]:
    return [
        pytest.param(
            # The calls of a batch overlap, and may even start in any order.
            replace(one, concurrent=True) if "batch" in mode else one,
            mode,
            id=f"{one.name}-{mode}",
            marks=[pytest.mark.skip(reason=f"needs {one.missing}")] if one.missing else [],
        )
        for one in scenarios
        for mode in modes
        # Which of them have begun when one fails is a matter of luck, and in `abatch` who gets a fake's next answer.
        if mode in one.modes and not ("batch" in mode and one.raises) and not (mode == "abatch" and one.name not in _STATELESS)
    ]


_BY_CHANCE = (
    "agent_with_two_calls_at_once",  # which tool ends first depends on the threads that sync handlers run in
    "graph_generator_node",  # unless streamed it fails, and the generator that it drops ends some time later
)

EVERYWHERE = _params([one for one in SCENARIOS if one.name not in _BY_CHANCE], ("invoke", "astream"))
"""Every scenario whose log is no matter of luck, once by the sync and once by the async API: arguments for `scenario, mode`."""

BY_TURNS = [one for one in EVERYWHERE if one.values[1] == ("invoke", "astream")[SCENARIOS.index(one.values[0]) % 2]]
"""Every other scenario by the sync API, the others by the async one."""

BY_OTHER_TURNS = [one for one in EVERYWHERE if one not in BY_TURNS]
"""The other way round."""

SAMPLE = _params([by_name(name) for name in _SAMPLE], MODES)
"""A few scenarios of different kinds, in all modes."""


def comparable_calls(scenario: Scenario, calls: Sequence[LoggedCall]) -> Any:
    """Return a log of calls, ids and times aside; for runs that overlap, the order within each run."""
    return per_run(_as_events(calls)) if scenario.concurrent else normalise(calls)


def comparable_events(scenario: Scenario, events: Sequence[Any]) -> Any:
    """Return events, ids and times aside; for runs that overlap, the order within each run."""
    return per_run(events) if scenario.concurrent else normalise(events)


def comparable_outcome(scenario: Scenario, outcome: tuple[Any, BaseException | None]) -> Any:
    """Return what a call returned or raised, ids and times aside; for runs that overlap, a stream's chunks in any order."""
    result, error = normalise(outcome)
    return sorted(result, key=repr) if scenario.concurrent and isinstance(result, list) else result, error


@cache
def attached_alone(scenario: Scenario, mode: Mode) -> Any:
    """Return what a sync and an async recorder see of one call of a scenario without us, and its outcome."""
    recorders = Recorder(), AsyncRecorder()
    return seen_by(scenario, recorders, run_attached(scenario, mode, [*recorders]))


def seen_by(scenario: Scenario, recorders: tuple[Any, Any], outcome: tuple[Any, BaseException | None]) -> Any:
    """Return two recorders' logs of one call and its outcome, to be compared with those of another one."""
    first, second = (recorder.calls for recorder in recorders)
    # Where the order is no matter of luck they are the same, down to the objects; then one of them will do.
    second_log = None if first == second and not scenario.concurrent else comparable_calls(scenario, second)
    return comparable_calls(scenario, first), second_log, comparable_outcome(scenario, outcome)


def _as_events(calls: Sequence[LoggedCall]) -> list[dict[str, Any]]:
    """Put calls into the shape of events, for `per_run` to take them apart by run."""
    parents: dict[Any, Any] = {}
    for _, _, kwargs in calls:
        parents.setdefault(kwargs["run_id"], kwargs.get("parent_run_id"))
    return [
        {
            "event": method,
            "run_id": str(kwargs["run_id"]),
            "parent_ids": _ancestry(kwargs["run_id"], parents),
            "data": {"args": args, "kwargs": kwargs},
        }
        for method, args, kwargs in calls
    ]


def _ancestry(run_id: Any, parents: dict[Any, Any]) -> list[str]:
    found: list[str] = []
    parent = parents[run_id]
    while parent is not None and str(parent) not in found:
        found.insert(0, str(parent))
        parent = parents.get(parent)
    return found
