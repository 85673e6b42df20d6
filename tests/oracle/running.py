"""Run a scenario in any mode and take LangChain's own v2 events of it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler

from scenarios import SYNC, Mode, Scenario

from .recording import LoggedCall, Recorder

Event = dict[str, Any]
Outcome = tuple[Any, "BaseException | None"]
"""What a call returned (a list of chunks for a streaming mode) and what it raised; one of the two is `None`."""


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Keep the cycle collector out of a call that LangChain's own event handler observes, and collect at its end.

    A stream that a failed run left behind reports its end when it is collected. If that happens inside
    `ThreadPoolExecutor.submit`, LangChain's async handler submits again, under a lock that is held: a deadlock, seen on
    langchain-core 0.3.0 to 1.8.1. What the call made is all in the youngest generation then, so collecting that is enough.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def without_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error and its causes, because their frames keep streams alive that would report later."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


async def langchain_events(
    runnable: Any, value: Any, config: dict[str, Any] | None = None, **options: Any
) -> tuple[list[Event], BaseException | None]:
    """The events of `runnable.astream_events(value, config, version="v2", **options)`, and what the iteration raised."""
    events: list[Event] = []
    failure: BaseException | None = None
    with garbage_kept():
        try:
            async with aclosing(runnable.astream_events(value, config, version="v2", **options)) as stream:
                async for event in stream:
                    events.append(event)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            failure = error
            without_frames(error)
    return events, failure


def reference_events(scenario: Scenario, **filters: Any) -> tuple[list[Event], BaseException | None]:
    """The same for a scenario, in a loop of its own: for sync tests."""
    runnable, value = scenario.make()
    return asyncio.run(langchain_events(runnable, value, scenario.new_config() or None, **filters))


# -- one call


def _inputs(mode: Mode, value: Any) -> Any:
    return [value, value] if mode in ("batch", "abatch") else value


def _merged(mode: Mode, config: dict[str, Any], callbacks: list[Any] | None) -> dict[str, Any]:
    merged = dict(config)
    if callbacks is not None:
        merged["callbacks"] = [*(merged.get("callbacks") or []), *callbacks]
    if mode in ("batch", "abatch"):
        # The two calls of a batch take turns: which fake answers which input must not depend on the threads.
        merged.setdefault("max_concurrency", 1)
    return merged


def run_call(mode: Mode, runnable: Any, value: Any, config: dict[str, Any]) -> Outcome:
    """One sync call: "invoke", "stream" or "batch" (with the input twice). Errors are returned, not raised."""
    chunks: list[Any] = []
    try:
        if mode == "stream":
            for chunk in runnable.stream(value, config):
                chunks.append(chunk)
            return chunks, None
        return getattr(runnable, mode)(_inputs(mode, value), config), None
    except Exception as error:
        return None, error


async def arun_call(mode: Mode, runnable: Any, value: Any, config: dict[str, Any]) -> Outcome:
    """One async call: "ainvoke", "astream" or "abatch" (with the input twice). Errors are returned, not raised."""
    chunks: list[Any] = []
    try:
        if mode == "astream":
            async with aclosing(runnable.astream(value, config)) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
            return chunks, None
        return await getattr(runnable, mode)(_inputs(mode, value), config), None
    except asyncio.CancelledError:
        raise
    except Exception as error:
        return None, error


def run_attached(scenario: Scenario, mode: Mode, callbacks: list[Any]) -> Outcome:
    """Run the scenario with these handlers in `config["callbacks"]`.

    A sync mode runs in this thread if no loop runs in it, in a thread of its own otherwise; an async mode in a loop of its own.
    """
    return _outside_any_loop(lambda: _run_here(scenario, mode, callbacks))


def _run_here(scenario: Scenario, mode: Mode, callbacks: list[Any]) -> Outcome:
    runnable, value = scenario.make()
    config = _merged(mode, scenario.new_config(), callbacks)
    if mode in SYNC:
        return run_call(mode, runnable, value, config)
    return asyncio.run(arun_call(mode, runnable, value, config))


def _outside_any_loop(work: Callable[[], Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


# -- LangChain's own handler


class _Collected:
    """Stands in for the handler's memory stream, which belongs to one loop: sync runs have none, or a new one per event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send_nowait(self, event: Event) -> None:
        self.events.append(event)


def reference_handler(**filters: Any) -> tuple[Any, list[Event]]:
    """LangChain's own v2 handler, and the list that its events go to, in the order in which it sends them.

    Before langchain-core 1.0 the constructor wants a current event loop: it gets one that nothing else uses.
    """
    loop = asyncio.new_event_loop()
    try:
        handler = loop.run_until_complete(_build(filters))
    finally:
        loop.close()
    collected = _Collected()
    handler.send_stream = collected
    return handler, collected.events


async def _build(filters: dict[str, Any]) -> Any:
    return _AstreamEventsCallbackHandler(**filters)


def attached_reference_events(scenario: Scenario, mode: Mode, **filters: Any) -> tuple[list[Event], BaseException | None]:
    """The events that LangChain's own v2 handler sends when it is attached to one call of the scenario, and the call's error.

    Args:
        scenario: What to run.
        mode: Any but "astream_events".
        **filters: As for `astream_events`.
    """

    def work() -> tuple[list[Event], BaseException | None]:
        handler, events = reference_handler(**filters)
        with garbage_kept():
            _, error = _run_here(scenario, mode, [handler])
            seen = list(events)
            without_frames(error)
        return seen, error

    result: tuple[list[Event], BaseException | None] = _outside_any_loop(work)
    return result


def direct_calls(
    scenario: Scenario, mode: Mode, recorder: Recorder | None = None
) -> tuple[list[LoggedCall], BaseException | None]:
    """What a plain handler is called with when it is attached to one call of the scenario, and the call's error."""
    attached = recorder if recorder is not None else Recorder()
    _, error = run_attached(scenario, mode, [attached])
    return list(attached.calls), error
