"""LangChain callbacks as event streams, and event streams as callbacks.

Callbacks as events: `astream_call` and `stream_call` read any call, `astream_events` and `stream_events` read a runnable.
`EventStreamHandler` is a handler that you can iterate. `wrap_handler` makes one of an old handler.

Events to callbacks: `adispatch_events` and `dispatch_events` call old handlers with events and pass the events on. `adrive` and
`drive` read events to the end. `CallbackDispatcher` takes events one by one.

Beyond one process: `callbridge.relay` keeps the events of a run for readers anywhere.

`StreamOptions` has the options of all streams. `callbridge.events` has the types of all events.
"""

# All names but the errors are resolved on first use (PEP 562), so that importing the package costs nothing and changes nothing.
# Where each lives is in `_MODULES`; the imports for type checkers are the same list.

from __future__ import annotations

import sys
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from callbridge.errors import (
    ArgumentError,
    CallableTypeError,
    CallbridgeError,
    CallbridgeWarning,
    CallFormatError,
    CapacityError,
    ChannelClosedError,
    ChannelOverflow,
    ConcurrentReadError,
    DispatcherClosedError,
    DuplicateHandlerWarning,
    EventFormatError,
    EventLoopError,
    EventSequenceError,
    FreeThreadingWarning,
    HandlerTypeError,
    JSONFormatError,
    LeaseLostError,
    OptionError,
    OptionWarning,
    OverflowPolicyError,
    PositionError,
    RecordingError,
    RecordVersionError,
    RelayAccessError,
    RelayClosedError,
    RelayConnectionError,
    RelayError,
    RelayGapError,
    RelayUnreachableError,
    RelayURLError,
    RelayVersionError,
    RemoteError,
    ResultNotReadyError,
    RunError,
    RunFailedError,
    RunIdError,
    RunLimitError,
    RunLostError,
    RunStoppedError,
    RunTakenError,
    RunUnfinishedError,
    StreamConsumedError,
    UnknownRunError,
    UnsupportedRunnableError,
    VersionError,
    WrappedNameError,
)

if TYPE_CHECKING:
    from typing import Any

    from callbridge import events, relay
    from callbridge.channel.memory import open_channel
    from callbridge.codec.decode import loads
    from callbridge.codec.encode import dumps
    from callbridge.codec.unknown import UnknownObject
    from callbridge.core.calls import Call
    from callbridge.core.decode import EventsToCalls
    from callbridge.core.encode import CallsToEvents
    from callbridge.core.protocol.decode import ProtocolToEvents
    from callbridge.core.protocol.encode import EventsToProtocol
    from callbridge.dispatch.dispatched_events import adispatch_events, adrive, dispatch_events, drive
    from callbridge.dispatch.dispatcher import CallbackDispatcher
    from callbridge.observe.handler import EventStreamHandler
    from callbridge.observe.message_streams import AsyncMessageStream, MessageStream, astream_messages, stream_messages
    from callbridge.observe.observed_calls import astream_call, stream_call
    from callbridge.observe.options import HandlerOptions, StreamOptions
    from callbridge.observe.runnables import astream_events, stream_events
    from callbridge.observe.streams import AsyncEventStream, EventStream
    from callbridge.observe.token_handler import with_tokens
    from callbridge.observe.wrapped_handler import wrap_handler

    __version__: str

__all__ = [
    "ArgumentError",
    "AsyncEventStream",
    "AsyncMessageStream",
    "Call",
    "CallFormatError",
    "CallableTypeError",
    "CallbackDispatcher",
    "CallbridgeError",
    "CallbridgeWarning",
    "CallsToEvents",
    "CapacityError",
    "ChannelClosedError",
    "ChannelOverflow",
    "ConcurrentReadError",
    "DispatcherClosedError",
    "DuplicateHandlerWarning",
    "EventFormatError",
    "EventLoopError",
    "EventSequenceError",
    "EventStream",
    "EventStreamHandler",
    "EventsToCalls",
    "EventsToProtocol",
    "FreeThreadingWarning",
    "HandlerOptions",
    "HandlerTypeError",
    "JSONFormatError",
    "LeaseLostError",
    "MessageStream",
    "OptionError",
    "OptionWarning",
    "OverflowPolicyError",
    "PositionError",
    "ProtocolToEvents",
    "RecordVersionError",
    "RecordingError",
    "RelayAccessError",
    "RelayClosedError",
    "RelayConnectionError",
    "RelayError",
    "RelayGapError",
    "RelayURLError",
    "RelayUnreachableError",
    "RelayVersionError",
    "RemoteError",
    "ResultNotReadyError",
    "RunError",
    "RunFailedError",
    "RunIdError",
    "RunLimitError",
    "RunLostError",
    "RunStoppedError",
    "RunTakenError",
    "RunUnfinishedError",
    "StreamConsumedError",
    "StreamOptions",
    "UnknownObject",
    "UnknownRunError",
    "UnsupportedRunnableError",
    "VersionError",
    "WrappedNameError",
    "__version__",
    "adispatch_events",
    "adrive",
    "astream_call",
    "astream_events",
    "astream_messages",
    "dispatch_events",
    "drive",
    "dumps",
    "events",
    "loads",
    "open_channel",
    "relay",
    "stream_call",
    "stream_events",
    "stream_messages",
    "with_tokens",
    "wrap_handler",
]

_MODULES = MappingProxyType(
    {
        "channel.memory": ("open_channel",),
        "codec.decode": ("loads",),
        "codec.encode": ("dumps",),
        "codec.unknown": ("UnknownObject",),
        "core.calls": ("Call",),
        "core.decode": ("EventsToCalls",),
        "core.encode": ("CallsToEvents",),
        "core.protocol.decode": ("ProtocolToEvents",),
        "core.protocol.encode": ("EventsToProtocol",),
        "dispatch.dispatched_events": ("adispatch_events", "adrive", "dispatch_events", "drive"),
        "dispatch.dispatcher": ("CallbackDispatcher",),
        "observe.handler": ("EventStreamHandler",),
        "observe.message_streams": ("AsyncMessageStream", "MessageStream", "astream_messages", "stream_messages"),
        "observe.observed_calls": ("astream_call", "stream_call"),
        "observe.options": ("HandlerOptions", "StreamOptions"),
        "observe.runnables": ("astream_events", "stream_events"),
        "observe.streams": ("AsyncEventStream", "EventStream"),
        "observe.token_handler": ("with_tokens",),
        "observe.wrapped_handler": ("wrap_handler",),
    }
)

_HOMES = MappingProxyType({name: module for module, names in _MODULES.items() for name in names})


def __getattr__(name: str) -> Any:
    """Resolve a public name on its first use."""
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in ("events", "relay"):
        value = import_module(f"{__name__}.{name}")
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


if sys.modules.get("langchain_core") is not None:
    # Most of it is loaded, and a program that imports callbridge now will use it: perhaps first inside a loop, which should not
    # wait.
    for _module in _MODULES:
        import_module(f"{__name__}.{_module}")
