"""Text, reasoning and citations of a message or a chunk, whatever its provider's format.

`content_blocks` (langchain-core 1.0) translates the formats that it knows. This module reads the others itself, and before 1.0
all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from callbridge.core.calls import Payload
from callbridge.core.facts import PieceKind
from callbridge.core.text import chunk_text

__all__ = ["Said", "said_in"]


class Said(NamedTuple):
    """A part of a message's content."""

    kind: PieceKind
    text: str
    index: Payload = None
    """The block it belongs to, if the provider numbers its blocks."""
    citations: tuple[Mapping[str, Any], ...] = ()
    """The sources of the text: dicts with `url` and `title`."""


_REASONING_KEYS: Final = ("reasoning_content", "reasoning")
"""Keys of `additional_kwargs`: the first for DeepSeek and those that copy it, the second for Groq."""


def said_in(message: Payload, *, reasoning: bool) -> Iterable[Said]:
    """Return the parts of a message, a chunk or a completion, in order.

    Args:
        message: One of these, or a string.
        reasoning: Whether to include reasoning.
    """
    content = getattr(message, "content", None)
    if not isinstance(content, list):
        if reasoning:
            thought = _thought_beside(message)
            if thought:
                yield Said("reasoning", thought)
        text = content if type(content) is str else chunk_text(message)
        if text:
            yield Said("text", text)
        return
    seen_beside = False
    for block in _blocks(message, content):
        said = _read(block)
        if said is not None and (said.text or said.citations) and (reasoning or said.kind == "text"):
            seen_beside = seen_beside or said.kind == "reasoning"
            yield said
    if reasoning and not seen_beside:
        thought = _thought_beside(message)
        if thought:
            yield Said("reasoning", thought)


def _thought_beside(message: Payload) -> str:
    """Return the reasoning that is stored outside the content."""
    beside = getattr(message, "additional_kwargs", None)
    if not beside:
        return ""
    found = next((beside[key] for key in _REASONING_KEYS if beside.get(key)), "")
    return found if isinstance(found, str) else _summary(found) if isinstance(found, Mapping) else ""


def _blocks(message: Payload, content: list[Any]) -> Iterable[Any]:
    try:
        found = getattr(message, "content_blocks", None)
    except Exception:  # noqa: BLE001 - translators choke on blocks that their provider would never send
        found = None
    return content if found is None else found


def _read(block: Payload) -> Said | None:
    if isinstance(block, str):
        return Said("text", block)
    if not isinstance(block, Mapping):
        return None
    kind, index = block.get("type"), block.get("index")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        inner = _read(block["value"])
        return None if inner is None else inner._replace(index=index if inner.index is None else inner.index)
    if kind in ("text", "text_delta"):
        return Said("text", _text(block.get("text")), index, _citations(block))
    if kind == "reasoning":
        return Said("reasoning", _text(block.get("reasoning")) or _summary(block), index)
    if kind == "thinking":
        return Said("reasoning", _text(block.get("thinking")), index)
    if kind == "reasoning_content" and isinstance(block.get("reasoning_content"), Mapping):
        return Said("reasoning", _text(block["reasoning_content"].get("text")), index)
    return None


def _text(value: Payload) -> str:
    return value if isinstance(value, str) else ""


def _summary(block: Mapping[str, Any]) -> str:
    """Return the text of a summary as OpenAI writes it: `[{"type": "summary_text", "text": ...}]`."""
    parts = block.get("summary")
    return "".join(_text(part.get("text")) for part in parts if isinstance(part, Mapping)) if isinstance(parts, list) else ""


def _citations(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    found = block.get("annotations") or block.get("citations")
    if not isinstance(found, list):
        return ()
    return tuple(each for each in found if isinstance(each, Mapping) and isinstance(each.get("url"), str))
