"""`stream_messages`, `astream_messages`: read any code that calls models in the style of version 3, even legacy chains.

The messages are LangChain's own `ChatModelStream` and `AsyncChatModelStream`. `EventsToProtocol` translates the run's events
for their public `dispatch`. Reading a message, or asking for the next one, pulls events of the run. So the run goes as far as
it is read, and `capacity` further. Each message keeps the events that were pulled for it on the way.

A message begins with the first output of its model. Reading a message raises its own error. Asking for the next message raises
the run's error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from langchain_core.runnables import Runnable

from callbridge import compat
from callbridge.core.calls import Payload
from callbridge.core.protocol.encode import EventsToProtocol
from callbridge.core.text import UNSEEN_TAGS
from callbridge.errors import RunUnfinishedError, VersionError
from callbridge.observe.observed_calls import astream_call, stream_call
from callbridge.observe.reading import StreamStatistics
from callbridge.observe.runnables import astream_events, stream_events
from callbridge.observe.streams import AsyncEventStream, EventStream

if TYPE_CHECKING:
    from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
    from langchain_core.runnables import RunnableConfig

    from callbridge.events import Event

__all__ = ["AsyncMessageStream", "MessageStream", "astream_messages", "stream_messages"]

R = TypeVar("R")


@overload
def stream_messages(
    call: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, /, **options: Any
) -> MessageStream[Any]: ...
@overload
def stream_messages(call: Callable[..., Awaitable[R]], /, *args: Any, **options: Any) -> MessageStream[R]: ...
@overload
def stream_messages(call: Callable[..., Awaitable[R] | R], /, *args: Any, **options: Any) -> MessageStream[R]: ...
def stream_messages(call: Any, /, *args: Any, **options: Any) -> MessageStream[Any]:
    """Read a run as messages, one for each model call, from sync code. No event loop is needed.

    This also works where LangChain's `version="v3"` refuses: LCEL chains, legacy chains, agent executors, any code.

    Args:
        call: A runnable, or a callable.
        *args: The runnable's input and config, as in `stream_events`; the callable's arguments, as in `stream_call`.
        **options: See `StreamOptions`. For a runnable, also the keyword arguments of its `stream`.

    Returns:
        An iterator and context manager over `ChatModelStream`s. Its `result` is what the call returned.

    Raises:
        VersionError: LangChain is older than 1.4 and has no `ChatModelStream`.
        ArgumentError: As `stream_events` or `stream_call`.

    Example:
        ```python
        with callbridge.stream_messages(chain, {"drink": "tea"}) as messages:
            for message in messages:
                print("".join(message.text))
        #> With hot water.
        ```
    """
    _check_version()
    options["extended"] = True
    events = stream_events(call, *args, **options) if isinstance(call, Runnable) else stream_call(call, *args, **options)
    return MessageStream(events)


@overload
def astream_messages(
    call: Runnable[Any, Any], input: Payload, config: RunnableConfig | None = None, /, **options: Any
) -> AsyncMessageStream[Any]: ...
@overload
def astream_messages(call: Callable[..., Awaitable[R]], /, *args: Any, **options: Any) -> AsyncMessageStream[R]: ...
@overload
def astream_messages(call: Callable[..., Awaitable[R] | R], /, *args: Any, **options: Any) -> AsyncMessageStream[R]: ...
def astream_messages(call: Any, /, *args: Any, **options: Any) -> AsyncMessageStream[Any]:
    """Read a run as messages, one for each model call.

    Args:
        call: A runnable, or a sync or async callable.
        *args: The runnable's input and config, as in `astream_events`; the callable's arguments, as in `astream_call`.
        **options: See `StreamOptions`. For a runnable, also the keyword arguments of its `astream`.

    Returns:
        An async iterator and context manager over `AsyncChatModelStream`s. Its `result` is what the call returned.

    Raises:
        VersionError: LangChain is older than 1.4 and has no `AsyncChatModelStream`.
        ArgumentError: As `astream_events` or `astream_call`.

    Cancellation: leaving cancels the run and awaits it; see `AsyncEventStream`.

    Example:
        ```python
        async with callbridge.astream_messages(chain, {"drink": "tea"}) as messages:
            async for message in messages:
                print(await message.text)
        #> With hot water.
        ```
    """
    _check_version()
    options["extended"] = True
    events = astream_events(call, *args, **options) if isinstance(call, Runnable) else astream_call(call, *args, **options)
    return AsyncMessageStream(events)


def _check_version() -> None:
    if not compat.HAS_V3:
        raise VersionError(
            "langchain-core", version("langchain-core"), "1.4.0 or later, which has the messages that callbridge makes"
        )


class _Messages:
    """The open messages, and those that no reader has received yet.

    Args:
        make: Makes a message from its namespace, node and id.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._protocol = EventsToProtocol(snapshots=not compat.HAS_TOOL_CALL_DELTA)
        self._open: dict[str, Any] = {}  # by run; removed at the run's end
        self.ready: deque[Any] = deque()

    def feed(self, event: Event) -> None:
        """Process an event of the run."""
        if not UNSEEN_TAGS.isdisjoint(event["tags"]):
            return
        data: Payload = event["data"]
        if event["event"] in ("on_chat_model_error", "on_llm_error"):
            self._fail(event["run_id"], data["error"])
        for one in self._protocol.feed(event):
            if one["method"] == "messages":
                self._dispatch(one["params"])

    def _dispatch(self, params: dict[str, Any]) -> None:
        told, run_id = params["data"], params["run_id"]
        if told["event"] == "message-start":
            message = self._make(namespace=params["namespace"], node=params.get("node"), message_id=told["id"])
            self._open[run_id] = message
            self.ready.append(message)
        message = self._open.get(run_id)
        if message is not None:
            message.dispatch(told)
        if told["event"] == "message-finish":
            self._open.pop(run_id, None)

    def _fail(self, run_id: str, error: BaseException) -> None:
        message = self._open.pop(run_id, None)
        if message is not None:
            message.fail(error)

    def end(self, error: BaseException | None) -> None:
        """Fail all open messages."""
        for run_id in list(self._open):
            self._fail(run_id, error or RunUnfinishedError(run_id, "ChatModel"))


class _Pump:
    """Pulls events out of a stream, for the reader of a message or of the next message."""

    def __init__(self, events: EventStream[Any]) -> None:
        from langchain_core.language_models.chat_model_stream import ChatModelStream  # noqa: PLC0415 - since 1.4

        self.events = events
        self.error: BaseException | None = None
        self.ended = False
        self._kind = ChatModelStream
        self.messages = _Messages(self._make)

    def _make(self, **where: Any) -> ChatModelStream:
        message = self._kind(**where)
        message.set_request_more(self.pull)
        return message

    def pull(self) -> bool:
        """Pull one event. Return whether there was one."""
        if self.ended:
            return False
        try:
            event = next(self.events)
        except StopIteration:
            self._end(None)
            return False
        except Exception as error:  # noqa: BLE001 - raised to whoever asks for the next message
            self._end(error)
            return False
        except BaseException as error:
            self._end(error)
            raise
        self.messages.feed(event)
        return True

    def _end(self, error: BaseException | None) -> None:
        self.ended, self.error = True, error
        self.messages.end(error)


class MessageStream(Generic[R]):
    """The messages of a run that this stream starts, owns and ends; made by `stream_messages`.

    Threads: one reads, the stream and all of its messages.

    Example:
        ```python
        with callbridge.stream_messages(chain.invoke, {"drink": "tea"}) as messages:
            texts = [str(message.text) for message in messages]
        print(texts, messages.result.content)
        #> ['With hot water.'] With hot water.
        ```
    """

    def __init__(self, events: EventStream[R]) -> None:
        self._pump = _Pump(events)

    def __iter__(self) -> MessageStream[R]:
        iter(self._pump.events)
        return self

    def __next__(self) -> ChatModelStream:
        pump = self._pump
        while not pump.messages.ready:
            if not pump.pull():
                break
        if pump.messages.ready:
            return cast("ChatModelStream", pump.messages.ready.popleft())
        error, pump.error = pump.error, None
        if error is not None:
            raise error
        raise StopIteration

    @property
    def result(self) -> R:
        """Exactly what the call returned, or the root run's output.

        Raises:
            ResultNotReadyError: The end has not been read yet, or the reader left before it.
            BaseException: The error with which the run ended.
        """
        result: R = self._pump.events.result
        return result

    def statistics(self) -> StreamStatistics:
        """Return counters of the channel and the number of runs remembered."""
        return self._pump.events.statistics()

    def close(self) -> None:
        """Leave: stop the run at its next callback and wait until it has ended. Messages that go on fail. Idempotent."""
        self._pump.ended = True
        try:
            self._pump.events.close()
        finally:
            self._pump.messages.end(None)

    def __enter__(self) -> MessageStream[R]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._pump.events!r}>"


class _AsyncPump:
    """The same for async code. If several tasks read, one pulls, and the others look at what it has pulled."""

    def __init__(self, events: AsyncEventStream[Any]) -> None:
        from langchain_core.language_models.chat_model_stream import AsyncChatModelStream  # noqa: PLC0415 - since 1.4

        self.events = events
        self.error: BaseException | None = None
        self.ended = False
        self._kind = AsyncChatModelStream
        self._pulled = 0
        self._turn = asyncio.Lock()
        self.messages = _Messages(self._make)

    def _make(self, **where: Any) -> AsyncChatModelStream:
        message = self._kind(**where)
        message.set_arequest_more(self.pull)
        return message

    async def pull(self) -> bool:
        """Pull one event, or find that another task has. Return whether there was one."""
        before = self._pulled
        async with self._turn:
            if self._pulled != before:
                return True
            if self.ended:
                return False
            try:
                event = await anext(self.events)
            except StopAsyncIteration:
                self.end(None)
                return False
            except Exception as error:  # noqa: BLE001 - raised to whoever asks for the next message
                self.end(error)
                return False
            self._pulled += 1
            self.messages.feed(event)
            return True

    def end(self, error: BaseException | None) -> None:
        """Fail all open messages."""
        self.ended, self.error = True, error
        self.messages.end(error)


class AsyncMessageStream(Generic[R]):
    """The messages of a run that this stream starts, owns and ends; made by `astream_messages`.

    Cancellation: as of `AsyncEventStream`. Inside `async with`, a read that is cancelled has lost nothing.
    Threads: the loop in which it was first read.

    Example:
        ```python
        async with callbridge.astream_messages(chain.ainvoke, {"drink": "tea"}) as messages:
            texts = [await message.text async for message in messages]
        print(texts, messages.result.content)
        #> ['With hot water.'] With hot water.
        ```
    """

    def __init__(self, events: AsyncEventStream[R]) -> None:
        self._pump = _AsyncPump(events)

    def __aiter__(self) -> AsyncMessageStream[R]:
        aiter(self._pump.events)
        return self

    async def __anext__(self) -> AsyncChatModelStream:
        pump = self._pump
        while not pump.messages.ready:
            if not await pump.pull():
                break
        if pump.messages.ready:
            return cast("AsyncChatModelStream", pump.messages.ready.popleft())
        error, pump.error = pump.error, None
        if error is not None:
            raise error
        raise StopAsyncIteration

    @property
    def result(self) -> R:
        """Exactly what the call returned, or the root run's output.

        Raises:
            ResultNotReadyError: The end has not been read yet, or the reader left before it.
            BaseException: The error with which the run ended.
        """
        result: R = self._pump.events.result
        return result

    def statistics(self) -> StreamStatistics:
        """Return counters of the channel and the number of runs remembered."""
        return self._pump.events.statistics()

    async def aclose(self) -> None:
        """Leave: cancel the run and wait until it has ended, its cleanup included. Messages that go on fail. Idempotent.

        Cancellation: shielded from cancel scopes; a native cancellation is raised when the run has ended.
        """
        self._pump.ended = True
        try:
            await self._pump.events.aclose()
        finally:
            self._pump.messages.end(None)

    async def __aenter__(self) -> AsyncMessageStream[R]:
        await self._pump.events.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._pump.events!r}>"
