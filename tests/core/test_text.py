"""`VisibleText`: each piece of what models write, once."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import GenerationChunk

from callbridge.core.text import VisibleText, text_of


def event(name: str, data: Any, run_id: str = "1", tags: tuple[str, ...] = ()) -> Any:
    return {"event": name, "name": "m", "run_id": run_id, "tags": list(tags), "metadata": {}, "parent_ids": [], "data": data}


def read(*events: Any) -> list[str]:
    visible = VisibleText()
    return [text for one in events if (text := visible.feed(one))]


def test_chunks_are_read_and_the_end_is_not_repeated() -> None:
    """A streaming model's text comes from its chunks alone."""
    assert read(
        event("on_chat_model_stream", {"chunk": AIMessageChunk("a")}),
        event("on_parser_stream", {"chunk": "a"}),
        event("on_chain_stream", {"chunk": "a"}),
        event("on_chat_model_stream", {"chunk": AIMessageChunk("b")}),
        event("on_chat_model_end", {"output": AIMessage("ab")}),
    ) == ["a", "b"]


def test_model_without_chunks_gives_its_text_at_the_end() -> None:
    """Nothing is lost when a model does not stream, of either kind."""
    llm = {"generations": [[{"text": "c", "generation_info": None, "type": "Generation"}]], "llm_output": None}
    assert read(event("on_chat_model_end", {"output": AIMessage("ab")}), event("on_llm_end", {"output": llm}, "2")) == [
        "ab",
        "c",
    ]


def test_empty_chunks_do_not_count_as_streaming() -> None:
    """A model whose chunks carried no text (a tool call) has none; one that failed is forgotten."""
    assert read(
        event("on_chat_model_stream", {"chunk": AIMessageChunk("")}),
        event("on_chat_model_end", {"output": AIMessage("")}),
        event("on_llm_stream", {"chunk": GenerationChunk(text="a")}, "2"),
        event("on_llm_error", {"error": ValueError()}, "2"),
    ) == ["a"]


@pytest.mark.parametrize("tag", ["nostream", "langsmith:nostream", "langsmith:hidden"])
def test_models_tagged_nostream_are_not_read(tag: str) -> None:
    """Text that is not for the user is not shown, streamed or not."""
    assert (
        read(
            event("on_chat_model_stream", {"chunk": AIMessageChunk("a")}, tags=(tag,)),
            event("on_chat_model_end", {"output": AIMessage("a")}, tags=(tag,)),
        )
        == []
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        ([{"type": "text", "text": "a"}, {"type": "reasoning", "reasoning": "hm"}, "b"], "ab"),
        ([{"type": "tool_use", "input": {}}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_content_blocks_give_their_text(content: Any, text: str) -> None:
    """Strings and text blocks are text; reasoning, images and tool calls are not."""
    assert text_of(content) == text


def test_root_completion_models_bare_strings_are_read() -> None:
    """LangChain hands out strings where the root is a completion model."""
    assert read(event("on_llm_stream", {"chunk": "a"}), event("on_llm_end", {"output": {"generations": []}})) == ["a"]
