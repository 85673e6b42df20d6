"""`Attempts`: text that replaces a failed attempt comes after a blank line, and no other text does."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from callbridge.core.attempts import Attempts
from callbridge.core.final import FinalAnswer, FinalText
from callbridge.core.text import VisibleText
from made_events import Run


def told(steps: str) -> str:
    """Tell an `Attempts` of model calls `a`, `b`: `+a` starts, `a` says its name, `-a` ends, `!a` fails."""
    attempts, seen = Attempts(), ""
    for step in steps.split():
        run_id = step[-1]
        if step[0] == "+":
            attempts.start(run_id)
        elif step[0] in "-!":
            attempts.end(run_id, failed=step[0] == "!")
        else:
            seen += attempts.say(run_id, run_id)
    return seen


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ("+a a a -a +b b -b", "aab"),  # one after the other: a chain of two models
        ("+a a !a +b b b -b", "a\n\nbb"),  # failed, with an event that says so
        ("+a a +b b b -b", "a\n\nbb"),  # failed, without
        ("+a a !a +b b !b +c c -c", "a\n\nb\n\nc"),
        ("+a !a +b b -b", "b"),  # had said nothing
        ("+a a !a", "a"),  # nothing comes in its place
        ("+a +b a b a b -a -b", "abab"),  # at the same time
        ("+a a +b a b a -b -a", "aaba"),  # at the same time, one begun later
        ("+a a !a +b -b +c c", "a\n\nc"),  # the attempt in between said nothing
    ],
)
def test_where_a_blank_line_comes(steps: str, seen: str) -> None:
    """Between attempts, and not between models that speak in turn or at once."""
    assert told(steps) == seen


def test_a_model_that_was_silent_and_goes_on_is_not_told_again() -> None:
    """It was taken to have failed; its end does not repeat what it has said."""
    attempts = Attempts()
    for run_id in "ab":
        attempts.start(run_id)
        attempts.say(run_id, run_id)
    assert attempts.has_spoken("a")
    attempts.end("a")
    assert not attempts.has_spoken("a")


def attempts_at(tells: bool) -> list[Any]:
    """Events of two attempts at one answer, under one chain; the first one tells that it has failed, or not."""
    chain = Run("chain", "RunnableRetry")
    first, second = Run("chat_model", "model", chain), Run("chat_model", "model", chain, tags=["retry:attempt:2"])
    asked = {"input": {"messages": [[]]}}
    return [
        chain.start(input="q"),
        first.start(**asked),
        first.stream(AIMessageChunk(content="one ")),
        *([first.error(ConnectionError())] if tells else []),
        second.start(**asked),
        second.stream(AIMessageChunk(content="one ")),
        second.stream(AIMessageChunk(content="two")),
        second.end(AIMessage(content="one two")),
        chain.end("one two"),
    ]


@pytest.mark.parametrize("tells", [False, True], ids=["v2", "extended"])
def test_every_reader_of_events_sees_it(tells: bool) -> None:
    """All text, the final answer as it comes, and the final answer when it is known, without the failed attempt."""
    readers = [VisibleText(), FinalText(FinalAnswer()), FinalText(FinalAnswer(hold=True))]
    seen = ["".join(reader.feed(each) for each in attempts_at(tells)) for reader in readers]  # type: ignore[attr-defined]
    assert seen == ["one \n\none two", "one \n\none two", "one two"]
