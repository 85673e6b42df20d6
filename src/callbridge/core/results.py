"""What models have answered, as callbacks tell it: results, made of the messages and chunks that events have.

LangChain merges what a chat model says beside its answer into the message's `response_metadata`: the `llm_output` of a model
that did not stream, and the `generation_info` of each generation and chunk. So that is where they are found again:

| | of a model that streamed | of one that did not |
|---|---|---|
| `llm_output` | None, as from LangChain | all but what is said of one answer, if anything is said of the whole call |
| `generation_info` | all but the provider's name | all but what is said of the whole call |

Extended events say both exactly (`llm_output`, `generation_info` in their data).

Source: `_gen_info_and_msg_metadata`, `_generate_with_cache`, `stream`, `_generate_response_from_error`
(`langchain_core/language_models/chat_models.py`, 0.3.0 to 1.8.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult

from callbridge.core.calls import Payload
from callbridge.core.merge import sum_chunks
from callbridge.core.revive import revive_document, revive_generation, revive_message
from callbridge.errors import EventFormatError

__all__ = [
    "MANY",
    "chat_result",
    "documents",
    "error_response",
    "folded",
    "generation_info_of",
    "text_result",
]

_OF_THE_CALL: Final = frozenset(
    [
        "created",
        "id",
        "model",
        "model_id",
        "model_name",
        "model_provider",
        "object",
        "service_tier",
        "system_fingerprint",
        "token_usage",
        "usage",
    ]
)
"""What providers say of a whole call, in `llm_output`."""

_OF_THE_GENERATION: Final = frozenset(["finish_reason", "logprobs"])
"""What they say of one answer, and nowhere else."""

_OF_THE_MESSAGE: Final = frozenset(["model_provider"])
"""What is in the metadata of each streamed message, and not in its `generation_info`."""

MANY: Final = 4096
"""Chunks of one answer that are kept as they are; more are added up, so that a long answer takes the room of its text."""


def generation_info_of(message: BaseMessage, *, streamed: bool) -> dict[str, Any] | None:
    """Return the `generation_info` that a message's metadata has taken in, as far as that can be told."""
    said = message.response_metadata
    if not said:
        return None
    others = _OF_THE_MESSAGE if streamed else _OF_THE_CALL
    return {key: value for key, value in said.items() if key not in others} or None


def _llm_output_of(message: BaseMessage) -> dict[str, Any] | None:
    """Return the `llm_output` that the metadata of a message which was not streamed has taken in."""
    said = message.response_metadata
    if _OF_THE_CALL.isdisjoint(said):
        return None
    # Handlers may write to it.
    return {
        key: dict(value) if isinstance(value, dict) else value for key, value in said.items() if key not in _OF_THE_GENERATION
    }


# -- answers ----------------------------------------------------------------------------------------------------------


def chat_result(event: Mapping[str, Any], *, streamed: bool) -> LLMResult:
    """Return the result of a chat model; `{}` is what v2 says of one without generations.

    Args:
        event: Its end.
        streamed: Whether there were chunks.

    Raises:
        EventFormatError: Its output is no message.
    """
    data: dict[str, Any] = event["data"]
    message = revive_message(data["output"])
    if isinstance(message, str):
        message = AIMessage(content=message)
    if isinstance(message, dict) and (not message or "generations" in message):
        return text_result(event)
    if not isinstance(message, BaseMessage):
        raise EventFormatError(event, f"its output is {type(data['output']).__name__}, no message")
    streamed = streamed or isinstance(message, AIMessageChunk)
    info = data["generation_info"] if "generation_info" in data else generation_info_of(message, streamed=streamed)
    kind: Any = ChatGenerationChunk if isinstance(message, AIMessageChunk) else ChatGeneration
    generations: list[Generation] = [kind(message=message, generation_info=info)]
    generations += [revive_generation(one, chunk=False) for one in data.get("further", ())]
    if "llm_output" in data:
        return LLMResult(generations=[generations], llm_output=data["llm_output"])
    return LLMResult(generations=[generations], llm_output=None if streamed else _llm_output_of(message))


def text_result(event: Mapping[str, Any]) -> LLMResult:
    """Return the result of a completion model.

    Raises:
        EventFormatError: The output of its end is none.
    """
    output = event["data"]["output"]
    if isinstance(output, LLMResult):
        return output
    if isinstance(output, str):
        return LLMResult(generations=[[Generation(text=output)]])
    if not isinstance(output, dict):
        raise EventFormatError(event, f"its output is {type(output).__name__}, no dict of generations")
    groups = [[revive_generation(item, chunk=False) for item in group] for group in output.get("generations") or [[]]]
    if not all(isinstance(item, Generation) for group in groups for item in group):
        raise EventFormatError(event, "its output has generations that are none")
    return LLMResult(generations=groups, llm_output=output.get("llm_output"))


def documents(output: Payload) -> Payload:
    """Return a retriever's documents; the list itself unless some came out of JSON."""
    if isinstance(output, list) and any(isinstance(item, dict) for item in output):
        return [revive_document(item) for item in output]
    return output


# -- answers that broke off -------------------------------------------------------------------------------------------


def folded(chunks: list[Payload]) -> list[Payload]:
    """Return the chunk that those of an answer so far add up to; themselves if they do not."""
    try:
        return [sum_chunks(chunks)]
    except (TypeError, ValueError):
        return chunks


def error_response(run_type: str, chunks: Sequence[Payload], error: BaseException | None) -> LLMResult:
    """Return the `response` that `on_llm_error` gets: what the model has said before it failed.

    Args:
        run_type: Of the model.
        chunks: What it has streamed.
        error: What it failed with; an error of a provider may have an answer of its own about it.
    """
    said = _partial(run_type, chunks)
    if run_type != "chat_model":
        return LLMResult(generations=[] if said is None else [[said]])
    about = _about(error)
    return LLMResult(generations=[about] if said is None else [[said], about])


def _partial(run_type: str, chunks: Sequence[Payload]) -> Generation | None:
    try:
        whole = sum_chunks(chunks) if chunks else None
    except (TypeError, ValueError):  # chunks that LangChain cannot add up either
        return None
    if whole is None or run_type != "chat_model":
        return whole if isinstance(whole, GenerationChunk) else None
    return ChatGenerationChunk(message=whole, generation_info=generation_info_of(whole, streamed=True))


def _about(error: Any) -> list[Generation]:
    """Return what LangChain makes of the HTTP response in a provider's error."""
    if not hasattr(error, "response"):
        return []
    response: Any = error.response
    said: dict[str, Any] = {}
    if hasattr(response, "json"):
        try:
            said["body"] = response.json()
        except Exception:  # noqa: BLE001 - a stream that nobody has read, a body that is no JSON
            said["body"] = _text(response)
    if hasattr(response, "headers"):
        try:
            said["headers"] = dict(response.headers)
        except Exception:  # noqa: BLE001 - whatever a client calls headers
            said["headers"] = None
    if hasattr(response, "status_code"):
        said["status_code"] = response.status_code
    if hasattr(error, "request_id"):
        said["request_id"] = error.request_id
    return [ChatGeneration(message=AIMessage(content="", response_metadata=said))]


def _text(response: Any) -> Any:
    try:
        return getattr(response, "text", None)
    except Exception:  # noqa: BLE001 - as above
        return None
