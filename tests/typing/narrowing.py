"""Each event name narrows `Event` to the one class of that name, and together they are all of it."""

from __future__ import annotations

from typing import Any

from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import GenerationChunk
from typing_extensions import assert_never, assert_type

from callbridge import events
from callbridge.events import Event, V2Event


def every_name(event: Event) -> None:
    if event["event"] == "on_chain_start":
        assert_type(event, events.ChainStart)
    elif event["event"] == "on_chain_stream":
        assert_type(event, events.ChainStream)
    elif event["event"] == "on_chain_end":
        assert_type(event, events.ChainEnd)
    elif event["event"] == "on_chain_error":
        assert_type(event, events.ChainError)
        assert_type(event["data"]["error"], BaseException)
        assert_type(event["data"]["status"], events.Status)
    elif event["event"] == "on_prompt_start":
        assert_type(event, events.PromptStart)
    elif event["event"] == "on_prompt_stream":
        assert_type(event, events.PromptStream)
    elif event["event"] == "on_prompt_end":
        assert_type(event, events.PromptEnd)
    elif event["event"] == "on_prompt_error":
        assert_type(event, events.PromptError)
    elif event["event"] == "on_parser_start":
        assert_type(event, events.ParserStart)
    elif event["event"] == "on_parser_stream":
        assert_type(event, events.ParserStream)
    elif event["event"] == "on_parser_end":
        assert_type(event, events.ParserEnd)
    elif event["event"] == "on_parser_error":
        assert_type(event, events.ParserError)
    elif event["event"] == "on_chat_model_start":
        assert_type(event, events.ChatModelStart)
        assert_type(event["data"]["input"], events.ChatModelInput | Any)
    elif event["event"] == "on_chat_model_stream":
        assert_type(event, events.ChatModelStream)
        assert_type(event["data"]["chunk"], AIMessageChunk)
    elif event["event"] == "on_chat_model_end":
        assert_type(event, events.ChatModelEnd)
        assert_type(event["data"]["output"], AIMessage)
        assert_type(event["data"].get("input"), events.ChatModelInput | None)
    elif event["event"] == "on_chat_model_error":
        assert_type(event, events.ChatModelError)
    elif event["event"] == "on_llm_start":
        assert_type(event, events.LLMStart)
        assert_type(event["data"]["input"], events.LLMInput | Any)
    elif event["event"] == "on_llm_stream":
        assert_type(event, events.LLMStream)
        assert_type(event["data"]["chunk"], GenerationChunk | str)
    elif event["event"] == "on_llm_end":
        assert_type(event, events.LLMEnd)
        assert_type(event["data"]["output"]["generations"][0][0]["text"], str)
    elif event["event"] == "on_llm_error":
        assert_type(event, events.LLMError)
    elif event["event"] == "on_tool_start":
        assert_type(event, events.ToolStart)
        assert_type(event["data"].get("tool_call_id"), str | None)
    elif event["event"] == "on_tool_stream":
        assert_type(event, events.ToolStream)
    elif event["event"] == "on_tool_end":
        assert_type(event, events.ToolEnd)
        assert_type(event["data"].get("input"), dict[str, Any] | None)
    elif event["event"] == "on_tool_error":
        assert_type(event, events.ToolError)
        assert_type(event["data"]["error"], BaseException)
        assert_type(event["data"]["input"], dict[str, Any] | None)
        assert_type(event["data"].get("status"), events.Status | None)
    elif event["event"] == "on_retriever_start":
        assert_type(event, events.RetrieverStart)
        assert_type(event["data"]["input"], events.RetrieverInput | Any)
    elif event["event"] == "on_retriever_stream":
        assert_type(event, events.RetrieverStream)
    elif event["event"] == "on_retriever_end":
        assert_type(event, events.RetrieverEnd)
        assert_type(event["data"]["output"], list[Document])
    elif event["event"] == "on_retriever_error":
        assert_type(event, events.RetrieverError)
    elif event["event"] == "on_custom_event":
        assert_type(event, events.CustomEvent)
        assert_type(event["data"], Any)
    elif event["event"] == "on_agent_action":
        assert_type(event, events.AgentActionEvent)
        assert_type(event["data"]["action"], AgentAction)
    elif event["event"] == "on_agent_finish":
        assert_type(event, events.AgentFinishEvent)
        assert_type(event["data"]["finish"], AgentFinish)
    elif event["event"] == "on_text":
        assert_type(event, events.TextEvent)
        assert_type(event["data"]["text"], str)
    elif event["event"] == "on_retry":
        assert_type(event, events.RetryEvent)
    else:
        assert_never(event)


def extended_names_are_the_difference(event: Event) -> V2Event | None:
    if (
        event["event"] == "on_chain_error"
        or event["event"] == "on_prompt_error"
        or event["event"] == "on_parser_error"
        or event["event"] == "on_chat_model_error"
        or event["event"] == "on_llm_error"
        or event["event"] == "on_retriever_error"
        or event["event"] == "on_agent_action"
        or event["event"] == "on_agent_finish"
        or event["event"] == "on_text"
        or event["event"] == "on_retry"
    ):
        return None
    return event


def match_on_the_name(event: Event) -> str:
    match event["event"]:
        case "on_chat_model_stream":
            assert_type(event["data"]["chunk"], AIMessageChunk)
            return "chunk"
        case "on_chat_model_end" | "on_llm_end":
            assert_type(event["data"]["output"], AIMessage | events.LLMOutput)
            return "answer"
        case _:
            return event["name"]


def before_narrowing(event: Event) -> None:
    assert_type(event["run_id"], str)
    assert_type(event["name"], str)
    assert_type(event["tags"], list[str])
    assert_type(event["metadata"], dict[str, Any])
    assert_type(event["parent_ids"], list[str])


def not_equal(event: Event) -> AIMessageChunk | None:
    if event["event"] != "on_chat_model_stream":
        return None
    return event["data"]["chunk"]
