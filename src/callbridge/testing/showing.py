"""A recording as lines of text, for `python -m callbridge replay`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from callbridge.core.text import text_of
from callbridge.testing.recording import Recording
from callbridge.testing.replaying import paced

__all__ = ["shown"]

_WIDTH = 100
"""Characters of a payload that a line shows."""


def shown(
    recording: Recording,
    *,
    speed: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[str]:
    """Give a line for each event: when, what, whose, and the text or payload; indented below the run's parents.

    Args:
        recording: The recording.
        speed: How fast: 1 is as recorded. None: at once.
        clock: Gives the time in seconds.
        sleep: Waits for as many seconds.

    Returns:
        The lines, and a last one that says how the recording ended. A recorded error is told there, and not raised.
    """
    seconds = iter(recording.seconds)
    events = recording.events if speed is None else paced(recording.events, recording.seconds, speed, clock, sleep)
    for event in events:
        indent = "  " * len(event.get("parent_ids") or ())
        yield f"{next(seconds):10.3f}  {indent}{event.get('event')}  {event.get('name')}  {_cut(_payload(event))}".rstrip()
    error = "" if recording.error is None else f": {type(recording.error).__name__}: {_cut(str(recording.error))}"
    yield f"{recording.end}{error} ({len(recording.events)} events, recorded with {_versions(recording)})"


def _payload(event: dict[str, Any]) -> str:
    """Return what an event is about: the text of a message or chunk, else what there is."""
    data = event.get("data")
    if not isinstance(data, dict):
        return repr(data)
    value = next((data[key] for key in ("chunk", "error", "output", "input") if key in data), data)
    content = getattr(value, "content", None)
    return repr(value if content is None else text_of(content))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def _versions(recording: Recording) -> str:
    return ", ".join(f"{name} {number}" for name, number in recording.versions.items())
