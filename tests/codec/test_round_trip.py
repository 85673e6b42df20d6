"""`loads(dumps(x)) == x`, for everything that has a form."""

from __future__ import annotations

import json
from collections import defaultdict
from copy import deepcopy
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from langchain_core.documents import Document
from langchain_core.load import dumps as langchain_dumps
from langchain_core.load import load
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables.utils import AddableDict

from callbridge import dumps, loads
from callbridge.compat import CORE_VERSION
from codec.payloads import events, payloads

# LangChain 0.3.0.
pytestmark = pytest.mark.filterwarnings("ignore:The class `RemoveMessage` is in beta")

MESSAGES = [
    HumanMessage(content="hi", name="ann", id="m1"),
    AIMessage(content="", tool_calls=[{"name": "weigh", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]),
    AIMessageChunk(content="par", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    AIMessage(content=[{"type": "text", "text": "a"}, "b"], response_metadata={"model_name": "m"}),
    ToolMessage(content="4", tool_call_id="c1", artifact={"raw": 4}, status="error"),
]


def same(left: Any, right: Any) -> bool:
    """Equal, with equal types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, LLMResult):
        return left == right and same(left.run, right.run)
    return bool(left == right)


@given(payloads)
def test_any_payload_comes_back(payload: Any) -> None:
    """Equal and of the same type, dicts that look like marks included; and it was not written to."""
    before = deepcopy(payload)
    text = dumps(payload)
    assert same(loads(text), payload)
    assert payload == before
    assert text.isascii()
    assert "\n" not in text


@given(events)
def test_any_event_comes_back(event: dict[str, Any]) -> None:
    """Bytes are as good as text."""
    assert same(loads(dumps(event).encode()), event)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_that_langchain_dumped_come_back(message: BaseMessage) -> None:
    """The envelope is LangChain's own."""
    assert same(loads(langchain_dumps([message])), [message])


@pytest.mark.filterwarnings("ignore:The function `load` is in beta", "ignore:The default value of `allowed_objects`")
def test_langchain_reads_what_dumps_writes() -> None:
    """Whoever has LangChain alone needs nothing else."""
    message = AIMessage(content="hi", tool_calls=[{"name": "t", "args": {"a": 1}, "id": "c", "type": "tool_call"}], id="m")
    document = Document(page_content="text", metadata={"page": 1})
    output = {"output": message, "documents": [document]}
    assert load(json.loads(dumps(output))) == output


@pytest.mark.skipif(CORE_VERSION < (1, 2, 5), reason="LangChain has marked such dicts since 1.2.5")
def test_dicts_that_langchain_has_marked_come_back() -> None:
    """What the user wrote into metadata is never taken for an object."""
    metadata = {"a": {"lc": 1, "type": "secret", "id": ["HOME"]}, "b": {"__lc_escaped__": 1}}
    document = Document(page_content="", metadata=metadata)
    assert loads(langchain_dumps(document)) == document


def test_a_snapshot_is_not_changed_by_what_happens_later() -> None:
    """Agents go on working on the very lists and messages that their events hold."""
    message, scratch = AIMessage(content="a"), [1]
    text = dumps({"message": message, "scratch": scratch})
    message.content = "b"
    scratch.append(2)
    assert loads(text) == {"message": AIMessage(content="a"), "scratch": [1]}


def test_chunks_of_dicts_still_add_up() -> None:
    """Chunks of `RunnableParallel` are of a class of their own, with `+`."""
    left, right = loads(dumps([AddableDict(a="x"), AddableDict(a="y")]))
    assert left + right == {"a": "xy"}


def test_what_is_equal_to_a_plain_value_is_written_as_one() -> None:
    """Subclasses of Python's own types, as enumerations of strings are."""

    class Colour(str, Enum):
        RED = "red"

    class Level(IntEnum):
        LOW = 1

    class Point(NamedTuple):
        x: int

    value = [Colour.RED, Level.LOW, Point(3), defaultdict(list, a=[1]), bytearray(b"x"), {Colour.RED: 1}]
    assert loads(dumps(value)) == ["red", 1, (3,), {"a": [1]}, b"x", {"red": 1}] == value


def test_numbers_that_json_does_not_have() -> None:
    """Infinities, not-a-number, and integers with more digits than a reader accepts."""
    huge = 7**9999
    infinite, negative, nothing, integer = loads(dumps([float("inf"), float("-inf"), float("nan"), -huge]))
    assert infinite == float("inf")
    assert negative == float("-inf")
    assert nothing != nothing
    assert integer == -huge


def test_one_token_is_small_on_the_wire() -> None:
    """What goes without saying is left out."""
    assert json.loads(dumps(AIMessageChunk(content="Hel", id="run-1"))) == {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "AIMessageChunk"],
        "kwargs": {"content": "Hel", "type": "AIMessageChunk", "id": "run-1"},
    }


def test_a_message_of_somebodys_own_comes_back_as_its_base() -> None:
    """A handler that gets it needs a message."""

    class Whisper(HumanMessage):
        volume: int = 1

    message = ToolMessage(content="", tool_call_id="c", artifact=Whisper(content="psst", id="m"))
    assert loads(dumps(message)).artifact == HumanMessage(content="psst", id="m")


def test_langgraphs_objects_come_back() -> None:
    """Commands, what they send, and interrupts."""
    types = pytest.importorskip("langgraph.types")
    message = AIMessage(content="done")
    values = [types.Send("node", {"m": message}), types.Interrupt(value={"ask": message})]
    if hasattr(types, "Command"):
        values.append(types.Command(goto=types.Send("node", 1), update={"messages": [message]}, resume=("a", None)))
    assert same(loads(dumps(values)), values)


def test_actions_of_tool_calling_agents_come_back() -> None:
    """`ToolAgentAction` is in a package that need not be installed."""
    tools = pytest.importorskip("langchain_classic.agents.output_parsers.tools")
    action = tools.ToolAgentAction(tool="t", tool_input={}, log="", message_log=[AIMessage(content="")], tool_call_id="c")
    assert same(loads(dumps(action)), action)
