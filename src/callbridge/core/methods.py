"""The total table of LangChain's callback methods.

Every `on_*` method of the installed `BaseCallbackHandler` has a row here, or the test suite fails. So a new LangChain cannot
add a callback that callbridge loses silently.

Source: `langchain_core/callbacks/base.py` and `callbacks/manager.py` (ignore flags), `tracers/event_stream.py`
(event names), 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = ["METHODS", "Method", "Phase"]

Phase: TypeAlias = Literal["start", "stream", "end", "error", "note"]
"""The part of a run's life that a call reports. A `note` neither begins nor ends the run."""


@dataclass(frozen=True, slots=True)
class Method:
    """The meaning of one callback method."""

    name: str
    phase: Phase
    ignored_by: str | None
    """The handler attribute that switches the method off; `None` if nothing does."""

    event: str | None
    """The v2 event, with `{}` for the run type; `None` if v2 has none."""

    extended: str | None = None
    """The event of the extended vocabulary, if v2 has none."""

    unmapped: str = ""
    """Why it has no event in either vocabulary."""


def _rows() -> tuple[Method, ...]:
    return (
        Method("on_llm_start", "start", "ignore_llm", "on_llm_start"),
        Method("on_chat_model_start", "start", "ignore_chat_model", "on_chat_model_start"),
        Method("on_llm_new_token", "stream", "ignore_llm", "on_{}_stream"),
        Method("on_llm_end", "end", "ignore_llm", "on_{}_end"),
        Method("on_llm_error", "error", "ignore_llm", None, "on_{}_error"),
        Method("on_chain_start", "start", "ignore_chain", "on_{}_start"),
        Method("on_chain_end", "end", "ignore_chain", "on_{}_end"),
        Method("on_chain_error", "error", "ignore_chain", None, "on_{}_error"),
        Method("on_tool_start", "start", "ignore_agent", "on_tool_start"),
        Method("on_tool_end", "end", "ignore_agent", "on_tool_end"),
        # v2 has the event since langchain-core 1.0.0; `compat.V2_HAS_TOOL_ERROR` says so.
        Method("on_tool_error", "error", "ignore_agent", "on_tool_error", "on_tool_error"),
        Method("on_retriever_start", "start", "ignore_retriever", "on_retriever_start"),
        Method("on_retriever_end", "end", "ignore_retriever", "on_retriever_end"),
        Method("on_retriever_error", "error", "ignore_retriever", None, "on_retriever_error"),
        Method("on_custom_event", "note", "ignore_custom_event", "on_custom_event"),
        Method("on_agent_action", "note", "ignore_agent", None, "on_agent_action"),
        Method("on_agent_finish", "note", "ignore_agent", None, "on_agent_finish"),
        Method("on_text", "note", None, None, "on_text"),
        Method("on_retry", "note", "ignore_retry", None, "on_retry"),
        # Under version 3; see `CallsToEvents`.
        Method("on_stream_event", "stream", "ignore_llm", "on_chat_model_stream"),
    )


METHODS: Mapping[str, Method] = MappingProxyType({row.name: row for row in _rows()})
"""The meaning of each callback method, by its name."""
