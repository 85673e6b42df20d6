"""`astream_events`, `stream_events`: LangChain's `astream_events(version="v2")` through a channel, and its sync twin.

Source: `_astream_events_implementation_v2` (`langchain_core/tracers/event_stream.py`), `RunnableBindingBase.astream_events`
(`langchain_core/runnables/base.py`), 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, closing, nullcontext
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.base import RunnableBindingBase, RunnableEachBase

from callbridge.compat import new_run_id
from callbridge.core.calls import Payload
from callbridge.core.filters import Filters
from callbridge.core.runs import MISSING
from callbridge.errors import ArgumentError, UnsupportedRunnableError, VersionError
from callbridge.internals import merged_config
from callbridge.observe.options import OnExit, StreamOptions, warn_of_misspelled
from callbridge.observe.output_taps import drain, drain_root, tap, tap_root
from callbridge.observe.own_events import has_own_events, pass_on_events, runs_elsewhere
from callbridge.observe.owned_run_handler import OwnedRunHandler
from callbridge.observe.streams import AsyncEventStream, EventStream
from callbridge.running.owned_runs import TaskRun, ThreadRun

__all__ = ["astream_events", "stream_events"]

T = TypeVar("T")


def astream_events(
    runnable: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, *, version: str = "v2", **kwargs: Any
) -> AsyncEventStream[Any]:
    """Stream a runnable and read its events: a drop-in for `runnable.astream_events(input, version="v2")`.

    Args:
        runnable: Any runnable, LangGraph graphs included.
        input: Its input.
        config: Its config.
        version: The event schema. Only `"v2"` exists.
        **kwargs: Options (see `StreamOptions`). Others go to the runnable, with an `OptionWarning` if one looks misspelled.

    Returns:
        A stream of the same events, whose `result` is the root run's output.

    Raises:
        VersionError: The version is not `"v2"`.
        ArgumentError: An option has a value that is not allowed, `runnable` is not a runnable, or the config's callbacks are
            of a type that LangChain does not take.
        UnsupportedRunnableError: `map()` made the runnable; LangChain has no events for that as a root.

    Cancellation: leaving the stream cancels the run and awaits it; see `AsyncEventStream`.

    Example:
        ```python
        async with callbridge.astream_events(chain, {"drink": "tea"}, include_types=["chat_model"]) as stream:
            async for event in stream:
                if event["event"] == "on_chat_model_end":
                    print(event["data"]["output"].content)
        #> With hot water.
        ```
    """
    run = _Run(runnable, input, config, version, kwargs, other="astream_call")
    if isinstance(run.runnable, RunnableEachBase):
        expected = "one that implements astream_events; for this one there is astream_call(runnable.ainvoke, x)"
        raise UnsupportedRunnableError("runnable", run.runnable, expected)
    work = run.pass_on if run.has_own_events else run.astream
    return AsyncEventStream(
        run.handler, TaskRun(run.handler.sender, work, copy_context), on_exit=run.on_exit, attached=run.attached
    )


def stream_events(
    runnable: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, *, version: str = "v2", **kwargs: Any
) -> EventStream[Any]:
    """Stream a runnable by its sync API and read its events from sync code. LangChain has nothing like it for v2.

    The runnable's `stream` runs in its own thread, with a copy of the caller's context.

    Args:
        runnable: Any runnable, LangGraph graphs included.
        input: Its input.
        config: Its config.
        version: The event schema. Only `"v2"` exists.
        **kwargs: Options (see `StreamOptions`). Others go to the runnable, with an `OptionWarning` if one looks misspelled.

    Returns:
        A stream of the events that `astream_events` would make of the same run, whose `result` is the root run's output.

    Raises:
        VersionError: The version is not `"v2"`.
        ArgumentError: An option has a value that is not allowed, `runnable` is not a runnable, or the config's callbacks are
            of a type that LangChain does not take.

    Example:
        ```python
        with callbridge.stream_events(chain, {"drink": "tea"}) as stream:
            print("".join(stream.text()))
        #> With hot water.
        ```
    """
    run = _Run(runnable, input, config, version, kwargs, other="stream_call")
    work = run.pass_on if run.has_own_events else run.stream
    return EventStream(
        run.handler, ThreadRun(run.handler.sender, work, copy_context), on_exit=run.on_exit, attached=run.attached
    )


_NOT_EXTENDED: Final = (
    "one without its own astream_events, so that its events come from callbacks; leave out extended=True, or read the events "
    "of this process: astream_call(runnable.ainvoke, x, extended=True)"
)


class _Run:
    """One streamed run of a runnable with our handler attached.

    Args:
        runnable: The runnable, to be checked.
        value: Its input.
        config: Its config.
        version: The event schema.
        kwargs: Options, and keyword arguments of the runnable.
        other: The function to suggest for any other callable.
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
        self.runnable, self.given_config, self.kwargs = _unbound(runnable, config, kwargs)
        self.value = value
        self.has_own_events = has_own_events(self.runnable)
        if self.has_own_events:
            self.kwargs |= _own_filters(self.runnable, options)
        self.handler = OwnedRunHandler(root_input=value, **{"streaming": True, **options})
        _check_callbacks(self.given_config)
        self.attached = _handlers(ensure_config(self.given_config).get("callbacks"))

    def _begin(self, stream: Callable[..., T]) -> tuple[T, UUID | None]:
        """Return the run's chunks, and its id if that is known before it begins. Called where the run runs.

        This keeps no config: LangChain goes on with a copy of it.
        """
        config = ensure_config(self.given_config)
        config["callbacks"] = _with_handler(config.get("callbacks"), self.handler)
        if "run_id" not in config and not runs_elsewhere(self.runnable):
            # LangGraph and others see the run's id in the config. There, LangChain uses a version 7 id, too.
            config["run_id"] = new_run_id()
        return stream(self.value, config, **self.kwargs), config.get("run_id")

    async def astream(self) -> Payload:
        """Run the runnable in this task."""
        begun, run_id = self._begin(self.runnable.astream)
        async with _aclosing(begun) as output:
            sender = self.handler.sender
            if run_id is None:
                await drain_root(sender, output)
            else:
                await drain(sender, run_id, output)
        return self._output()

    def stream(self) -> Payload:
        """Run the runnable in this thread."""
        begun, run_id = self._begin(self.runnable.stream)
        with _closing(begun) as output:
            sender = self.handler.sender
            for _ in tap_root(sender, output) if run_id is None else tap(sender, run_id, output):
                pass
        return self._output()

    async def pass_on(self) -> Payload:
        """Send the events that the runnable makes itself."""
        return await pass_on_events(self.handler.sender, self.runnable, self.value, self.given_config, self.kwargs)

    def _output(self) -> Payload:
        output = self.handler.sender.encoder.root_output
        return None if output is MISSING else output


def _own_filters(runnable: Runnable[Any, Any], options: StreamOptions) -> dict[str, Any]:
    """Return the options that a runnable with its own events must handle itself."""
    if options.get("extended"):
        raise UnsupportedRunnableError("runnable", runnable, _NOT_EXTENDED)
    return {name: value for name, value in options.items() if name in Filters.__annotations__ and value is not None}


def _unbound(
    runnable: Runnable[Any, Any], config: RunnableConfig | None, kwargs: dict[str, Any]
) -> tuple[Runnable[Any, Any], RunnableConfig | None, dict[str, Any]]:
    """Unwrap bindings, as their own `astream_events` does: it streams the runnable inside."""
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
    """Return the user's callbacks followed by ours, without changing theirs."""
    if callbacks is None:
        return [handler]
    if isinstance(callbacks, list):
        return [*callbacks, handler]
    copied: BaseCallbackManager = callbacks.copy()
    copied.add_handler(handler, inherit=True)
    return copied


def _aclosing(output: Any) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """Close an iterator on leaving, if it can be closed. Third-party runnables may return any kind of iterator."""
    return aclosing(output) if hasattr(output, "aclose") else nullcontext(output)


def _closing(output: Any) -> AbstractContextManager[Iterator[Any]]:
    return closing(output) if hasattr(output, "close") else nullcontext(output)
