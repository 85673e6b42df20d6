"""Which run of a tool belongs to which call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from callbridge.core.toolcalls import Call, ToolCalls, answers_in


def whole(calls: ToolCalls, given_id: str | None, **arguments: Any) -> Call:
    call = calls.add("t", given_id, f"own-{len(arguments)}")
    call.whole, call.arguments = True, arguments
    return call


def test_the_best_fit_comes_before_the_oldest() -> None:
    calls = ToolCalls()
    oldest, among, equal = whole(calls, "a", n=0), whole(calls, "b", n=1), whole(calls, "c", n=1, m=2)
    assert calls.start("r1", "t", {"n": 1, "m": 2}, ()) is equal
    assert calls.start("r2", "t", {"n": 1, "m": 3}, ()) is among
    assert calls.start("r3", "t", {}, ()) is oldest
    assert calls.start("r4", "t", {"n": 1}, ()) is None
    assert calls.start("r5", "u", {}, ()) is None


def test_an_answer_that_names_its_call_puts_two_runs_right() -> None:
    """Two runs of equal arguments, started in the other order."""
    calls = ToolCalls()
    first, second = whole(calls, "a", n=1), whole(calls, "b", n=1)
    calls.start("r1", "t", {"n": 1}, ())
    calls.start("r2", "t", {"n": 1}, ())
    assert calls.end("r1", "b") is second
    calls.drop(second)
    assert calls.end("r2", None) is first


def test_a_run_that_never_ends_frees_its_call_when_the_run_around_it_does() -> None:
    calls = ToolCalls()
    call = whole(calls, "a")
    calls.start("r1", "t", {}, ("root", "node"))
    assert list(calls.run_over("node")) == []
    assert not call.bound
    assert calls.start("r2", "t", {}, ("root",)) is call


def test_calls_that_nobody_made_are_left_for_the_client() -> None:
    calls = ToolCalls()
    made, left = whole(calls, "a", n=1), whole(calls, "b", n=2)
    calls.add("t", "c", "unfinished")
    calls.start("r", "t", {"n": 1}, ())
    assert made not in calls.unmade()
    assert calls.unmade() == [left]


MESSAGE = ToolMessage("x", tool_call_id="c")


class Command:
    goto, update = "node", {"messages": [MESSAGE]}


@pytest.mark.parametrize(
    "output", [MESSAGE, [MESSAGE], (MESSAGE,), {"messages": [MESSAGE]}, {"answer": MESSAGE}, Command(), [Command()]]
)
def test_answers_are_found_wherever_a_node_puts_them(output: Any) -> None:
    assert answers_in(output) == [MESSAGE]


@pytest.mark.parametrize("output", [None, "x", 3, {}, {"messages": "x"}, [1], {"a": {"messages": [MESSAGE]}}])
def test_elsewhere_there_are_none(output: Any) -> None:
    assert answers_in(output) == []
