"""The ways from a run to a handler: attached, which is what is right, and by the events of the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import callbridge as cb
from real_handlers.runs import Run

__all__ = ["CALLED", "LOOP", "REFERENCES", "STREAMED", "WAYS", "go"]

Way = Callable[[Any, Any, dict[str, Any], Any], Any]


def _with(config: dict[str, Any], handler: Any) -> dict[str, Any]:
    return {**config, "callbacks": [handler]}


async def _read(stream: Any, form: Callable[[Any], Any] = lambda event: event) -> list[Any]:
    """The events, each in some form, and the error at their end."""
    events: list[Any] = []
    try:
        async for event in stream:
            events.append(form(event))
    except Exception as error:
        events.append(error)
    return events


def _through_json(event: Any) -> Any:
    return cb.loads(cb.dumps(event))


def _drive(events: list[Any], handler: Any) -> None:
    def source() -> Any:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    cb.drive(source(), handler)


async def attached(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """`astream_events` with the handler in its config."""
    async for _ in runnable.astream_events(value, _with(config, handler), version="v2"):
        pass


async def called(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """`ainvoke` with the handler in its config."""
    await runnable.ainvoke(value, _with(config, handler))


async def live(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """The events as they come."""
    await cb.adrive(runnable.astream_events(value, config, version="v2"), handler)


async def recorded(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """All events first."""
    _drive(await _read(runnable.astream_events(value, config, version="v2")), handler)


async def json(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """All events first, each written as JSON when it came."""
    _drive(await _read(runnable.astream_events(value, config, version="v2"), _through_json), handler)


async def xlive(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """Extended events as they come."""
    await cb.adrive(cb.astream_events(runnable, value, config, extended=True), handler)


async def xjson(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """Extended events, as JSON."""
    _drive(await _read(cb.astream_events(runnable, value, config, extended=True), _through_json), handler)


async def call(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """An untouched `ainvoke`, observed."""
    await cb.adrive(cb.astream_call(runnable.ainvoke, value, config, streaming=False), handler)


async def xcall(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """The same with extended events."""
    await cb.adrive(cb.astream_call(runnable.ainvoke, value, config, streaming=False, extended=True), handler)


async def wrapped(runnable: Any, value: Any, config: dict[str, Any], handler: Any) -> None:
    """`wrap_handler`, attached."""
    with cb.wrap_handler(handler, roots=None) as iterator:
        await attached(runnable, value, config, iterator)


STREAMED: dict[str, Way] = {
    "live": live, "list": recorded, "json": json, "xlive": xlive, "xjson": xjson, "wrapped": wrapped,
}  # fmt: skip
"""Compared with `attached`."""

CALLED: dict[str, Way] = {"call": call, "xcall": xcall}
"""Compared with `called`."""

WAYS = {**STREAMED, **CALLED}
REFERENCES: dict[str, Way] = {"attached": attached, "called": called}


LOOP = asyncio.new_event_loop()  # one for all: `ChatOpenAI` shares its connections between models


def go(way: Way, run: Run, url: str, handler: Any) -> str:
    """Make the run and let the handler hear of it; return what was raised, if anything was."""
    logging.disable(logging.CRITICAL)
    runnable, value = run.make(url)
    try:
        LOOP.run_until_complete(way(runnable, value, dict(run.config), handler))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        logging.disable(logging.NOTSET)
    return ""
