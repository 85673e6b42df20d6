"""Results of models, out of messages and chunks: what LangChain had merged into them is found again."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, GenerationChunk, LLMResult

from callbridge.core.results import MANY, chat_result, error_response, folded, generation_info_of, text_result
from callbridge.errors import EventFormatError
from made_events import Run

OPENAI: dict[str, Any] = {
    "token_usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}},
    "model_provider": "openai",
    "model_name": "m-1",
    "system_fingerprint": "fp",
    "id": "c-1",
    "finish_reason": "stop",
    "logprobs": None,
}


def ended(output: Any, **data: Any) -> dict[str, Any]:
    return Run("chat_model").end(output, **data)


def test_a_model_that_did_not_stream_has_what_its_provider_said_of_the_call() -> None:
    """In `llm_output`, and what it said of the one answer in `generation_info`."""
    result = chat_result(ended(AIMessage("tea", response_metadata=OPENAI)), streamed=False)
    assert result.llm_output == {key: value for key, value in OPENAI.items() if key not in ("finish_reason", "logprobs")}
    assert result.generations[0][0].generation_info == {"finish_reason": "stop", "logprobs": None}
    result.llm_output["token_usage"]["prompt_tokens"] = 0
    assert OPENAI["token_usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("message", "streamed"), [(AIMessageChunk, False), (AIMessage, True), (AIMessageChunk, True)], ids=["chunk", "told", "both"]
)
def test_a_model_that_streamed_has_no_llm_output(message: type[AIMessage], streamed: bool) -> None:
    """Neither one that is read as a stream, nor one that is invoked in a run that is."""
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    made = message(content="tea", response_metadata=OPENAI, usage_metadata=usage)
    result = chat_result(ended(made), streamed=streamed)
    assert result.llm_output is None
    info = result.generations[0][0].generation_info
    assert info is not None
    assert (info["finish_reason"], info["model_name"], "model_provider" in info) == ("stop", "m-1", False)


@pytest.mark.parametrize("said", [{}, {"finish_reason": "stop"}, {"odd": 1}])
def test_nothing_is_made_up(said: dict[str, Any]) -> None:
    """Usage has its own place in the message. A provider that says nothing about the call leaves no `llm_output`."""
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    result = chat_result(ended(AIMessage("tea", response_metadata=said, usage_metadata=usage)), streamed=False)
    assert result.llm_output is None
    assert result.generations[0][0].generation_info == (said or None)


@pytest.mark.parametrize("told", [None, {}, {"a": 1}])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_an_extended_event_tells_goes_first(told: Any, streamed: bool) -> None:
    """Also that there was nothing; and the other answers to the prompt."""
    further = [ChatGeneration(message=AIMessage("coffee"))]
    event = ended(AIMessage("tea", response_metadata=OPENAI), llm_output=told, generation_info=told, further=further)
    result = chat_result(event, streamed=streamed)
    assert (result.llm_output, result.generations[0][0].generation_info) == (told, told)
    assert result.generations[0][1:] == further


def test_what_is_no_message_is_refused() -> None:
    """Whatever stands there."""
    with pytest.raises(EventFormatError, match="not a message"):
        chat_result(ended(5), streamed=False)
    with pytest.raises(EventFormatError, match="not a dict of generations"):
        text_result(Run("llm").end(5))


def test_many_chunks_become_few_and_say_the_same() -> None:
    """So that a long answer takes no more room than its text."""
    chunks: list[Any] = [AIMessageChunk("tea ") for _ in range(MANY)]
    assert [chunk.content for chunk in folded(chunks)] == ["tea " * MANY]
    mixed: list[Any] = [GenerationChunk(text="a"), AIMessageChunk("b")]
    assert folded(mixed) is mixed


def test_chunks_that_do_not_add_up_are_no_answer() -> None:
    """LangChain cannot add them up either."""
    mixed: list[Any] = [AIMessageChunk("b"), GenerationChunk(text="a")]
    assert error_response("chat_model", mixed, None) == LLMResult(generations=[[]])
    assert error_response("llm", mixed, None) == LLMResult(generations=[])


class Response:
    """What a client has got from a provider."""

    status_code = 429
    text = "slow down"

    def __init__(self, body: Any, headers: Any) -> None:
        self._body = body
        self.headers = headers

    def json(self) -> Any:
        if self._body is None:
            raise ValueError("no JSON")
        return self._body


class ProviderError(Exception):
    def __init__(self, response: Any) -> None:
        self.response = response
        self.request_id = "r-1"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (Response({"why": "quota"}, {"a": "b"}), {"body": {"why": "quota"}, "headers": {"a": "b"}, "status_code": 429}),
        (Response(None, 5), {"body": "slow down", "headers": None, "status_code": 429}),
        (None, {}),
    ],
)
def test_what_a_provider_answered_is_in_the_response(response: Any, said: dict[str, Any]) -> None:
    """As LangChain puts it there."""
    found = error_response("chat_model", [AIMessageChunk("One")], ProviderError(response))
    assert [[one.text for one in group] for group in found.generations] == [["One"], [""]]
    about: Any = found.generations[1][0]
    assert about.message.response_metadata == {**said, "request_id": "r-1"}


def test_no_metadata_is_no_generation_info() -> None:
    """Nor is the provider's name alone, which each chunk has."""
    assert generation_info_of(AIMessageChunk("a"), streamed=True) is None
    assert generation_info_of(AIMessageChunk("a", response_metadata={"model_provider": "openai"}), streamed=True) is None
