"""Objects out of the dicts that JSON made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.agents import AgentAction, AgentActionMessageLog, AgentFinish
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_to_dict,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from callbridge.core.revive import (
    revive_agent_step,
    revive_document,
    revive_error,
    revive_generation,
    revive_message,
    revive_tool_output,
)
from callbridge.errors import RemoteError

MESSAGES = [
    HumanMessage(content="hi", name="ann", id="m1"),
    AIMessage(
        content="",
        tool_calls=[{"name": "weigh", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m"},
    ),
    AIMessageChunk(
        content="par", tool_call_chunks=[{"name": "w", "args": "{", "id": "c1", "index": 0, "type": "tool_call_chunk"}]
    ),
    AIMessage(content=[{"type": "text", "text": "a"}, "b"]),
    SystemMessage(content="be brief"),
    ChatMessage(role="critic", content="no"),
    FunctionMessage(name="f", content="1"),
    ToolMessage(content="4", tool_call_id="c1", artifact={"raw": 4}, status="error"),
]


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_from_all_three_dumps(message: Any) -> None:
    """`model_dump`, `dumpd` and `messages_to_dict`, each through JSON, give an equal message of the same class."""
    for dumped in (message.model_dump(), dumpd(message), messages_to_dict([message])[0]):
        revived = revive_message(through_json(dumped))
        assert type(revived) is type(message)
        assert revived == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"role": "user", "content": "hi"}, HumanMessage(content="hi")),
        ({"role": "assistant", "content": None}, AIMessage(content="")),
        ({"role": "system", "content": "x"}, SystemMessage(content="x")),
    ],
)
def test_messages_come_back_from_the_form_of_providers(value: Any, message: Any) -> None:
    """A role stands for the class."""
    assert revive_message(value) == message


def test_what_is_no_dict_is_returned_as_it_is() -> None:
    """Live events hold the objects themselves; they pass untouched."""
    message, document, error = MESSAGES[0], Document(page_content="d"), ValueError("v")
    generation = Generation(text="t")
    assert revive_message(message) is message
    assert revive_document(document) is document
    assert revive_generation(generation, chunk=False) is generation
    assert revive_tool_output(message) is message
    assert revive_agent_step(generation) is generation
    assert revive_error(error) is error


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": "os.system", "content": "ls"},
        {"type": ["human"], "content": "x"},
        {"lc": 1, "type": "constructor", "id": ["subprocess", "Popen"], "kwargs": {"args": "ls"}},
        {"lc": 1, "type": "constructor", "id": [], "kwargs": {}},
        {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
        {"lc": 1, "type": "not_implemented", "id": ["some", "Thing"], "repr": "Thing()"},
        {"type": "tool", "content": "no call id"},
        {"type": "human", "content": {"neither": "text nor blocks"}},
    ],
)
def test_what_no_table_knows_stays_a_dict(value: dict[str, Any]) -> None:
    """Nothing that the data names is imported or called, and a message with fields missing is none."""
    before = json.dumps(value)
    for revive in (revive_message, revive_document, revive_tool_output, revive_agent_step):
        assert revive(value) is value
    assert json.dumps(value) == before


def test_a_tool_output_is_a_message_only_if_it_is_the_dump_of_one() -> None:
    """A tool may return a dict that looks like a message in part."""
    message = ToolMessage(content="4", tool_call_id="c1")
    assert revive_tool_output(through_json(message.model_dump())) == message
    assert revive_tool_output(through_json(dumpd(message))) == message
    returned = {"type": "tool", "content": "4"}
    assert revive_tool_output(returned) is returned


def test_documents_come_back() -> None:
    """From both dumps and from a dict without a type, but not from a dict of something else."""
    document = Document(page_content="text", metadata={"page": 1}, id="d1")
    assert revive_document(through_json(document.model_dump())) == document
    assert revive_document(through_json(dumpd(document))) == document
    assert revive_document({"page_content": "text"}) == Document(page_content="text")
    other = {"page_content": "text", "type": "Page"}
    assert revive_document(other) is other


def test_generations_come_back_as_chunks_or_whole() -> None:
    """Text generations and chat generations, from both dumps."""
    generation = Generation(text="t", generation_info={"finish_reason": "stop"})
    assert revive_generation(through_json(generation.model_dump()), chunk=False) == generation
    chunk = GenerationChunk(text="t")
    assert revive_generation(through_json(dumpd(chunk)), chunk=True) == chunk
    chat = ChatGeneration(message=AIMessage(content="a"))
    assert revive_generation(through_json(dumpd(chat)), chunk=False) == chat
    chat_chunk = ChatGenerationChunk(message=AIMessageChunk(content="a"))
    assert revive_generation(through_json(chat_chunk.model_dump()), chunk=True) == chat_chunk
    nothing = {"text": 3}
    assert revive_generation(nothing, chunk=True) is nothing


def test_agent_steps_come_back() -> None:
    """Actions, actions with their messages, and finishes."""
    action = AgentAction(tool="t", tool_input={"a": 1}, log="l")
    assert revive_agent_step(through_json(action.model_dump())) == action
    logged = AgentActionMessageLog(tool="t", tool_input="i", log="l", message_log=[AIMessage(content="m")])
    assert revive_agent_step(through_json(logged.model_dump())) == logged
    finish = AgentFinish(return_values={"output": 1}, log="l")
    assert revive_agent_step(through_json(dumpd(finish))) == finish


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it broke", "it broke"),
        ({"type": "ValueError", "message": "it broke"}, "ValueError: it broke"),
        ({"message": "it broke"}, "it broke"),
        ({"status_code": 500}, "{'status_code': 500}"),
        (None, "None"),
    ],
)
def test_errors_that_arrive_as_data_are_wrapped(value: Any, text: str) -> None:
    """Handlers get an exception whose text says what arrived, and whose attribute is what arrived."""
    error = revive_error(value)
    assert isinstance(error, RemoteError)
    assert str(error) == text
    assert error.value is value
