"""`loads(dumps(x)) == x`, for everything that has a form."""

from __future__ import annotations

import json
import pickle
from collections import defaultdict
from copy import deepcopy
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from langchain_core.agents import AgentAction
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps as langchain_dumps
from langchain_core.load import load
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, Field

from callbridge import drive, dumps, loads
from callbridge.compat import CORE_VERSION
from codec.payloads import events, payloads
from made_events import Run

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
    """A reader without callbridge needs only LangChain."""
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


class Whisper(HumanMessage):
    """What an application adds to a message; of raw data it wants to see nothing in a log."""

    volume: int = 1
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)


class Piece(AIMessageChunk):
    score: float = 0.0


class Ranked(Document):
    rank: int
    near: list[Document] = Field(default_factory=list)


class Scored(ChatGeneration):
    score: float = 0.0


class Planned(AgentAction):
    plan: tuple[str, ...] = ()


class Spoken(StringPromptValue):
    voice: str = "alto"


class Loose(Document):
    model_config = ConfigDict(extra="allow")


OWN = [
    (Whisper(content="psst", id="m", volume=2, raw={"rows": [1]}), HumanMessage, {"volume": 2, "raw": {"rows": [1]}}),
    (Piece(content="par", score=0.875), AIMessageChunk, {"score": 0.875}),
    (Ranked(page_content="p", rank=7, near=[Ranked(page_content="q", rank=8)]), Document, {"rank": 7}),
    (Scored(message=AIMessage(content="hi"), score=0.5), ChatGeneration, {"score": 0.5}),
    (Planned(tool="t", tool_input="a", log="", plan=("a", "b")), AgentAction, {"plan": ("a", "b")}),
    (Spoken(text="hi"), StringPromptValue, {"voice": "alto"}),
    (Loose(page_content="p", shelf="top"), Document, {"shelf": "top"}),
]


@pytest.mark.parametrize(("value", "base", "own"), OWN, ids=[type(value).__name__ for value, _, _ in OWN])
def test_an_object_of_somebodys_own_comes_back_as_its_base_with_its_own_fields(value: Any, base: Any, own: Any) -> None:
    """A handler that gets it needs a message, or a document; and what the class adds is what somebody wrote it for."""
    back = loads(dumps([value]))[0]
    assert isinstance(back, base)
    assert back.lc_id() == base.lc_id()
    assert {name: getattr(back, name) for name in own} == own
    assert {name: getattr(back, name) for name in base.model_fields} == {
        name: getattr(value, name) for name in base.model_fields
    }
    assert same(loads(dumps(back)), back)
    assert pickle.loads(pickle.dumps(back)) == deepcopy(back) == back


def test_documents_below_documents_of_somebodys_own_keep_their_fields() -> None:
    """However deep."""
    value = Ranked(page_content="p", rank=7, near=[Ranked(page_content="q", rank=8)])
    assert loads(dumps({"documents": [value]}))["documents"][0].near[0].rank == 8


@pytest.mark.filterwarnings("ignore:The function `load`", "ignore:The default value of `allowed_objects`")
def test_langchain_reads_objects_of_somebodys_own_as_their_base() -> None:
    """Its `load` knows nothing of further fields, and messages take them."""
    texts = [dumps(Whisper(content="psst", volume=2)), dumps(Ranked(page_content="p", rank=7))]
    message, document = (load(json.loads(text)) for text in texts)
    assert (type(message), message.content, message.volume) == (HumanMessage, "psst", 2)
    assert document == Document(page_content="p")


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


@pytest.mark.parametrize("name", ["GraphInterrupt", "GraphBubbleUp"])
def test_an_interrupt_comes_back_as_one(name: str) -> None:
    """Handlers ask `isinstance` whether a graph was paused or has failed."""
    errors, types = pytest.importorskip("langgraph.errors"), pytest.importorskip("langgraph.types")
    if not hasattr(errors, name):
        pytest.skip(f"this LangGraph has no {name}")
    paused = getattr(errors, name)((types.Interrupt("sure?"),))
    event = Run("chain").error(paused, status="interrupted")
    back = loads(dumps(event))["data"]["error"]
    assert type(back) is type(paused)
    assert back.args == paused.args


def test_a_command_to_another_graph_comes_back_as_an_interrupt_that_commands_nothing() -> None:
    """If a reader raised it, it would make a graph go elsewhere."""
    errors, types = pytest.importorskip("langgraph.errors"), pytest.importorskip("langgraph.types")
    if not hasattr(errors, "ParentCommand"):
        pytest.skip("this LangGraph has no ParentCommand")
    back = loads(dumps(errors.ParentCommand(types.Command(goto="elsewhere"))))
    assert type(back) is errors.GraphBubbleUp


def test_handlers_hear_of_an_interrupt_that_went_through_json() -> None:
    """And not of a failure."""
    errors, types = pytest.importorskip("langgraph.errors"), pytest.importorskip("langgraph.types")
    run, heard = Run("chain"), []

    class Handler(BaseCallbackHandler):
        def on_chain_error(self, error: BaseException, **_: Any) -> None:
            heard.append(error)

    paused = run.error(errors.GraphInterrupt((types.Interrupt("sure?"),)), status="interrupted", input=None)
    drive([loads(dumps(event)) for event in (run.start(input=1), paused)], Handler())
    assert [type(error) for error in heard] == [errors.GraphInterrupt]
