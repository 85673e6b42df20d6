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
"""How many characters of a payload a line shows."""


def shown(
    recording: Recording,
    *,
    speed: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[str]:
    """Yield a line for each event: time, event, run, and text or payload, indented below the run's parents.

    Args:
        recording: The recording.
        speed: The speed: 1 is as recorded. None: at once.
        clock: Returns the time in seconds.
        sleep: Waits for a number of seconds.

    Returns:
        The lines, and a last one that says how the recording ended. It shows a recorded error, and does not raise it.
    """
    seconds = iter(recording.seconds)
    events = recording.events if speed is None else paced(recording.events, recording.seconds, speed, clock, sleep)
    for event in events:
        indent = "  " * len(event.get("parent_ids") or ())
        yield f"{next(seconds):10.3f}  {indent}{event.get('event')}  {event.get('name')}  {_cut(_payload(event))}".rstrip()
    error = "" if recording.error is None else f": {type(recording.error).__name__}: {_cut(str(recording.error))}"
    yield f"{recording.end}{error} ({len(recording.events)} events, recorded with {_versions(recording)})"


def _payload(event: dict[str, Any]) -> str:
    """Return the text of an event's message or chunk, else its payload."""
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
