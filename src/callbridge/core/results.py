"""Makes the results that callbacks carry from the messages and chunks in events.

LangChain merges two things into a message's `response_metadata`: the `llm_output` of a model that did not stream, and the
`generation_info` of each generation and chunk. This module takes them out again:

| | if the model streamed | if it did not |
|---|---|---|
| `llm_output` | None, as in LangChain | all keys but those about one answer, provided that one is about the whole call |
| `generation_info` | all keys but the provider's name | all keys but those about the whole call |

Extended events carry both exactly (`llm_output` and `generation_info` in their data).

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
"""Keys of `llm_output` that are about the whole call."""

_OF_THE_GENERATION: Final = frozenset(["finish_reason", "logprobs"])
"""Keys that are always about one answer."""

_OF_THE_MESSAGE: Final = frozenset(["model_provider"])
"""Keys in the metadata of each streamed message that are not from its `generation_info`."""

MANY: Final = 4096
"""How many chunks of one answer are kept as they are. More are added up, so that a long answer takes no more memory than its
text."""


def generation_info_of(message: BaseMessage, *, streamed: bool) -> dict[str, Any] | None:
    """Return the `generation_info` in a message's metadata, as far as it can be told apart."""
    said = message.response_metadata
    if not said:
        return None
    others = _OF_THE_MESSAGE if streamed else _OF_THE_CALL
    return {key: value for key, value in said.items() if key not in others} or None


def _llm_output_of(message: BaseMessage) -> dict[str, Any] | None:
    """Return the `llm_output` in the metadata of a message that was not streamed."""
    said = message.response_metadata
    if _OF_THE_CALL.isdisjoint(said):
        return None
    # Handlers may write to it.
    return {
        key: dict(value) if isinstance(value, dict) else value for key, value in said.items() if key not in _OF_THE_GENERATION
    }


# -- answers ----------------------------------------------------------------------------------------------------------


def chat_result(event: Mapping[str, Any], *, streamed: bool) -> LLMResult:
    """Return the result of a chat model. For a result without generations, v2 has `{}`.

    Args:
        event: The end event.
        streamed: Whether the model put out chunks.

    Raises:
        EventFormatError: The output is not a message.
    """
    data: dict[str, Any] = event["data"]
    message = revive_message(data["output"])
    if isinstance(message, str):
        message = AIMessage(content=message)
    if isinstance(message, dict) and (not message or "generations" in message):
        return text_result(event)
    if not isinstance(message, BaseMessage):
        raise EventFormatError(event, f"its output is {type(data['output']).__name__}, not a message")
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
        EventFormatError: The output of the end event is not such a result.
    """
    output = event["data"]["output"]
    if isinstance(output, LLMResult):
        return output
    if isinstance(output, str):
        return LLMResult(generations=[[Generation(text=output)]])
    if not isinstance(output, dict):
        raise EventFormatError(event, f"its output is {type(output).__name__}, not a dict of generations")
    groups = [[revive_generation(item, chunk=False) for item in group] for group in output.get("generations") or [[]]]
    if not all(isinstance(item, Generation) for group in groups for item in group):
        raise EventFormatError(event, "the generations in its output are not valid")
    return LLMResult(generations=groups, llm_output=output.get("llm_output"))


def documents(output: Payload) -> Payload:
    """Return a retriever's documents: the list itself, unless some came out of JSON."""
    if isinstance(output, list) and any(isinstance(item, dict) for item in output):
        return [revive_document(item) for item in output]
    return output


# -- answers that broke off -------------------------------------------------------------------------------------------


def folded(chunks: list[Payload]) -> list[Payload]:
    """Return the sum of an answer's chunks so far; the chunks themselves if they have no sum."""
    try:
        return [sum_chunks(chunks)]
    except (TypeError, ValueError):
        return chunks


def error_response(run_type: str, chunks: Sequence[Payload], error: BaseException | None) -> LLMResult:
    """Return the `response` for `on_llm_error`: what the model has said before it failed.

    Args:
        run_type: The model's run type.
        chunks: The chunks that it has streamed.
        error: Its error. A provider's error may carry an HTTP response.
    """
    said = _partial(run_type, chunks)
    if run_type != "chat_model":
        return LLMResult(generations=[] if said is None else [[said]])
    about = _about(error)
    return LLMResult(generations=[about] if said is None else [[said], about])


def _partial(run_type: str, chunks: Sequence[Payload]) -> Generation | None:
    try:
        whole = sum_chunks(chunks) if chunks else None
    except (TypeError, ValueError):  # LangChain cannot add up these chunks either
        return None
    if whole is None or run_type != "chat_model":
        return whole if isinstance(whole, GenerationChunk) else None
    return ChatGenerationChunk(message=whole, generation_info=generation_info_of(whole, streamed=True))


def _about(error: Any) -> list[Generation]:
    """Return the data that LangChain takes from the HTTP response in a provider's error."""
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
