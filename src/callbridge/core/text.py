"""`VisibleText`: the text that models write, with each piece once."""

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
    """Return the text in a message's content, which is a string or a list of strings and content blocks.

    Other blocks (reasoning, images, tool calls) have no text.
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

    It skips prompts, parsers, chains and graphs, which pass the same text on, and models tagged `nostream`. A model that did
    not stream gives its text at its end. If a model breaks off and a retry or a fallback takes its place, the new text comes
    after a blank line.
    """

    def __init__(self) -> None:
        self._attempts = Attempts()

    def feed(self, event: Event) -> str:
        """Return the text that an event adds; `""` for most events."""
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
    """Return the text of a message, a generation chunk, or a plain string from a root completion model."""
    if isinstance(chunk, str):
        return str(chunk)
    content = getattr(chunk, "content", None)
    return text_of(getattr(chunk, "text", None) if content is None else content)


def result_text(result: Payload) -> str:
    """Return the text of an `LLMResult`: the first generation for each prompt."""
    first = (group[0] for group in getattr(result, "generations", ()) if group)
    return "".join(chunk_text(getattr(made, "message", made)) for made in first)


def output_text(output: Payload) -> str:
    """Return the text of a model's output, which is a message or the dict of a completion model's generations."""
    if isinstance(output, dict):
        return "".join(group[0]["text"] for group in output.get("generations") or () if group)
    return chunk_text(output)
