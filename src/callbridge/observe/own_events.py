"""Runnables with their own `astream_events`, such as LangServe's client of a server. callbridge reads their events from it.

The work of such a runnable happens elsewhere, and its callbacks do not come here. It gets the caller's config unchanged,
because it may send the config on as JSON.
"""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from callbridge.core.calls import Payload
from callbridge.core.runs import MISSING
from callbridge.observe.event_sender import EventSender

__all__ = ["has_own_events", "pass_on_events", "runs_elsewhere"]


def has_own_events(runnable: Runnable[Any, Any]) -> bool:
    """Return whether a runnable makes events in its own way."""
    return not _is_langchains(type(runnable).astream_events)


def runs_elsewhere(runnable: Runnable[Any, Any]) -> bool:
    """Return whether code from outside LangChain streams the runnable. It may do anything with the config."""
    kind = type(runnable)
    return not (_is_langchains(kind.astream) and _is_langchains(kind.stream))


def _is_langchains(method: Any) -> bool:
    package = str(getattr(method, "__module__", "")).partition(".")[0]
    return package == "langgraph" or package.split("_")[0] == "langchain"


async def pass_on_events(
    sender: EventSender, runnable: Runnable[Any, Any], value: Payload, config: RunnableConfig | None, kwargs: dict[str, Any]
) -> Payload:
    """Send the events that a runnable streams.

    Args:
        sender: Receives the events.
        runnable: The runnable.
        value: Its input.
        config: Its config.
        kwargs: Further arguments of its `astream_events`, including filters.

    Returns:
        The output of the root run.
    """
    output: Payload = None
    events: Any = runnable.astream_events(value, config, version="v2", **kwargs)
    async with aclosing(events) if hasattr(events, "aclose") else nullcontext(events):
        async for event in events:
            if event["event"].endswith("_end") and not event.get("parent_ids"):
                output = event["data"].get("output", MISSING)
            if sender.pass_on(event):
                await sender.room()
    return None if output is MISSING else output
