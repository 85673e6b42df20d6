"""What is wrong is reported: each comment below silences an error, and one that silences nothing is an error itself."""

from __future__ import annotations

from langchain_core.messages import AIMessage, AIMessageChunk
from typing_extensions import assert_type

import callbridge as cb
from callbridge.events import ChatModelStream, ErrorData, Event, V2Event, is_event


def key_of_another_event(event: Event) -> None:
    if event["event"] == "on_chat_model_stream":
        _ = event["data"]["output"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    if event["event"] == "on_tool_start":
        _ = event["data"]["error"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def key_that_no_event_has(event: Event) -> None:
    _ = event["type"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def chunk_before_the_name_is_known(event: Event) -> None:
    _ = event["data"]["chunk"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def name_kept_in_a_variable(event: Event) -> None:
    kind = event["event"]
    if kind == "on_chat_model_stream":
        _ = event["data"]["chunk"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def name_that_does_not_exist(event: Event) -> bool:
    return event["event"] == "on_chat_model_token"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]


def extended_name_in_v2(event: V2Event) -> bool:
    return event["event"] == "on_chain_error"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]


def extended_event_as_v2(event: Event) -> V2Event:
    return event  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def chunk_taken_for_text(event: Event) -> str:
    if event["event"] == "on_chat_model_stream":
        return event["data"]["chunk"]  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
    return ""


def chunk_is_not_any(event: Event) -> None:
    if event["event"] == "on_chat_model_stream":
        assert_type(event["data"]["chunk"], AIMessage)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]


def input_that_may_be_missing(event: Event) -> None:
    if event["event"] == "on_chain_start":
        _ = event["data"]["input"]  # pyright: ignore[reportTypedDictNotRequiredAccess]


def field_forgotten(chunk: AIMessageChunk) -> ChatModelStream:
    return {  # type: ignore[typeddict-item]  # pyright: ignore[reportReturnType]
        "event": "on_chat_model_stream",
        "name": "model",
        "run_id": "",
        "tags": [],
        "metadata": {},
        "data": {"chunk": chunk},
    }


def name_of_another_event(chunk: AIMessageChunk) -> ChatModelStream:
    return {
        "event": "on_llm_stream",  # type: ignore[typeddict-item]  # pyright: ignore[reportReturnType]
        "name": "model",
        "run_id": "",
        "tags": [],
        "metadata": {},
        "parent_ids": [],
        "data": {"chunk": chunk},
    }


def status_misspelt(error: BaseException) -> ErrorData:
    return {
        "error": error,
        "input": None,
        "status": "canceled",  # type: ignore[typeddict-item]  # pyright: ignore[reportReturnType]
    }


def value_that_failed_the_check(value: object) -> Event | None:
    if not is_event(value):
        return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
    return value


async def ask(question: str) -> int:
    return len(question)


def result_taken_for_a_coroutine() -> None:
    assert_type(cb.stream_call(ask, "tea").result, str)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]


def no_call() -> None:
    cb.astream_call("chain", "tea")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def keyword_of_the_call() -> None:
    cb.astream_call(ask, question="tea")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def option_of_the_wrong_type() -> None:
    cb.stream_call(ask, "tea", capacity="3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def error_as_a_text(handler: cb.EventStreamHandler) -> None:
    handler.finish("late")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
