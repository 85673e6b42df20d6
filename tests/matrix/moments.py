"""The moments at which a reader leaves, and how it comes to each of them."""

from __future__ import annotations

from typing import Any

from anyio.lowlevel import checkpoint

MOMENTS = ["before the first event", "in mid-stream", "channel full", "error pending"]

OPTIONS: dict[str, dict[str, Any]] = {"channel full": {"capacity": 1}, "in mid-stream": {"capacity": 1}}
"""Options of the stream: a run that has room would be over by the time its reader leaves in mid-stream."""


def _is_word(event: Any) -> bool:
    return event["event"] in ("on_chat_model_stream", "on_custom_event")


async def reach(stream: Any, moment: str) -> None:
    """Read until it is time to leave; not for the first moment, which comes while the first read waits."""
    async for event in stream:
        if moment != "in mid-stream" or _is_word(event):
            break
    if moment == "channel full":
        while not is_full(stream):
            await checkpoint()
    if moment == "error pending":
        while stream.statistics().runs:
            await checkpoint()


def reach_sync(stream: Any, moment: str) -> None:
    """The same without a loop."""
    for event in stream:
        if moment != "in mid-stream" or _is_word(event):
            break
    while (moment == "channel full" and not is_full(stream)) or (moment == "error pending" and stream.statistics().runs):
        pass


def is_full(stream: Any) -> bool:
    """Return whether a producer waits for room, or had no way to."""
    channel = stream.statistics().channel
    return bool(channel.waiting_producers or channel.overruns)
