"""Runs and their events as lines of text, for `python -m callbridge relay`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from callbridge.core.text import VisibleText
from callbridge.errors import RunError, RunFailedError
from callbridge.relay.relay import Relay, RunSummary

__all__ = ["followed", "listed"]

_WIDTH = 100


def listed(relay: Relay) -> Iterator[str]:
    """Yield a line for each run of a relay, newest first."""
    runs = relay.runs_sync()
    width = max([len(run.run) for run in runs], default=3)
    yield f"{'run':<{width}}  {'status':<8}  {'attempt':>7}  {'events':>7}  {'bytes':>10}  {'age':>8}"
    for run in runs:
        yield _line(run, width)


def _line(run: RunSummary, width: int) -> str:
    minutes, seconds = divmod(int(run.seconds), 60)
    age = f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m{seconds:02}s"
    return f"{run.run:<{width}}  {run.status:<8}  {run.attempt:>7}  {run.events:>7}  {run.bytes:>10}  {age:>8}"


def followed(relay: Relay, run: str, *, after: str | None = None, show_events: bool = False) -> Iterator[str]:
    """Yield the visible text of a run as it comes, or a line for each event. The last line says how the run ended.

    Raises:
        RunError: The run cannot be followed, or has not ended well.
    """
    visible = VisibleText()
    said = ""
    try:
        with relay.follow(run, after=after) as follower:
            for event in follower:
                if show_events:
                    yield f"{follower.position}  {_described(event)}\n"
                else:
                    said = visible.feed(event)
                    if said:
                        yield said
        yield f"\n[{run}: ended]\n"
    except (RunError, RunFailedError) as error:
        yield f"\n[{error}]\n"
        raise


def _described(event: Any) -> str:
    data = event["data"]
    shown = repr(next((data[key] for key in ("chunk", "error", "output", "input") if key in data), data))
    indent = "  " * len(event.get("parent_ids") or ())
    return f"{indent}{event['event']}  {event['name']}  {shown if len(shown) <= _WIDTH else shown[:_WIDTH] + '…'}"
