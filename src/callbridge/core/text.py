"""`VisibleText`: the text that models write, each piece once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callbridge.core.attempts import Attempts
from callbridge.core.calls import Payload

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["UNSEEN_TAGS", "VisibleText", "chunk_text", "output_text", "result_text", "text_of"]

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
    A model that did not stream gives its text at its end. What is said instead of what a model has broken off, because it is
    tried again or has a fallback, comes after a blank line.
    """

    def __init__(self) -> None:
        self._attempts = Attempts()

    def feed(self, event: Event) -> str:
        """Return the text that this event adds; `""` for most."""
        name = event["event"]
        if name not in _READERS or not UNSEEN_TAGS.isdisjoint(event["tags"]):
            return ""
        run_id = event["run_id"]
        data: Payload = event["data"]
        attempts = self._attempts
        if name.endswith("_stream"):
            return attempts.say(run_id, chunk_text(data["chunk"]))
        if name.endswith("_start"):
            attempts.start(run_id)
            return ""
        failed = name.endswith("_error")
        text = "" if failed or attempts.has_spoken(run_id) else attempts.say(run_id, output_text(data["output"]))
        attempts.end(run_id, failed=failed)
        return text


_READERS = frozenset(f"on_{kind}_{phase}" for kind in ("chat_model", "llm") for phase in ("start", "stream", "end", "error"))


def chunk_text(chunk: Payload) -> str:
    """Return the text of a message, a generation chunk, or a root completion model's bare string."""
    if isinstance(chunk, str):
        return str(chunk)
    content = getattr(chunk, "content", None)
    return text_of(getattr(chunk, "text", None) if content is None else content)


def result_text(result: Payload) -> str:
    """Return the text of an `LLMResult`: that of the first generation for each prompt."""
    first = (group[0] for group in getattr(result, "generations", ()) if group)
    return "".join(chunk_text(getattr(made, "message", made)) for made in first)


def output_text(output: Payload) -> str:
    """Return the text of a model's output: a message, or the dict of a completion model's generations."""
    if isinstance(output, dict):
        return "".join(group[0]["text"] for group in output.get("generations") or () if group)
    return chunk_text(output)
