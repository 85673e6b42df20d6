"""Any stream of events, well-formed or not, is a stream that each protocol's clients can read; and users see what was said."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.web import Failure, format_named
from web.mutants import MUTANTS, Mutant, mutated
from web.protocols import READERS, Seen
from web.streams import HIDDEN, Program, spoilt

FAILURES = (None, None, Failure(), Failure(499, "Cancelled"), Failure(504, "Time limit exceeded"))
Begin = Callable[[str], Any]


def begin(name: str) -> Any:
    return format_named(name).begin()


def frames_of(encoder: Any, events: list[Any], failure: Failure | None) -> list[str]:
    """Return what a delivery would send."""
    texts: list[str] = []
    for event in events:
        try:
            texts += [frame.data for frame in encoder.feed(event)]
        except Exception:
            failure = failure or Failure()
            break
    if failure is not None:
        texts += [frame.data for frame in encoder.fail(failure)]
    return texts + [frame.data for frame in encoder.end()]


def check_any(name: str, choose: Random, begin: Begin = begin) -> None:
    """A spoilt stream is read without complaint, says how it ends, and tells nothing that it should not."""
    events = spoilt(Program(choose).events(), choose)
    failure = choose.choice(FAILURES)
    texts = frames_of(begin(name), events, failure)
    seen = READERS[name](texts)
    assert seen.end in ("finish", "error", "cancelled")
    if failure is not None:
        assert seen.end == ("cancelled" if failure.status_code == 499 and seen.end != "error" else "error")
    assert HIDDEN not in "".join(texts)
    assert frames_of(begin(name), events, failure) == texts, "the same events give the same bytes"


def check_seen(name: str, choose: Random, begin: Begin = begin) -> None:
    """Of a run that ends well, the user sees all texts, calls with their arguments and results, sources and custom events."""
    program = Program(choose)
    events = program.events()
    texts = frames_of(begin(name), events, None)
    seen = READERS[name](texts)
    assert seen.end == "finish"
    assert HIDDEN not in "".join(texts)
    if name == "openai":
        assert sorted(seen.texts[0].replace("\n\n", "")) == sorted("".join(program.seen.texts).replace("\n\n", ""))
        return
    assert sorted(seen.texts) == sorted(program.seen.texts)
    assert sorted(map(_call, seen.tools)) == sorted(map(_call, program.seen.tools))
    assert len({id(tool) for tool in seen.tools}) == len(program.seen.tools)
    assert sorted(seen.sources) == sorted(program.seen.sources)
    assert sorted(map(repr, seen.custom)) == sorted(map(repr, program.seen.custom))


def _call(tool: dict[str, Any]) -> str:
    return json.dumps([tool["name"], tool.get("input"), tool.get("output")], sort_keys=True)


@pytest.mark.parametrize("name", READERS)
@given(seed=st.integers(0, 2**64))
def test_any_stream_of_events_can_be_read(name: str, seed: int) -> None:
    check_any(name, Random(seed))


@pytest.mark.parametrize("name", READERS)
@given(seed=st.integers(0, 2**64))
def test_users_see_what_the_run_said(name: str, seed: int) -> None:
    check_seen(name, Random(seed))


@pytest.mark.parametrize("seed", [802, 1112, 1334])
@pytest.mark.parametrize("name", READERS)
def test_a_call_whose_run_was_taken_for_anothers_is_seen(name: str, seed: int) -> None:
    """Of a model that is not shown: its call is shown when its answer tells whose the run was."""
    check_seen(name, Random(seed))


@pytest.mark.parametrize("name", READERS)
def test_a_run_without_events_ends_as_it_ends(name: str) -> None:
    """A call that starts no run, one that fails before it starts one, and one that is stopped before."""
    assert READERS[name](frames_of(begin(name), [], None)) == Seen(
        texts=[""] if name == "openai" else [],
        reasoning=[""] if name == "openai" else [],
        end="finish",
        reason=None if name == "ag-ui" else "stop",
    )
    assert READERS[name](frames_of(begin(name), [], Failure(507, "Event limit exceeded"))).error == "Event limit exceeded"
    assert READERS[name](frames_of(begin(name), [], Failure(499, "Cancelled"))).end in ("cancelled", "error")


BUDGET = 400
"""Streams. Each fault is found in far fewer."""


def survives(mutant: Mutant) -> bool:
    """Tell whether a fault goes unnoticed. Only a failed assertion counts, or a client that breaks."""
    with mutated(mutant) as begin:
        for seed in range(BUDGET):
            for name in mutant.formats:
                try:
                    check_seen(name, Random(seed), begin)
                    check_any(name, Random(seed), begin)
                except (AssertionError, KeyError):
                    return False
    return True


def test_the_code_as_it_is_passes() -> None:
    """Otherwise a failure would mean nothing."""
    for seed in range(60):
        for name in READERS:
            check_seen(name, Random(seed))
            check_any(name, Random(seed))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_is_noticed(mutant: Mutant) -> None:
    assert not survives(mutant)
