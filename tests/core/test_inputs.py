"""What a component was called with, out of its start event."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

from callbridge.core.inputs import messages_of, prompts_of, query_of, tool_input_of
from callbridge.core.runs import MISSING

HI = HumanMessage(content="hi")

CALLS = [
    "hi",
    [HI, AIMessage(content="yes?")],
    [("system", "be brief"), ("human", "hi")],
    [{"role": "user", "content": "hi"}],
    ["hi", "there"],
    StringPromptValue(text="hi"),
    ChatPromptValue(messages=[SystemMessage(content="s"), HI]),
]
"""What the models take as arguments."""


@pytest.mark.parametrize("value", CALLS, ids=lambda value: type(value).__name__)
def test_arguments_of_a_call_are_coerced_as_the_models_do(value: Any) -> None:
    """The root's event shows the raw argument; handlers get what the model makes of it."""
    chat, text = FakeListChatModel(responses=["a"]), FakeListLLM(responses=["a"])
    assert messages_of(value) == [chat._convert_input(value).to_messages()]
    assert prompts_of(value) == [text._convert_input(value).to_string()]


def test_messages_are_taken_out_of_their_dict_into_new_lists() -> None:
    """Handlers may append to the lists; the event keeps its own."""
    value = {"messages": [[HI]]}
    taken = messages_of(value)
    assert taken == [[HI]]
    taken[0].append(HI)
    taken.append([])
    assert value == {"messages": [[HI]]}


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ({"messages": [[HI.model_dump()]]}, [[HI]]),
        ({"messages": [HI.model_dump()], "type": "ChatPromptValue"}, [[HI]]),
        ({"messages": [["human", "hi"]]}, [[HI]]),
        ({"messages": [HI], "is_last_step": False}, [[HI]]),
        ({"messages": [[{"not": "known"}]]}, [[{"not": "known"}]]),
        (HI, [[HI]]),
        ({"topic": "tea"}, [[HumanMessage(content="{'topic': 'tea'}")]]),
        ([1, 2], [[HumanMessage(content="[1, 2]")]]),
        (7, [[HumanMessage(content="7")]]),
        (MISSING, [[]]),
    ],
)
def test_messages_of_other_inputs(value: Any, messages: Any) -> None:
    """JSON, a graph's state, and the input of another run, which filters have put into this run's event."""
    assert messages_of(value) == messages


@pytest.mark.parametrize(
    ("value", "prompts"),
    [
        ({"prompts": ["p"]}, ["p"]),
        ({"topic": "tea"}, ["{'topic': 'tea'}"]),
        (7, ["7"]),
        (MISSING, [""]),
    ],
)
def test_prompts(value: Any, prompts: list[str]) -> None:
    """The prompts of the event, or the text of any other input."""
    assert prompts_of(value) == prompts


def test_prompts_are_a_list_of_their_own() -> None:
    """Handlers may extend it."""
    value = {"prompts": ["p"]}
    prompts_of(value).append("q")
    assert value == {"prompts": ["p"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, ("{'a': 1}", {"a": 1}, None)),
        ({}, ("{}", {}, None)),
        ("tea", ("tea", None, None)),
        ({"name": "weigh", "args": {"a": 1}, "id": "c1", "type": "tool_call"}, ("{'a': 1}", {"a": 1}, "c1")),
        ({"type": "tool_call"}, ("{'type': 'tool_call'}", {"type": "tool_call"}, None)),
        (None, ("", None, None)),
        (MISSING, ("", None, None)),
        (7, ("7", None, None)),
    ],
)
def test_tool_inputs(value: Any, expected: Any) -> None:
    """Text, named arguments and the id of the call, as far as each is told."""
    before = copy.deepcopy(value) if value is not MISSING else value
    assert tool_input_of(value) == expected
    assert value == before


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ({"query": "tea"}, "tea"),
        ("tea", "tea"),
        ({"query": "tea", "k": 1}, "{'query': 'tea', 'k': 1}"),
        (7, "7"),
        (MISSING, ""),
    ],
)
def test_queries(value: Any, query: str) -> None:
    """The query of the event, or the argument itself."""
    assert query_of(value) == query
