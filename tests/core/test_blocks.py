"""What messages say, as the providers write it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from callbridge.core.blocks import said_in


def said(message: Any, *, reasoning: bool = True) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in said_in(message, reasoning=reasoning)]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "why"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "w"}, {"type": "summary_text", "text": "hy"}]},
        {"type": "thinking", "thinking": "why", "signature": "s"},
        {"type": "reasoning_content", "reasoning_content": {"text": "why", "signature": "s"}},
        {"type": "non_standard", "value": {"type": "thinking", "thinking": "why"}},
    ],
    ids=["standard", "openai", "anthropic", "bedrock", "wrapped"],
)
def test_reasoning_is_found_as_each_provider_writes_it(block: dict[str, Any]) -> None:
    """In its place among the text, and only if it is asked for."""
    message = AIMessage([block, {"type": "text", "text": "so"}])
    assert said(message) == [("reasoning", "why"), ("text", "so")]
    assert said(message, reasoning=False) == [("text", "so")]


@pytest.mark.parametrize("beside", [{"reasoning_content": "why"}, {"reasoning": {"summary": [{"text": "why"}]}}])
def test_reasoning_beside_the_content_is_found_once(beside: Any) -> None:
    chunk = AIMessageChunk(content="so", additional_kwargs=beside)
    assert said(chunk) == [("reasoning", "why"), ("text", "so")]
    assert said(chunk, reasoning=False) == [("text", "so")]


def test_plain_texts_and_completions_say_what_they_are() -> None:
    from langchain_core.outputs import GenerationChunk

    assert said("tea") == [("text", "tea")]
    assert said(GenerationChunk(text="tea")) == [("text", "tea")]
    assert said(AIMessage(["a", {"type": "text", "text": "b"}, {"type": "image_url", "image_url": "x"}])) == [
        ("text", "a"),
        ("text", "b"),
    ]


@pytest.mark.parametrize(
    "content", [[3], [None], [{}], [{"type": "text"}], [{"type": "text", "text": None}], [{"type": "thinking"}]]
)
def test_blocks_that_no_provider_would_send_say_nothing(content: Any) -> None:
    chunk = AIMessageChunk(content="")
    object.__setattr__(chunk, "content", content)
    assert said(chunk) == []
