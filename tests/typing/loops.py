"""Loops as they are written over `astream_events(version="v2")` check without a cast, a comment or an `Any`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from typing_extensions import assert_type

from callbridge.events import ChatModelStream, Event, EventFields, V2Event, check_event, is_event


async def the_loop_of_the_langchain_guide(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    async for event in events:
        if event["event"] == "on_chat_model_stream":
            content = event["data"]["chunk"].content
            if content:
                yield f"{content}|"
        elif event["event"] == "on_tool_start":
            yield f"Starting tool: {event['name']} with inputs: {event['data'].get('input')}"
        elif event["event"] == "on_tool_end":
            yield f"Tool output was: {event['data'].get('output')}"
        elif event["event"] == "on_chain_end" and not event["parent_ids"]:
            yield f"Done: {event['name']} with output: {event['data']['output']}"


def chunks_add_up(events: Iterable[Event]) -> BaseMessage | None:
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert_type(chunks, list[AIMessageChunk])
    return sum(chunks[1:], chunks[0]) if chunks else None


def tool_calls_of_the_answer(events: Iterable[V2Event]) -> list[str]:
    found: list[str] = []
    for event in events:
        if event["event"] == "on_chat_model_end":
            found += [call["name"] for call in event["data"]["output"].tool_calls]
    return found


def prompts_shown(event: Event) -> list[str]:
    if event["event"] == "on_llm_start":
        return list(event["data"]["input"]["prompts"])
    if event["event"] == "on_chat_model_start":
        return [str(message) for batch in event["data"]["input"]["messages"] for message in batch]
    if event["event"] == "on_chain_start" and "input" in event["data"]:
        return [str(event["data"]["input"])]
    return []


def sources(events: Iterator[Event]) -> list[str]:
    return [
        document.page_content
        for event in events
        if event["event"] == "on_retriever_end"
        for document in event["data"]["output"]
    ]


def reason(event: Event) -> str | None:
    if event["event"] == "on_chat_model_error" or event["event"] == "on_tool_error":
        return None if event["data"].get("status") == "cancelled" else str(event["data"]["error"])
    return None


def parent(event: EventFields) -> str | None:
    return event["parent_ids"][-1] if event["parent_ids"] else None


def any_event_has_the_common_fields(event: Event) -> str | None:
    return parent(event)


def v2_events_are_events(event: V2Event) -> Event:
    return event


def made_by_hand(chunk: AIMessageChunk) -> Event:
    event: ChatModelStream = {
        "event": "on_chat_model_stream",
        "name": "model",
        "run_id": "6f1e3a52-8c53-4a2a-9d6b-0f3f8f1b2c3d",
        "tags": [],
        "metadata": {},
        "parent_ids": [],
        "data": {"chunk": chunk},
    }
    return event


def from_a_file(decoded: dict[str, Any], unknown: object) -> None:
    assert_type(check_event(decoded), Event)
    if is_event(unknown):
        assert_type(unknown, Event)


def as_a_mapping(event: Event) -> Mapping[str, object]:
    return event
