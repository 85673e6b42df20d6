"""Hypothesis strategies: what models stream, chunk by chunk, as the providers' packages make it."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import GenerationChunk

__all__ = ["MIXED_CONTENTS_ADD_UP", "contents", "messages", "scripts", "tokens"]

tokens = st.text("ab ü€\n", max_size=3)

MESSAGE_ID = "msg_1"


def _mixed_contents_add_up() -> bool:
    blocks = AIMessageChunk(content=[{"type": "text", "index": 0}])
    try:
        reduce(add, [AIMessageChunk(content="a"), blocks, blocks])
    except TypeError:  # older versions look for an index in a string
        return False
    return True


MIXED_CONTENTS_ADD_UP = _mixed_contents_add_up()
"""Whether this LangChain itself can make one message of text and blocks."""


def usages(draw: st.DrawFn) -> dict[str, Any]:
    sent, made = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    return {"input_tokens": sent, "output_tokens": made, "total_tokens": sent + made}


def block(draw: st.DrawFn, index: int) -> dict[str, Any]:
    """A content block; every index has one type, as with providers."""
    if index == 0:
        return {"type": "reasoning", "reasoning": draw(tokens), "index": index}
    return {"type": "text", "text": draw(tokens), "index": index}


def call_piece(draw: st.DrawFn, index: int, begun: set[int]) -> dict[str, Any]:
    """A piece of a tool call: the first one has its name and id."""
    is_first = index not in begun
    begun.add(index)
    name, call_id = (f"tool_{index}", f"call_{index}") if is_first else (None, None)
    return {"name": name, "args": draw(tokens), "id": call_id, "index": index, "type": "tool_call_chunk"}


@st.composite
def contents(draw: st.DrawFn, text: bool) -> Any:
    """Text, or a list of blocks."""
    if text:
        return draw(tokens)
    return [block(draw, index) for index in draw(st.lists(st.integers(0, 2), max_size=2, unique=True))]


@st.composite
def messages(draw: st.DrawFn, usage: bool = True) -> list[AIMessageChunk]:
    """The chunks of one answer: text and blocks in any mix, tool calls in pieces, usage and metadata."""
    begun: set[int] = set()
    chunks = []
    is_text = draw(st.sampled_from([[True], [False], [True, False]] if MIXED_CONTENTS_ADD_UP else [[True], [False]]))
    for _ in range(draw(st.integers(1, 12))):
        calls = [call_piece(draw, index, begun) for index in draw(st.lists(st.integers(0, 1), max_size=2, unique=True))]
        chunks.append(
            AIMessageChunk(
                content=draw(contents(draw(st.sampled_from(is_text)))),
                tool_call_chunks=calls if draw(st.booleans()) else [],
                usage_metadata=usages(draw) if usage and draw(st.booleans()) else None,
                response_metadata=draw(st.sampled_from([{}, {}, {"model_name": "m"}])),
                id=MESSAGE_ID,
            )
        )
    return chunks


@st.composite
def scripts(draw: st.DrawFn) -> list[Any]:
    """The chunks of one run, of any kind that adds up."""
    kind = draw(st.sampled_from(["message", "text", "generation", "dict"]))
    if kind == "message":
        return draw(messages())
    texts = draw(st.lists(tokens, min_size=1, max_size=12))
    if kind == "text":
        return list(texts)
    if kind == "generation":
        return [GenerationChunk(text=text, generation_info=draw(st.sampled_from([None, {"by": "x"}]))) for text in texts]
    from langchain_core.runnables import AddableDict

    said = [AddableDict({draw(st.sampled_from("ab")): text}) for text in texts]
    said += [AddableDict(c=chunk) for chunk in draw(messages())]
    return [AddableDict(docs=[1]), *draw(st.permutations(said))] if draw(st.booleans()) else said
