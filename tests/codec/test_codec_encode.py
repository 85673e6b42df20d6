"""`dumps` never fails, and says what it could not keep."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load.serializable import Serializable
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel, Field, SecretStr

from callbridge import UnknownObject, dumps, loads
from callbridge.errors import RemoteError, RunUnfinishedError


class Odd:
    """An object that cannot be looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise RuntimeError("no")


class Liar:
    """An object that claims to be a dict."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return dict


class Unruly(dict[str, int]):
    """A dict that lies about itself."""

    def items(self) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")


class UntoldError(Exception):
    """An error that has no message."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Meta(type):
    """A class of classes whose names are none of anybody's business."""

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no")


class Hidden(metaclass=Meta):
    """An object of such a class."""


def cyclic() -> list[Any]:
    made: list[Any] = []
    made.append({"again": made})
    return made


def deep(levels: int) -> Any:
    made: Any = "bottom"
    for _ in range(levels):
        made = [made]
    return made


def broken_message() -> AIMessage:
    message = AIMessage(content="x")
    message.content = object()  # type: ignore[assignment]
    return message


AWKWARD: dict[str, Callable[[], Any]] = {
    "no repr": Odd,
    "no offset": lambda: datetime(2026, 1, 1, tzinfo=Nowhere()),
    "no class": Liar,
    "no items": lambda: Unruly(a=1),
    "no message": lambda: UntoldError("x"),
    "no module": Hidden,
    "a cycle": cyclic,
    "ten thousand levels": lambda: deep(10_000),
    "half a character": lambda: "\ud800",
    "half a character as a key": lambda: {"\udfff": 1},
    "a class": lambda: Odd,
    "a function": lambda: deep,
    "a module": lambda: sys,
    "a generator": lambda: (number for number in ()),
    "a message with content that is none": broken_message,
    "an object in a set": lambda: {object(), Odd},
    "a message as a key": lambda: {(1, frozenset([object()])): 1},
    "a released view": lambda: _released(),
    "a document that refers to itself": lambda: _selfish(),
}


def _released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


def _selfish() -> Document:
    document = Document(page_content="")
    document.metadata["self"] = document
    return document


@pytest.mark.parametrize("name", AWKWARD)
def test_no_value_makes_it_fail(name: str) -> None:
    """Strict JSON that can be read, wherever in the event the value is, and what is read can be written and read again."""
    text = dumps({"data": {"input": [AWKWARD[name]()]}})
    json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    once = dumps(loads(text))
    assert dumps(loads(once)) == once


@pytest.mark.parametrize("name", ["ten thousand levels", "a cycle", "no items"])
def test_it_does_not_fail_deep_inside_a_program(name: str) -> None:
    """With little of the stack left, it writes fewer levels."""

    def descend(levels: int) -> str:
        return descend(levels - 1) if levels else dumps([1, AWKWARD[name]()])

    depth = 0
    frame = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    assert loads(descend(sys.getrecursionlimit() - depth - 90))[0] == 1


def test_two_hundred_levels_are_kept_and_the_rest_is_marked() -> None:
    """The innermost that is kept is as it was."""
    assert loads(dumps(deep(190))) == deep(190)
    assert "not_implemented" in dumps(deep(400))


def test_the_same_object_twice_is_no_cycle() -> None:
    """Only what contains itself is cut."""
    message = AIMessage(content="x")
    assert loads(dumps([message, [message]])) == [message, [message]]


def test_an_unknown_object_is_marked_with_its_class_and_without_its_address() -> None:
    """The same object gives the same text in each process."""
    thing = loads(dumps({"x": Plain()}))["x"]
    assert thing == UnknownObject((*__name__.split("."), "Plain"), f"<{__name__}.Plain object>")
    assert loads(dumps(thing)) == thing
    assert len({thing, loads(dumps(thing))}) == 1


class Plain:
    """Nothing special."""


class Weather(BaseModel):
    """A structured output."""

    degrees: int
    said_by: HumanMessage
    key: SecretStr = SecretStr("hunter2")
    raw: str = Field("internal", repr=False)


@dataclass
class State:
    """A state of a graph."""

    question: str
    seen: list[Document] = field(default_factory=list)
    token: str = field(default="hunter2", repr=False)


def test_models_and_dataclasses_of_the_users_show_what_they_hold() -> None:
    """A page can show a structured answer; fields that its author hid from `repr` stay hidden."""
    weather = loads(dumps(Weather(degrees=21, said_by=HumanMessage(content="warm"))))
    assert weather.id[-1] == "Weather"
    assert weather.fields["degrees"] == 21
    assert weather.fields["said_by"] == HumanMessage(content="warm")
    assert "raw" not in weather.fields
    state = loads(dumps(State("why", [Document(page_content="d")])))
    assert state.fields == {"question": "why", "seen": [Document(page_content="d")]}
    assert "hunter2" not in dumps([Weather(degrees=1, said_by=HumanMessage(content="")), State("")])


def test_components_are_named_and_not_taken_apart() -> None:
    """A prompt, a model or a tool in a payload is code and configuration, not data."""
    thing = loads(dumps(PromptTemplate.from_template("{a}")))
    assert isinstance(thing, UnknownObject)
    assert thing.id[-1] == "PromptTemplate"
    assert not thing.fields


class Order(Serializable):
    """Data of an application, in LangChain's own base class."""

    drink: str
    key: str = "hunter2"
    asked: HumanMessage

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"key": "ORDER_KEY"}


class Signed(AIMessage):
    """A message with a secret."""

    key: str = "hunter2"
    hidden: str = Field("internal", exclude=True)
    seal: SecretStr = SecretStr("hunter2")

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"key": "SIGNING_KEY"}


def test_langchain_objects_of_the_users_show_what_they_hold() -> None:
    """Data is data, whatever it is made with; what the class declares to be secret stays here."""
    order = Order(drink="tea", asked=HumanMessage(content="please"))
    assert loads(dumps(order)).fields == {"drink": "tea", "asked": HumanMessage(content="please")}
    text = dumps([order, Signed(content="yes")])
    assert "hunter2" not in text
    assert "internal" not in text


def test_a_long_repr_is_cut() -> None:
    """A data frame says enough at its beginning."""

    class Long:
        def __repr__(self) -> str:
            return "x" * 100_000

    assert len(dumps(Long())) < 1000


def test_errors_of_pythons_own_come_back() -> None:
    """With their type, arguments and message."""
    errors: list[Exception] = [ValueError("v"), KeyError("k"), OSError(2, "gone"), ZeroDivisionError(), TimeoutError("t", [1])]
    for error in (*errors, OSError(2, "gone", "a.txt"), OSError(18, "across", "a.txt", None, "b.txt")):
        revived = loads(dumps({"error": error}))["error"]
        assert type(revived) is type(error)
        assert revived.args == error.args
        assert str(revived) == str(error)
    unfinished = loads(dumps(RunUnfinishedError("1", "chain")))
    assert isinstance(unfinished, RunUnfinishedError)
    assert unfinished.name == "chain"


@pytest.mark.parametrize("kind", [UntoldError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_other_errors_tell_their_type_and_message(kind: type[BaseException]) -> None:
    """Also errors that would end the program of a reader that raises them; and again on a second trip."""
    revived = loads(dumps(kind("why")))
    assert type(revived) is RemoteError
    assert revived.value["type"] == kind.__name__
    assert type(loads(dumps(revived))) is RemoteError
    assert loads(dumps(revived)).value == revived.value


def event(metadata: Any, data: Any = None) -> dict[str, Any]:
    return {"event": "on_chain_stream", "run_id": "1", "data": {"chunk": data}, "tags": [], "metadata": metadata}


@pytest.mark.parametrize(
    "metadata",
    [
        *({"a": one} for one in (1, True, 1.0, "1", b"1", bytearray(b"1"), array("B", b"1"), (1,), [1], {1}, AddableDict(a=1))),
        *({"a": one} for one in (-0.0, 0.0, float("inf"))),
        *({1: 1}, {"lc": 1}, [1], None),
    ],
    ids=repr,
)
def test_what_does_not_change_in_a_run_is_written_as_it_is(metadata: Any) -> None:
    """It is written once for many events; what only looks alike is another thing."""
    for like in ({"a": 1}, {"a": b"1"}, {"a": 0.0}, metadata):
        dumps(event(like))
    assert dumps(event(metadata, 2)) == dumps([event(metadata, 2)])[1:-1]


def test_an_event_in_its_own_data_is_a_cycle() -> None:
    """It is written once, and a mark stands for it inside."""
    own = event({})
    own["data"]["again"] = own
    assert dumps(own) == dumps([own])[1:-1]
    assert loads(dumps(own))["data"]["again"].id == ("builtins", "dict")


@pytest.mark.parametrize("text", ["plain", "é 漢字 🎉", '"\\/\b\f\n\r\t\x00\x1f\x7f\u2028', "\ud800"])
def test_it_writes_what_json_would(text: str) -> None:
    """The same escapes, no blanks, numbers as Python shows them."""
    value = {text: [text, 1, -2.5, 1e16, 5e-324, 2**70, None, True, {}]}
    assert dumps(value) == json.dumps(value, separators=(",", ":"))
