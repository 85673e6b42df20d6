"""`astream_events`, `stream_events`: LangChain's `astream_events(version="v2")` through a channel, and its sync twin.

Source: `_astream_events_implementation_v2` (`langchain_core/tracers/event_stream.py`), `RunnableBindingBase.astream_events`
(`langchain_core/runnables/base.py`), 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, closing, nullcontext
from contextvars import copy_context
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.base import RunnableBindingBase, RunnableEachBase

from callbridge.compat import new_run_id
from callbridge.core.calls import Payload
from callbridge.core.runs import MISSING
from callbridge.errors import ArgumentError, UnsupportedRunnableError, VersionError
from callbridge.internals import merged_config
from callbridge.observe.options import OnExit, StreamOptions, warn_of_misspelled
from callbridge.observe.output_taps import tap, tap_async
from callbridge.observe.owned_run_handler import OwnedRunHandler
from callbridge.observe.streams import AsyncEventStream, EventStream
from callbridge.running.owned_runs import TaskRun, ThreadRun

__all__ = ["astream_events", "stream_events"]


def astream_events(
    runnable: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, *, version: str = "v2", **kwargs: Any
) -> AsyncEventStream[Any]:
    """Stream a runnable and read its events: a drop-in for `runnable.astream_events(input, version="v2")`.

    Args:
        runnable: Any runnable, LangGraph graphs included.
        input: Its input.
        config: Its config.
        version: The event schema; `"v2"` is the one there is.
        **kwargs: Options (see `StreamOptions`); all else goes to the runnable, with an `OptionWarning` if misspelled.

    Returns:
        A stream of the same events, whose `result` is the root run's output.

    Raises:
        VersionError: The version is another one.
        ArgumentError: An option has a value that is not allowed, `runnable` is none, or the config's callbacks are of no type
            that LangChain takes.
        UnsupportedRunnableError: It is what `map()` makes; LangChain has no events for that as a root.

    Cancellation: leaving the stream cancels the run and awaits it; see `AsyncEventStream`.
    """
    run = _Run(runnable, input, config, version, kwargs, other="astream_call")
    if isinstance(run.runnable, RunnableEachBase):
        expected = "one that implements astream_events; for this one there is astream_call(runnable.ainvoke, x)"
        raise UnsupportedRunnableError("runnable", run.runnable, expected)
    return AsyncEventStream(
        run.handler, TaskRun(run.handler.sender, run.astream, copy_context), on_exit=run.on_exit, attached=run.attached
    )


def stream_events(
    runnable: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, *, version: str = "v2", **kwargs: Any
) -> EventStream[Any]:
    """Stream a runnable by its sync API and read its events, from sync code; LangChain has no such thing for v2.

    The runnable's `stream` runs in a thread of its own, with a copy of the caller's context.

    Args:
        runnable: Any runnable, LangGraph graphs included.
        input: Its input.
        config: Its config.
        version: The event schema; `"v2"` is the one there is.
        **kwargs: Options (see `StreamOptions`); all else goes to the runnable, with an `OptionWarning` if misspelled.

    Returns:
        A stream of the events that `astream_events` would make of the same run, whose `result` is the root run's output.

    Raises:
        VersionError: The version is another one.
        ArgumentError: An option has a value that is not allowed, `runnable` is none, or the config's callbacks are of no type
            that LangChain takes.
    """
    run = _Run(runnable, input, config, version, kwargs, other="stream_call")
    return EventStream(
        run.handler, ThreadRun(run.handler.sender, run.stream, copy_context), on_exit=run.on_exit, attached=run.attached
    )


class _Run:
    """One streamed run of a runnable with our handler attached.

    Args:
        runnable: The runnable, or whatever was given instead.
        value: Its input.
        config: Its config.
        version: The event schema.
        kwargs: Options, and what goes to the runnable.
        other: What takes any other callable.
    """

    def __init__(
        self,
        runnable: Payload,
        value: Payload,
        config: RunnableConfig | None,
        version: str,
        kwargs: dict[str, Any],
        *,
        other: str,
    ) -> None:
        if version != "v2":
            hint = (
                "; for LCEL and legacy chains too, stream_messages reads in the style of version 3" if version == "v3" else ""
            )
            raise VersionError("version", version, f"'v2'{hint}")
        if not isinstance(runnable, Runnable):
            raise ArgumentError("runnable", runnable, f"a LangChain Runnable; for any other callable there is {other}")
        _check_config(config)
        options = cast("StreamOptions", {key: kwargs.pop(key) for key in StreamOptions.__annotations__.keys() & kwargs.keys()})
        warn_of_misspelled(kwargs, stacklevel=3)
        self.on_exit: OnExit = options.pop("on_exit", "cancel")
        self.runnable, config, self.kwargs = _unbound(runnable, config, kwargs)
        self.value = value
        self.handler = OwnedRunHandler(root_input=value, **{"streaming": True, **options})
        _check_callbacks(config)
        self.config = ensure_config(config)
        self.attached = _handlers(self.config.get("callbacks"))
        # LangGraph and others see the run's id in the config; LangChain makes it a version 7 one there, too.
        self.run_id: UUID = self.config.get("run_id") or new_run_id()
        self.config["run_id"] = self.run_id
        self.config["callbacks"] = _with_handler(self.config.get("callbacks"), self.handler)

    async def astream(self) -> Payload:
        """Run it in this task."""
        async with _aclosing(self.runnable.astream(self.value, self.config, **self.kwargs)) as output:
            async for _ in tap_async(self.handler.sender, self.run_id, output):
                pass  # what it yields is in the events
        return self._output()

    def stream(self) -> Payload:
        """Run it in this thread."""
        with _closing(self.runnable.stream(self.value, self.config, **self.kwargs)) as output:
            for _ in tap(self.handler.sender, self.run_id, output):
                pass
        return self._output()

    def _output(self) -> Payload:
        output = self.handler.sender.encoder.root_output
        return None if output is MISSING else output


def _unbound(
    runnable: Runnable[Any, Any], config: RunnableConfig | None, kwargs: dict[str, Any]
) -> tuple[Runnable[Any, Any], RunnableConfig | None, dict[str, Any]]:
    """Unwrap bindings, as their own `astream_events` does: the run that is streamed is the one inside."""
    while isinstance(runnable, RunnableBindingBase) and (type(runnable).astream_events is RunnableBindingBase.astream_events):
        config = merged_config(runnable, config)
        kwargs = {**runnable.kwargs, **kwargs}
        runnable = runnable.bound
    return runnable, config, kwargs


def _handlers(callbacks: Payload) -> Sequence[BaseCallbackHandler]:
    if isinstance(callbacks, BaseCallbackManager):
        return callbacks.handlers
    return callbacks if isinstance(callbacks, list) else ()


def _check_config(config: object) -> None:
    if config is not None and not isinstance(config, Mapping):
        raise ArgumentError("config", config, "None or a RunnableConfig: a dict, as in {'callbacks': [handler]}")


def _check_callbacks(config: RunnableConfig | None) -> None:
    callbacks: Payload = (config or {}).get("callbacks")
    if callbacks is not None and not isinstance(callbacks, (list, BaseCallbackManager)):
        raise ArgumentError("config['callbacks']", callbacks, "None, a list of handlers, or a callback manager")


def _with_handler(callbacks: Payload, handler: BaseCallbackHandler) -> list[BaseCallbackHandler] | BaseCallbackManager:
    """Return the user's callbacks and ours behind them, leaving theirs as they are."""
    if callbacks is None:
        return [handler]
    if isinstance(callbacks, list):
        return [*callbacks, handler]
    copied: BaseCallbackManager = callbacks.copy()
    copied.add_handler(handler, inherit=True)
    return copied


def _aclosing(output: Any) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """Close an iterator on leaving, if it can be closed: third-party runnables may return any kind."""
    return aclosing(output) if hasattr(output, "aclose") else nullcontext(output)


def _closing(output: Any) -> AbstractContextManager[Iterator[Any]]:
    return closing(output) if hasattr(output, "close") else nullcontext(output)
