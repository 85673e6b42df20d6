"""Chunks made without validation: nothing tells them from those that LangChain makes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

from callbridge.core import chunks
from callbridge.core.chunks import chat_chunk, text_message


class Own(AIMessageChunk):
    """A message class of somebody's own, with a field more."""

    mood: str = "calm"


MESSAGES = [
    AIMessageChunk(content=""),
    AIMessageChunk(content="tea", id="run-1", response_metadata={"model_name": "m"}),
    AIMessageChunk(
        content="",
        tool_call_chunks=[{"name": "brew", "args": "{}", "id": "1", "index": 0, "type": "tool_call_chunk"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    AIMessageChunk(content=[]),
    AIMessageChunk(content=["green ", {"type": "text", "text": "tea"}, {"type": "image_url", "image_url": "x"}]),
    AIMessageChunk(content=[{"text": "no type"}]),
    Own(content="tea", mood="excited"),
]

each_message = pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))


def all_of_it(chunk: ChatGenerationChunk | AIMessageChunk) -> dict[str, Any]:
    """Return everything an object of pydantic has, with types, and what it looks like."""
    return {
        "class": type(chunk),
        "fields": [(name, type(value), value) for name, value in vars(chunk).items()],
        "slots": [getattr(chunk, name) for name in BaseModel.__slots__ if name != "__dict__"],
        "type of set": type(chunk.__pydantic_fields_set__),
        "fields set": chunk.model_fields_set,
        "repr": repr(chunk),
        "dump": chunk.model_dump(),
        "dump of what was set": chunk.model_dump(exclude_unset=True),
        "json": chunk.model_dump_json(),
        "constructor": dumpd(chunk),
        "constructor's json": dumps(chunk),
    }


@each_message
def test_a_chunk_is_what_langchain_makes(message: AIMessageChunk) -> None:
    """In every respect that an object of pydantic has."""
    ours, theirs = chat_chunk(message), ChatGenerationChunk(message=message)
    assert ours == theirs
    assert theirs == ours
    assert ours.message is message
    assert all_of_it(ours) == all_of_it(theirs)


@each_message
@pytest.mark.parametrize(
    "after",
    [
        copy.copy,
        copy.deepcopy,
        lambda chunk: pickle.loads(pickle.dumps(chunk)),
        lambda chunk: chunk.model_copy(deep=True),
        lambda chunk: chunk + ChatGenerationChunk(message=AIMessageChunk(content="!"), generation_info={"logprobs": [1]}),
        lambda chunk: ChatGenerationChunk(message=AIMessageChunk(content="!")) + chunk,
        lambda chunk: chunk + [chunk, chunk],  # noqa: RUF005  # that is no list
        lambda chunk: ChatGenerationChunk.model_validate(chunk),
        lambda chunk: ChatGenerationChunk.model_validate(chunk.model_dump()),
    ],
    ids=["copy", "deepcopy", "pickle", "model_copy", "plus", "added", "plus list", "validated", "out of its dump"],
)
def test_what_is_made_of_a_chunk_is_the_same(message: AIMessageChunk, after: Callable[[Any], Any]) -> None:
    """Copies, sums and pickles; and where the one raises, so does the other."""

    def outcome(chunk: ChatGenerationChunk) -> Any:
        try:
            return all_of_it(after(chunk))
        except TypeError as error:  # sums of some contents, in LangChain 0.3
            return str(error)

    # LangChain 0.3 writes to a message that it adds to.
    assert outcome(chat_chunk(copy.deepcopy(message))) == outcome(ChatGenerationChunk(message=copy.deepcopy(message)))


def test_chunks_share_nothing() -> None:
    """A handler that writes to its chunk changes no other, and not the event's message."""
    message = AIMessageChunk(content="tea")
    first, second = chat_chunk(message), chat_chunk(message)
    first.generation_info = {"seen": True}
    first.text = "coffee"
    assert (second.generation_info, second.text, message.content) == (None, "tea", "tea")
    assert second.model_fields_set == {"message", "text"}
    assert chat_chunk(message).generation_info is None


def test_the_short_way_is_taken() -> None:
    """On every pydantic and langchain-core that the suite runs on; a new layout shows here."""
    assert chunks._LAYOUT_IS_KNOWN


def test_an_unknown_layout_is_left_to_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk is made the long way then."""
    monkeypatch.setattr(chunks, "_LAYOUT_IS_KNOWN", False)
    assert all_of_it(chat_chunk(MESSAGES[1])) == all_of_it(ChatGenerationChunk(message=MESSAGES[1]))


@pytest.mark.parametrize("message_id", ["lc_run--7", None])
@pytest.mark.parametrize("text", ["tea", "", "\ud800 \r\n"])
def test_a_text_is_the_message_that_langchain_makes(text: str, message_id: str | None) -> None:
    """In every respect that an object of pydantic has, but for JSON of what is no Unicode."""

    def seen(message: AIMessageChunk) -> Any:
        try:
            return all_of_it(message)
        except ValueError as error:
            return str(error)

    ours, theirs = text_message(text, message_id), AIMessageChunk(content=text, id=message_id)
    assert ours == theirs
    assert seen(ours) == seen(theirs)
    assert (ours + ours) == (theirs + theirs)
    assert seen(copy.deepcopy(ours)) == seen(copy.deepcopy(theirs))
    assert seen(pickle.loads(pickle.dumps(ours))) == seen(pickle.loads(pickle.dumps(theirs)))


def test_texts_share_nothing() -> None:
    """Writing to one message does not change another."""
    first, second = text_message("tea", "1"), text_message("tea", "1")
    for value in vars(first).values():
        if isinstance(value, list):
            value.append("seen")
        elif isinstance(value, dict):
            value["seen"] = True
    assert second == text_message("tea", "1") == AIMessageChunk(content="tea", id="1")


def test_a_text_of_an_unknown_layout_is_left_to_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chunks._MESSAGE_LAYOUT_IS_KNOWN
    monkeypatch.setattr(chunks, "_MESSAGE_LAYOUT_IS_KNOWN", False)
    assert all_of_it(text_message("tea", "1")) == all_of_it(AIMessageChunk(content="tea", id="1"))
