"""What handlers are told beyond v2: by extended events, and of models that failed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import GenerationChunk, LLMResult

from callbridge import Call, EventsToCalls
from made_events import Run


def decoded(*events: dict[str, Any]) -> list[Call]:
    """The calls of these events."""
    decode = EventsToCalls()
    return [call for event in events for call in decode.feed(event)]


def test_what_extended_starts_tell_is_handed_on() -> None:
    """A tool's text, color and whatever else its agent passes; the name of the class where the run has another."""
    tool, model = Run("tool", "mine"), Run("chat_model", "mine", metadata={"ls_model_name": "m-1", "ls_temperature": 0.0})
    start = tool.start(input={}, input_str="Oslo", component="weather", kwargs={"color": "blue", "llm_prefix": "Thought:"})
    call = decoded(start)[0]
    assert call.args == ({"name": "weather", "id": ["weather"]}, "Oslo")
    told = {"inputs": None, "color": "blue", "llm_prefix": "Thought:", "name": "mine"}
    assert {name: call.kwargs[name] for name in told} == told
    end = decoded(start, tool.end("sunny", kwargs={"color": "blue", "llm_prefix": "Thought:"}))[-1]
    assert (end.kwargs["color"], end.kwargs["llm_prefix"]) == ("blue", "Thought:")
    call = decoded(model.start(input="hi", component="ChatFake"))[0]
    settings = {"model": "m-1", "model_name": "m-1", "temperature": 0.0}
    assert call.args[0] == {"name": "ChatFake", "id": ["ChatFake"], "kwargs": settings}
    assert (call.kwargs["name"], call.kwargs["invocation_params"]) == ("mine", settings)


def test_a_run_without_a_name_has_none() -> None:
    """v2 calls it "Unnamed"; LangChain passes no name and no description, and handlers have words of their own for that."""
    call = decoded(Run(name="Unnamed").start(input=1))[0]
    assert (call.kwargs["name"], call.args[0]) == (None, {})


@pytest.mark.parametrize(
    ("run_type", "chunks", "generations"),
    [
        ("chat_model", [], [[]]),
        (
            "chat_model",
            [AIMessageChunk("One"), AIMessageChunk(" two", response_metadata={"finish_reason": "length"})],
            [["One two"], []],
        ),
        ("llm", [], []),
        ("llm", [GenerationChunk(text="One"), GenerationChunk(text=" two")], [["One two"]]),
        ("llm", ["One", " two"], [["One two"]]),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
def test_a_failed_model_has_what_it_had_said(run_type: str, chunks: list[Any], generations: Any, extended: bool) -> None:
    """As a response, in LangChain's shape, whether or not the events tell of the failure."""
    run, error = Run(run_type), ConnectionError("gone")
    decode = EventsToCalls()
    for event in (run.start(input="x"), *map(run.stream, chunks)):
        decode.feed(event)
    call = (decode.feed(run.error(error)) if extended else decode.close(error))[-1]
    assert (call.method, call.args) == ("on_llm_error", (error,))
    response = call.kwargs["response"]
    assert [[one.text for one in group] for group in response.generations] == generations
    if run_type == "chat_model" and chunks:
        assert response.generations[0][0].generation_info == {"finish_reason": "length"}


def test_a_failed_model_has_the_response_that_the_event_tells() -> None:
    """The very one; chunks were streamed, and LangChain did not keep them."""
    run, response = Run("chat_model"), LLMResult(generations=[[]])
    events = run.start(input="x"), run.stream(AIMessageChunk("One")), run.error(ValueError(), response=response)
    assert decoded(*events)[-1].kwargs["response"] is response
