"""`VisibleText`: the text that models write, each piece once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callbridge.core.calls import Payload

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["UNSEEN_TAGS", "VisibleText", "chunk_text", "output_text", "text_of"]

UNSEEN_TAGS = frozenset({"nostream", "langsmith:nostream", "langsmith:hidden"})
"""Tags that say a model's output is not for the user (`langgraph.constants.TAG_NOSTREAM`, `TAG_HIDDEN`)."""


def text_of(content: Payload) -> str:
    """Return the text in a message's content: a string, or a list of strings and content blocks.

    Blocks that are not text (reasoning, images, tool calls) have none.
    """
    if isinstance(content, str):
        return str(content)
    if not isinstance(content, list):
        return ""
    return "".join(
        block if isinstance(block, str) else block.get("text") or "" if block.get("type") in ("text", "text_delta") else ""
        for block in content
    )


class VisibleText:
    """Pick the text of models out of an event stream.

    Prompts, parsers, chains and graphs that stream the same text on are passed over, and so are models tagged `nostream`.
    A model that did not stream gives its text at its end.
    """

    def __init__(self) -> None:
        self._streamed: set[str] = set()  # model runs that gave text as chunks; removed at their end

    def feed(self, event: Event) -> str:
        """Return the text that this event adds; `""` for most."""
        name = event["event"]
        if name not in _READERS or not UNSEEN_TAGS.isdisjoint(event["tags"]):
            return ""
        run_id = event["run_id"]
        data: Payload = event["data"]
        if name.endswith("_stream"):
            text = chunk_text(data["chunk"])
            if text:
                self._streamed.add(run_id)
            return text
        if run_id in self._streamed or name.endswith("_error"):
            self._streamed.discard(run_id)
            return ""
        return output_text(data["output"])


_READERS = frozenset(f"on_{kind}_{phase}" for kind in ("chat_model", "llm") for phase in ("stream", "end", "error"))


def chunk_text(chunk: Payload) -> str:
    """Return the text of a message, a generation chunk, or a root completion model's bare string."""
    if isinstance(chunk, str):
        return str(chunk)
    content = getattr(chunk, "content", None)
    return text_of(getattr(chunk, "text", None) if content is None else content)


def output_text(output: Payload) -> str:
    """Return the text of a model's output: a message, or the dict of a completion model's generations."""
    if isinstance(output, dict):
        return "".join(group[0]["text"] for group in output.get("generations") or () if group)
    return chunk_text(output)
