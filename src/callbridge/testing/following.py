"""`Following`: collects facts about a run while the new loop reads it, to judge the differences afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk

from callbridge.core.text import text_of
from callbridge.testing.differences import Run

if TYPE_CHECKING:
    from callbridge.events import Event

__all__ = ["Following"]


class Following:
    """Follows the events of a run.

    Args:
        made: The output of the new loop, which grows during the run.
    """

    def __init__(self, made: list[Any]) -> None:
        self._made = made
        self._models = 0
        self._made_at_first_end: int | None = None
        self._list_texts: set[str] = set()

    def before_next(self) -> None:
        """Called before the loop reads on: its output for the events so far is complete."""
        if self._models == 1 and self._made_at_first_end is None:
            self._made_at_first_end = len(self._made)

    def note(self, event: Event) -> None:
        """Called with each event, before the loop gets it."""
        if event["event"] in ("on_chat_model_end", "on_llm_end"):
            self._models += 1
        elif event["event"] == "on_chat_model_stream":
            chunk: Any = event["data"]["chunk"]
            if isinstance(chunk, AIMessageChunk) and isinstance(chunk.content, list):
                self._list_texts.add(text_of(chunk.content))

    def run(self) -> Run:
        """Return the facts."""
        return Run(self._models, self._made_at_first_end, frozenset(self._list_texts - {""}))
