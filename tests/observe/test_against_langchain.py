"""Callbacks to events, with LangChain as the oracle: every scenario, every mode, every filter.

What is compared is whole events in their order, ids and times aside (`oracle.normalise`). Each deliberate divergence is in
`docs/divergences.md`; there is no list of exceptions here.
"""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import ensure_config

import callbridge as cb
from oracle import attached_reference_events, langchain_events, normalise, per_run, reference_handler, run_attached
from scenarios import AVAILABLE, FILTERS, SCENARIOS, WARNINGS, Scenario, as_params

pytestmark = pytest.mark.filterwarnings(*WARNINGS)

Outcome = tuple[list[dict[str, Any]], "BaseException | None"]


def comparable(scenario: Scenario, outcome: Outcome) -> Any:
    events, error = outcome
    seen = per_run(events) if scenario.concurrent else normalise(events)
    return seen, None if error is None else (type(error), str(error))


async def our_events(scenario: Scenario, **options: Any) -> Outcome:
    runnable, value = scenario.make()
    events: list[Any] = []
    try:
        async with cb.astream_events(runnable, value, scenario.new_config() or None, **options) as stream:
            async for event in stream:
                events.append(event)
    except Exception as error:
        return events, error
    return events, None


def our_sync_events(scenario: Scenario, **options: Any) -> Outcome:
    runnable, value = scenario.make()
    events: list[Any] = []
    try:
        with cb.stream_events(runnable, value, scenario.new_config() or None, **options) as stream:
            events.extend(stream)
    except Exception as error:
        return events, error
    return events, None


async def their_events(scenario: Scenario, **filters: Any) -> Outcome:
    runnable, value = scenario.make()
    return await langchain_events(runnable, value, scenario.new_config() or None, **filters)


def their_sync_events(scenario: Scenario, **filters: Any) -> Outcome:
    """What `astream_events` would be over `stream`: LangChain's handler and tap, and its two root rules."""
    runnable, value = scenario.make()
    handler, events = reference_handler(**filters)
    config: Any = ensure_config(scenario.new_config() or None)  # as `astream_events` does: it sets a recursion limit
    run_id = config.setdefault("run_id", uuid4())
    config["callbacks"] = [*(config.get("callbacks") or []), handler]
    error = None
    try:
        with contextlib.closing(runnable.stream(value, config)) as output:
            for _ in handler.tap_output_iter(run_id, output):
                pass
    except Exception as raised:
        error = raised
    if events:
        first = events[0]
        with contextlib.suppress(TypeError):
            first["data"]["input"] = value
        for event in events[1:]:
            if event["run_id"] == first["run_id"] and event["event"].endswith("_end"):
                event["data"].pop("input", None)
    return events, error


STREAMABLE = [one for one in SCENARIOS if "astream_events" in one.modes]
SYNC_STREAMABLE = [one for one in SCENARIOS if "stream" in one.modes]


@pytest.mark.anyio
@pytest.mark.parametrize("scenario", as_params(STREAMABLE))
async def test_astream_events_equals_langchains(scenario: Scenario) -> None:
    """`astream_events(r, x)` yields the events of `r.astream_events(x, version="v2")`, and raises what that raises."""
    theirs = events, error = await their_events(scenario)
    assert comparable(scenario, await our_events(scenario)) == comparable(scenario, theirs)
    assert events
    assert isinstance(error, scenario.raises) if scenario.raises else error is None


FILTERED = [
    pytest.param(scenario.values[0], filters, id=f"{scenario.id}-{'+'.join(filters)}", marks=scenario.marks)
    for number, scenario in enumerate(as_params([one for one in STREAMABLE if one.filtered]))
    for place, filters in enumerate(FILTERS)
    if number % 3 == place % 3
]
"""Each scenario under a third of the filters, each filter over a third of the scenarios."""


@pytest.mark.anyio
@pytest.mark.parametrize(("scenario", "filters"), FILTERED)
async def test_filters_equal_langchains(scenario: Scenario, filters: dict[str, Any]) -> None:
    """The same under every filter, where the root rule falls on whichever event passes first."""
    theirs = await their_events(scenario, **filters)
    assert comparable(scenario, await our_events(scenario, **filters)) == comparable(scenario, theirs)


@pytest.mark.parametrize("scenario", as_params(SYNC_STREAMABLE))
def test_stream_events_equals_langchains_handler_on_stream(scenario: Scenario) -> None:
    """`stream_events(r, x)` yields what LangChain's handler and root rules make of `r.stream(x)`."""
    theirs = their_sync_events(scenario)
    assert comparable(scenario, our_sync_events(scenario)) == comparable(scenario, theirs)


FIRST_OF_ITS_KIND = {one.kind: one for one in reversed(AVAILABLE) if "batch" in one.modes}

ATTACHED = [
    pytest.param(
        one, mode, id=f"{one.name}-{mode}", marks=[pytest.mark.skip(reason=f"needs {one.missing}")] if one.missing else []
    )
    for one in SCENARIOS
    for mode in one.modes
    # A batch is so many runs of `invoke`, and each kind of runnable has one way to make them.
    if mode != "astream_events" and ("batch" not in mode or one is FIRST_OF_ITS_KIND.get(one.kind))
]


@pytest.mark.parametrize(("scenario", "mode"), ATTACHED)
def test_attached_handler_equals_langchains_own(scenario: Scenario, mode: Any) -> None:
    """An `EventStreamHandler` attached to a call yields what LangChain's own v2 handler yields there."""
    theirs = attached_reference_events(scenario, mode)
    handler = cb.EventStreamHandler(streaming=True, roots=None)
    _, error = run_attached(scenario, mode, [handler])
    handler.finish()
    assert comparable(scenario, (list(handler), error)) == comparable(scenario, theirs)


def test_there_are_enough_scenarios() -> None:
    """The suite covers at least a hundred runnables on the newest LangChain, and nearly as many on the oldest."""
    assert len(SCENARIOS) >= 100
    assert len(AVAILABLE) >= 90
