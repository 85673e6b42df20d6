"""Every exception and warning of callbridge.

```
CallbridgeError(Exception)
├─ ArgumentError(ValueError)           an argument with a value that is not allowed
│  ├─ CapacityError                    a channel for fewer than one item
│  ├─ OverflowPolicyError              an overflow policy that does not exist
│  ├─ VersionError                     an event schema that callbridge does not speak
│  ├─ UnsupportedRunnableError(NotImplementedError)  a runnable that has no `astream_events`
│  ├─ OptionError(TypeError)           a keyword argument that is not an option
│  ├─ HandlerTypeError(TypeError)      a handler that is not a `BaseCallbackHandler`
│  ├─ RelayURLError                    a URL that names no engine of the relay
│  ├─ RunIdError                       an id that no run of the relay may have
│  ├─ PositionError                    a value that is not a position, or a position in another run
│  └─ CallableTypeError(TypeError)     a call that is not callable, or that does nothing when called
├─ EventFormatError(ValueError)        a value that is not a v2 event
├─ EventSequenceError                  events that cannot come from one stream: a chunk before its start
├─ JSONFormatError(ValueError)         a text that is not the JSON of an event, or asks for more than data
├─ RecordingError(ValueError)          a file that is not a recording, or is damaged
├─ CallFormatError(ValueError)         a callback method that LangChain does not have
├─ ResultNotReadyError                 `result` read before the end
├─ StreamConsumedError                 a stream iterated again after its end
├─ ConcurrentReadError                 a second reader on a stream that has one
├─ ChannelClosedError                  sending into a channel whose sender or reader has closed it
│  └─ DispatcherClosedError            feeding a dispatcher that is closed
├─ WrappedNameError(AttributeError)    setting a name on a wrapped handler that its event stream has
├─ ChannelOverflow                     a full channel whose policy is `"fail"`
├─ EventLoopError                      a call that needs another kind of event loop
├─ RunUnfinishedError                  given to handlers for a run whose end was never reported
├─ RemoteError                         given to handlers for an error that arrived as text or JSON
│  └─ RunFailedError                   read from the relay: the run has failed in its worker
└─ RelayError                          something went wrong between a run, its log and its readers
   ├─ RelayConnectionError             the log cannot be used
   │  ├─ RelayUnreachableError(ConnectionError)  a server or file that does not exist or does not answer
   │  ├─ RelayAccessError(PermissionError)  a server or file that refuses us
   │  └─ RelayVersionError             a server that is too old
   ├─ RelayClosedError                 a relay that is used after it was closed
   └─ RunError                         an error that concerns one run
      ├─ RecordVersionError            a log that a newer callbridge has written
      ├─ UnknownRunError(LookupError)  a run that was never announced, has expired or was forgotten
      ├─ RunTakenError                 a second publisher, or a second run of the same id
      ├─ LeaseLostError                a publisher whose run was given up, or given to another
      ├─ RelayGapError                 events that are no longer there
      ├─ RunStoppedError               a run that somebody has stopped
      ├─ RunLostError                  a run whose worker has died, or that no worker took
      └─ RunLimitError                 a run that made more than its log may hold
CallbridgeWarning(UserWarning)
├─ DuplicateHandlerWarning             a handler attached to a run, and given its events as well
├─ FreeThreadingWarning                the interpreter runs without its global lock
└─ OptionWarning                       a keyword for the runnable that looks like an option
```

The constructor arguments are the facts. They are kept as attributes, and the message is built from them. So every error
survives pickling, and you never have to parse a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "ArgumentError",
    "CallFormatError",
    "CallableTypeError",
    "CallbridgeError",
    "CallbridgeWarning",
    "CapacityError",
    "ChannelClosedError",
    "ChannelOverflow",
    "ConcurrentReadError",
    "DispatcherClosedError",
    "DuplicateHandlerWarning",
    "EventFormatError",
    "EventLoopError",
    "EventSequenceError",
    "FreeThreadingWarning",
    "HandlerTypeError",
    "JSONFormatError",
    "LeaseLostError",
    "OptionError",
    "OptionWarning",
    "OverflowPolicyError",
    "PositionError",
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
    "UnknownRunError",
    "UnsupportedRunnableError",
    "VersionError",
    "WrappedNameError",
]

_SHOWN = 200
"""Characters of a value that a message shows: payloads may be megabytes."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


class CallbridgeError(Exception):
    """Base of all errors that callbridge raises itself.

    The traceback names the command that explains the cause of the error and its cure.
    """

    def __init__(self, *facts: Any) -> None:
        super().__init__(*facts)
        # CPython 3.10 has no `add_note`, but `exceptiongroup`, which AnyIO imports there, makes tracebacks show this.
        self.__notes__ = [f"`python -m callbridge explain {type(self).__name__}` says more."]


class ArgumentError(CallbridgeError, ValueError):
    """An argument has a value that is not allowed.

    Attributes:
        name: The argument.
        value: What was given.
        expected: What is allowed, in words.
    """

    def __init__(self, name: str, value: Any, expected: str) -> None:
        super().__init__(name, value, expected)
        self.name = name
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.name}={_shown(self.value)}: expected {self.expected}"


class CapacityError(ArgumentError):
    """The capacity of a channel is less than one item, or not a number."""


class OverflowPolicyError(ArgumentError):
    """The overflow policy does not exist."""


class VersionError(ArgumentError):
    """callbridge does not speak this event schema, or LangChain is too old for it."""


class UnsupportedRunnableError(ArgumentError, NotImplementedError):
    """LangChain does not implement `astream_events` for this kind of runnable."""


class OptionError(ArgumentError, TypeError):
    """A keyword argument is not an option."""


class HandlerTypeError(ArgumentError, TypeError):
    """The object given as a callback handler is not one."""


class CallableTypeError(ArgumentError, TypeError):
    """The call is not callable, or it returns something that does nothing until it is read: a generator, a v3 stream."""


class RelayURLError(ArgumentError):
    """The URL does not name an engine of the relay, or is not well-formed. The message hides secrets in it."""


class RunIdError(ArgumentError):
    """No run of the relay may have this id."""


class PositionError(ArgumentError):
    """The value is not a position in the events of a run, or is a position in another run."""


class EventFormatError(CallbridgeError, ValueError):
    """A value is not a v2 event, or not a protocol event where those are expected.

    Attributes:
        value: What was given.
        problem: What is wrong with it.
        kind: What was expected: `"v2"` or `"protocol"`.
    """

    def __init__(self, value: Any, problem: str, kind: str = "v2") -> None:
        super().__init__(value, problem, kind)
        self.value = value
        self.problem = problem
        self.kind = kind

    def __str__(self) -> str:
        shape = (
            "a mapping as stream_events(version='v3') yields it: method and params, or a message event"
            if self.kind == "protocol"
            else "a mapping as astream_events(version='v2') yields it: event, name, run_id, tags, metadata, parent_ids, data"
        )
        return f"not a {self.kind} event: {self.problem}; got {_shown(self.value)}. Expected {shape}"


class JSONFormatError(CallbridgeError, ValueError):
    """A text cannot be read as an event: it is not JSON, or it asks for something that is not data.

    Attributes:
        value: The part that cannot be read.
        problem: What is wrong with it.
    """

    def __init__(self, value: Any, problem: str) -> None:
        super().__init__(value, problem)
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        return f"refused: {self.problem}; got {_shown(self.value)}. Expected what callbridge.dumps writes"


class RecordingError(CallbridgeError, ValueError):
    """A file is not a recording, or is damaged.

    Attributes:
        path: The file.
        line: The line, counted from 1.
        problem: What is wrong with it.
    """

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(path, line, problem)
        self.path = path
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.problem}"


class EventSequenceError(CallbridgeError):
    """An event cannot follow what came before it.

    Attributes:
        event: Name of the event.
        run_id: The run that the event belongs to.
        problem: Why it cannot come here.
    """

    def __init__(self, event: str, run_id: str, problem: str) -> None:
        super().__init__(event, run_id, problem)
        self.event = event
        self.run_id = run_id
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.event} for run {self.run_id!r}: {self.problem}"


class CallFormatError(CallbridgeError, ValueError):
    """A call names a callback method that LangChain does not have, or lacks what that method needs.

    Attributes:
        method: The method that the call names.
        problem: What is wrong with the call.
    """

    def __init__(self, method: str, problem: str) -> None:
        super().__init__(method, problem)
        self.method = method
        self.problem = problem

    def __str__(self) -> str:
        return f"call of {self.method!r}: {self.problem}"


class ResultNotReadyError(CallbridgeError):
    """`result` was read, but there is none.

    Attributes:
        state: The state of the run: `"not started"`, `"running"`, `"failed"` or `"left"` (the reader left before the end).
    """

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state

    def __str__(self) -> str:
        if self.state == "failed":
            return "no result: the run has failed; its error was raised where it was called"
        if self.state == "left":
            return "no result: the stream was closed before the run had ended"
        return f"no result: the run is {self.state}; read `result` after the iteration has reached its end"


class StreamConsumedError(CallbridgeError):
    """A stream was iterated again after its end or after it was closed.

    Attributes:
        state: `"ended"` or `"closed"`.
    """

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state

    def __str__(self) -> str:
        return f"the stream has {self.state} and can be read only once; make a new one, or keep its events in a list"


class ConcurrentReadError(CallbridgeError):
    """A second task or thread reads a stream while the first one waits for the next item."""

    def __str__(self) -> str:
        return "another task or thread is reading this stream; a stream has one reader"


class ChannelClosedError(CallbridgeError):
    """Something was sent into a closed channel.

    Attributes:
        by: `"sender"` or `"receiver"`: who closed it.
    """

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by

    def __str__(self) -> str:
        return f"the {self.by} has closed this channel; nothing more can be sent"


class DispatcherClosedError(ChannelClosedError):
    """An event was fed to a dispatcher that is closed."""

    def __init__(self) -> None:
        super().__init__("sender")

    def __reduce__(self) -> tuple[type[DispatcherClosedError], tuple[()]]:
        return type(self), ()

    def __str__(self) -> str:
        return "this dispatcher is closed, and its runs with it; make a new one for further events"


class WrappedNameError(CallbridgeError, AttributeError):
    """A name was set on a handler that `wrap_handler` made, but the event stream has that name there.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r} of a wrapped handler is that of its event stream and cannot be set; the old handler's own is "
            f"read and set by `wrapped.{self.name}` of this object"
        )


class ChannelOverflow(CallbridgeError):
    """The channel is full and its overflow policy is `"fail"`.

    Attributes:
        capacity: Items the channel may hold.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.capacity = capacity

    def __str__(self) -> str:
        return (
            f"the channel holds {self.capacity} items, all it may; read faster, raise its capacity, "
            "or choose another overflow policy"
        )


class EventLoopError(CallbridgeError):
    """The call needs a kind of event loop that is not running here.

    Attributes:
        needed: What would have been needed, in words.
        found: What is running.
    """

    def __init__(self, needed: str, found: str) -> None:
        super().__init__(needed, found)
        self.needed = needed
        self.found = found

    def __str__(self) -> str:
        return f"needs {self.needed}, found {self.found}"


class RunUnfinishedError(CallbridgeError):
    """The end of a run was never reported: its parent or the stream ended first.

    LangChain does not report the end of a run that a fallback or retry rescued (in v2 events), nor of a cancelled `ainvoke` of
    a chat model. Handlers receive this error for such a run, so that they can close what they opened.

    Attributes:
        run_id: The run.
        name: Its name.
    """

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(run_id, name)
        self.run_id = run_id
        self.name = name

    def __str__(self) -> str:
        return f"the end of run {self.name!r} ({self.run_id}) was never reported: it failed, was cancelled or was rescued"


class RemoteError(CallbridgeError):
    """An error of a run elsewhere. It arrived as text or JSON, without its type and traceback.

    Attributes:
        value: What arrived: a string, or a mapping that may have a `type` and a `message`.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, Mapping) and "message" in self.value:
            kind = self.value.get("type")
            return f"{kind}: {self.value['message']}" if kind else str(self.value["message"])
        return _shown(self.value)


class RunFailedError(RemoteError):
    """The run that you follow has failed in its worker.

    Attributes:
        value: A mapping with the `type` of the error, and its `message` if the publisher shows it.
    """


class RelayError(CallbridgeError):
    """Base of the errors between a run, its log and its readers."""


class RelayConnectionError(RelayError):
    """The log of the relay cannot be used.

    Attributes:
        url: Where the log is, with secrets hidden.
        problem: What is wrong, and what you can do.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.url}: {self.problem}"


class RelayUnreachableError(RelayConnectionError, ConnectionError):
    """The server or the file does not exist, or does not answer."""


class RelayAccessError(RelayConnectionError, PermissionError):
    """The server refuses the user or the password, or the file may not be written."""


class RelayVersionError(RelayConnectionError):
    """The server is too old."""


class RelayClosedError(RelayError):
    """A relay was used after it was closed, or was closed under a publisher or a reader."""

    def __str__(self) -> str:
        return "this relay is closed; publish and follow inside `async with connect(...)`, or before `close`"


class RunError(RelayError):
    """Base of the errors that concern one run.

    Attributes:
        run: The id of the run.
    """

    said = "cannot be published or followed"

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"run {self.run!r} {self.said}"


class RecordVersionError(RunError):
    """The log was written by a newer callbridge.

    Attributes:
        run: The id of the run.
        problem: The version, and what you can do.
    """

    def __init__(self, run: str, problem: str) -> None:
        super(RunError, self).__init__(run, problem)
        self.run = run
        self.problem = problem

    def __str__(self) -> str:
        return f"run {self.run!r}: {self.problem}"


class UnknownRunError(RunError, LookupError):
    """The run was never announced, has expired or was forgotten.

    Attributes:
        run: The id of the run.
    """

    said = "is not known: it was never announced, was forgotten, or has expired; make one with `relay.announce()`"


class RunTakenError(RunError):
    """Somebody else publishes the run, or it was published before, or its id was announced before.

    Attributes:
        run: The id of the run.
        state: The state of the run: `queued`, `running`, `ended`, `failed`, `lost` or `limited`.
    """

    def __init__(self, run: str, state: str) -> None:
        super(RunError, self).__init__(run, state)
        self.run = run
        self.state = state

    def __str__(self) -> str:
        if self.state == "running":
            return f"run {self.run!r} is running: another attempt publishes it, and its lease has not run out"
        if self.state == "queued":
            return f"run {self.run!r} is queued: this id was announced before; an id serves one run"
        return f"run {self.run!r} is {self.state}: it was published before; `restart=True` begins another attempt"


class LeaseLostError(RunError):
    """The run was given up as lost, given to another attempt, or forgotten: its publisher can write no more.

    Attributes:
        run: The id of the run.
        problem: What happened.
    """

    def __init__(self, run: str, problem: str) -> None:
        super(RunError, self).__init__(run, problem)
        self.run = run
        self.problem = problem

    def __str__(self) -> str:
        return f"run {self.run!r}: {self.problem}"


class RelayGapError(RunError):
    """Events of a run are no longer there.

    Attributes:
        run: The id of the run.
        position: Pass this as `after` of `follow` to go on with the events that are still there; None if there are none.
        problem: What happened to them.
    """

    def __init__(self, run: str, position: str | None, problem: str) -> None:
        super(RunError, self).__init__(run, position, problem)
        self.run = run
        self.position = position
        self.problem = problem

    def __str__(self) -> str:
        cure = "" if self.position is None else f"; what is there can be read with after={self.position!r}"
        return f"run {self.run!r}: {self.problem}{cure}"


class RunStoppedError(RunError):
    """Somebody has stopped the run.

    Attributes:
        run: The id of the run.
    """

    said = "was stopped"


class RunLostError(RunError):
    """The worker of the run has died, or no worker has taken the run in time.

    Attributes:
        run: The id of the run.
    """

    said = "is lost: its worker has died or has lost its connection for too long, or none has taken it in time"


class RunLimitError(RunError):
    """The run has made more events, or more bytes of them, than its log may hold.

    Attributes:
        run: The id of the run.
    """

    said = "was ended at the limit of its log; see `max_events`, `max_bytes` and `on_limit` of `connect`"


class CallbridgeWarning(UserWarning):
    """Base of all warnings of callbridge."""


class DuplicateHandlerWarning(CallbridgeWarning):
    """A handler is attached to a live run, and the events of that run are dispatched to it too. It hears each callback once."""


class FreeThreadingWarning(CallbridgeWarning):
    """The interpreter runs without its global lock, and a channel between threads relies on that lock.

    A channel within one thread works there. Between threads, a wake may be lost on processors that reorder memory accesses. Set
    `PYTHON_GIL=1`, or use the standard build.
    """


class OptionWarning(CallbridgeWarning):
    """A keyword argument is passed on to the runnable, but looks like a misspelt option."""
