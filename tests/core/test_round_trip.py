"""Calls to events and back: the identity on everything that an event can carry."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callbridge import Call, CallsToEvents, EventsToCalls, RunUnfinishedError
from strategies import transcripts


def back(calls: list[Call]) -> list[Call]:
    """Return the calls after a way through extended events."""
    encode, decode = CallsToEvents(extended=True), EventsToCalls()
    return [again for call in calls for event in encode.feed(call) for again in decode.feed(event)]


def plain(calls: list[Call]) -> list[Any]:
    return [(call.method, call.args, dict(call.kwargs)) for call in calls]


@given(transcripts())
def test_extended_round_trip_is_the_identity(calls: list[Call]) -> None:
    """Every call comes back as it went in: method, order, arguments, positional and keyword."""
    assert plain(back(calls)) == plain(calls)


@given(transcripts())
def test_round_trip_keeps_the_very_payloads(calls: list[Call]) -> None:
    """Errors, actions and outputs are the same objects, not copies."""
    for went_in, came_back in zip(calls, back(calls), strict=True):
        if went_in.method.endswith(("_error", "_action", "_finish", "_retry", "on_chain_end", "on_custom_event")):
            assert came_back.args[-1] is went_in.args[-1]


@given(transcripts())
def test_whole_transcript_gives_what_single_calls_give(calls: list[Call]) -> None:
    """All events first and all calls afterwards is the same as one call at a time."""
    encode, decode = CallsToEvents(extended=True), EventsToCalls()
    events = [event for call in calls for event in encode.feed(call)]
    assert plain([call for event in events for call in decode.feed(event)]) == plain(back(calls))


@given(transcripts(), st.randoms(use_true_random=False))
def test_interleaving_does_not_change_a_run(calls: list[Call], order: random.Random) -> None:
    """Independent root runs may be interleaved in any way: the events of each are the same."""
    families: dict[Any, list[Call]] = {}
    root_of: dict[Any, Any] = {}
    for call in calls:
        run_id, parent = call.run_id, call.kwargs.get("parent_run_id")
        root = root_of.setdefault(run_id, root_of.get(parent, run_id))
        families.setdefault(root, []).append(call)
    queues = [list(family) for family in families.values()]
    shuffled: list[Call] = []
    while queues:
        queue = order.choice(queues)
        shuffled.append(queue.pop(0))
        queues = [left for left in queues if left]
    one, other = CallsToEvents(extended=True), CallsToEvents(extended=True)
    first = [event for call in calls for event in one.feed(call)]
    second = [event for call in shuffled for event in other.feed(call)]
    for run_id in {event["run_id"] for event in first}:
        assert [event for event in first if event["run_id"] == run_id] == [
            event for event in second if event["run_id"] == run_id
        ]


@given(transcripts())
def test_nothing_is_remembered_when_all_runs_have_ended(calls: list[Call]) -> None:
    """Both translators are empty at the end, and each start had one terminal event."""
    encode, decode = CallsToEvents(extended=True), EventsToCalls()
    open_runs: set[str] = set()
    for call in calls:
        for event in encode.feed(call):
            decode.feed(event)
            if event["event"].endswith("_start"):
                open_runs.add(event["run_id"])
            elif event["event"].endswith(("_end", "_error")):
                open_runs.remove(event["run_id"])
    assert (encode.runs, decode.open_runs, open_runs) == (0, 0, set())


@given(transcripts(finished=False))
def test_open_runs_are_closed_once_and_innermost_first(calls: list[Call]) -> None:
    """Closing ends every run that is open, a child before its parent, and a second close does nothing."""
    encode, decode = CallsToEvents(extended=True), EventsToCalls()
    parents: dict[str, list[str]] = {}
    ended: list[str] = []
    for event in [event for call in calls for event in encode.feed(call)] + encode.close():
        decode.feed(event)
        if event["event"].endswith("_start"):
            parents[event["run_id"]] = event["parent_ids"]
        elif event["event"].endswith(("_end", "_error")):
            ended.append(event["run_id"])
    assert sorted(ended) == sorted(parents)
    for run_id, ancestors in parents.items():
        assert all(ended.index(run_id) < ended.index(ancestor) for ancestor in ancestors)
    assert (encode.close(), decode.close(), encode.runs, decode.open_runs) == ([], [], 0, 0)


@given(transcripts(finished=False))
def test_strict_events_leave_open_what_nobody_ended(calls: list[Call]) -> None:
    """In v2 a run whose end is not reported has none; its calls are closed by an error that says so."""
    encode, decode = CallsToEvents(), EventsToCalls()
    for call in calls:
        for event in encode.feed(call):
            decode.feed(event)
    assert encode.close() == []
    assert all(isinstance(call.args[0], RunUnfinishedError) for call in decode.close())
    assert decode.open_runs == 0
