"""What causes each error of callbridge, and what to do about it: for `callbridge explain` and the documentation.

An error's message says what happened this time. These texts say why it happens at all. They are in Markdown.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

__all__ = ["CURES", "Cure"]


class Cure(NamedTuple):
    """Why an error is raised, and what to do.

    Attributes:
        cause: What went wrong.
        cure: What you can change.
    """

    cause: str
    cure: str


CURES = MappingProxyType(
    {
        # -- bases --------------------------------------------------------------------------------------------------------
        "CallbridgeError": Cure(
            "The base of all errors that callbridge raises itself. It is never raised as such.",
            "Catch it if you want to tell callbridge's errors from those of your run. Errors of the run arrive as they are.",
        ),
        "ArgumentError": Cure(
            "An argument has a value that is not allowed. Its attributes `name`, `value` and `expected` tell you more.",
            "Give one of the values that the message names.",
        ),
        "RelayError": Cure(
            "The base of the errors between a run, its log and its readers. It is never raised as such.",
            "Catch it around `publish` or `follow` if you want to treat all of these errors alike.",
        ),
        "RelayConnectionError": Cure(
            "The base of the errors for a log that cannot be used. It is never raised as such.",
            "Catch it if you want to tell trouble with the server or file from trouble with one run.",
        ),
        "RunError": Cure(
            "The base of the errors that concern one run of a relay. It is never raised as such; `run` is the run's id.",
            "Catch it if one run's trouble must not touch the others.",
        ),
        # -- arguments ----------------------------------------------------------------------------------------------------
        "CapacityError": Cure(
            "`capacity` is less than 1, or is not a whole number.",
            "Give a whole number from 1 up. The default is 256. A smaller one holds the run closer to its reader.",
        ),
        "OverflowPolicyError": Cure(
            "`overflow` is not the name of a policy.",
            'Give one of "block", "coalesce", "drop_oldest", "drop_newest" and "fail".',
        ),
        "VersionError": Cure(
            "You asked for an event schema that callbridge does not support, or for version 3 with an older LangChain.",
            'Leave `version` out, or give `version="v2"`. To read version 3, use `stream_messages` with langchain-core 1.4 or '
            "later.",
        ),
        "UnsupportedRunnableError": Cure(
            "LangChain does not implement `astream_events` for this kind of runnable, or the option needs callbacks in this "
            "process and the runnable runs elsewhere.",
            "Wrap the call instead: `callbridge.astream_call(runnable.ainvoke, x)`.",
        ),
        "OptionError": Cure(
            "A keyword argument is not an option of this function. Often it was meant for the call itself.",
            "The message names the options. Pass arguments of the call with `functools.partial(call, name=value)`.",
        ),
        "HandlerTypeError": Cure(
            "The object given as a callback handler is not one: it is a class instead of an instance, or some other object.",
            "Give instances of classes that derive from `BaseCallbackHandler`.",
        ),
        "CallableTypeError": Cure(
            "The call is not callable, or it returns something that does nothing until it is read: a generator, "
            'or a stream of `version="v3"`.',
            "Give a callable and its arguments, as in `stream_call(chain.invoke, x)`. For `chain.stream` use "
            "`stream_events(chain, x)`. Read any other generator inside the call: `stream_call(lambda: list(generate(x)))`.",
        ),
        "RelayURLError": Cure(
            "The URL does not name an engine of the relay, or is not well-formed.",
            "Use `memory:`, `sqlite:///runs.db`, or `redis://`, `rediss://` and `unix://` with an address.",
        ),
        "RunIdError": Cure(
            "The id contains characters that are not allowed, or it is empty or longer than 128 characters.",
            "Let `relay.announce()` make an id, or use letters, digits and `_ . : -`.",
        ),
        "PositionError": Cure(
            "The position was not made by a follower of this run.",
            "Pass on the `follower.position` of the same run, or begin at the start with `after=None`.",
        ),
        "UnknownFormatError": Cure(
            "There is no web format of this name.",
            "Give one of the names in the message, or an object with a method `begin`. In a response this "
            "error is a status 400.",
        ),
        "RequestBodyError": Cure(
            "The body of a request is not JSON, is too long, or is not a chat request of the protocol.",
            "Look at what the client sends. The message names the wrong key, what it had and what was expected. In a "
            "response it is a status 400, 413 or 422.",
        ),
        # -- events, calls, texts -----------------------------------------------------------------------------------------
        "EventFormatError": Cure(
            "The object given as an event is not one: it is not a mapping, or it has an unknown name, a missing key or data of "
            "the wrong type.",
            'Feed events of `astream_events(version="v2")` or of callbridge. Convert events of version 3 with '
            "`ProtocolToEvents`, and read JSON with `callbridge.loads`.",
        ),
        "EventSequenceError": Cure(
            "The events cannot come from one stream: a chunk or an end before its start, a second start, a missing beginning.",
            "Feed all events of a run in the order in which they came, beginning with the first. Filters may remove a whole "
            "run, but not only its start.",
        ),
        "CallFormatError": Cure(
            "A call that was fed to `CallsToEvents` names a method that LangChain does not have, or lacks its `run_id`.",
            "Use the names of `BaseCallbackHandler`'s methods, with their keyword arguments.",
        ),
        "JSONFormatError": Cure(
            "The text is not JSON, is nested too deeply, or asks `loads` to make something that is not data.",
            "Read only texts that `callbridge.dumps`, LangChain or LangGraph have written.",
        ),
        "RecordingError": Cure(
            "`callbridge.testing.record` did not write this file, or the file is damaged, or its recording was cut off.",
            "Record the run again, or read what is there with `partial=True`.",
        ),
        # -- streams ------------------------------------------------------------------------------------------------------
        "ResultNotReadyError": Cure(
            "You read `result` before the run had ended, or after you had left the stream.",
            "Read the events to their end first. A run that you leave has no result.",
        ),
        "StreamConsumedError": Cure(
            "You iterated a stream again after its end, or after you had left it. Its events are gone.",
            "Make a new stream for each reading, or keep the events in a list.",
        ),
        "ConcurrentReadError": Cure(
            "Two tasks or threads read one stream at the same time.",
            "Let one reader pass the events on to the others. Or publish the run with `callbridge.relay`, and any number of "
            "readers can follow it.",
        ),
        "ChannelClosedError": Cure(
            "Something was sent into a channel after its sender or reader had closed it.",
            "Stop sending when this is raised: nobody reads any more.",
        ),
        "ChannelOverflow": Cure(
            'The channel is full, and its policy is `overflow="fail"`.',
            "Read faster, give a larger `capacity`, or take another policy.",
        ),
        "DispatcherClosedError": Cure(
            "An event was fed to a `CallbackDispatcher` that is closed.",
            "Feed inside its `with` block, and make a new dispatcher for the next run.",
        ),
        "WrappedNameError": Cure(
            "You set an attribute on a wrapped handler that belongs to its event stream.",
            "Set it on the handler itself, before you wrap it.",
        ),
        "EventLoopError": Cure(
            "The call needs another kind of event loop: LangChain's async API runs only on asyncio, and waiting needs a task.",
            "Call it in a coroutine that asyncio runs. In sync code, or under trio, use the sync function of the same name.",
        ),
        # -- given to handlers --------------------------------------------------------------------------------------------
        "RunUnfinishedError": Cure(
            "Handlers get it for a run whose end was never reported: it was cancelled, or a retry or a fallback rescued it.",
            "You need not do anything. It lets a handler close what it has opened.",
        ),
        "RemoteError": Cure(
            "Handlers get it for an error that arrived as text or JSON. Its class and its traceback stayed in the process that "
            "raised it.",
            "Look at `value`, and at the log of the process in which the run ran.",
        ),
        # -- the relay ----------------------------------------------------------------------------------------------------
        "RunFailedError": Cure(
            "The run that you follow has failed in its worker.",
            "Look at the worker's log. `publish(..., show_errors=True)` lets readers see what the error says.",
        ),
        "RelayUnreachableError": Cure(
            "The server or file of the relay is not there, or has not answered for longer than `outage_seconds`.",
            "Start the server, or correct the address. If it pauses for a short time, raise `outage_seconds`.",
        ),
        "RelayAccessError": Cure(
            "The server refuses the user or the password, or the file may not be written.",
            "Put the right credentials into the URL, or correct the permissions of the file and of its folder.",
        ),
        "RelayVersionError": Cure(
            "The server is too old.",
            "Use Redis 6.2 or later, or Valkey.",
        ),
        "RelayClosedError": Cure(
            "The relay was used after it was closed, or was closed while a publisher or reader used it.",
            "Publish and follow inside `async with connect(...)`, and close the relay when the program ends.",
        ),
        "RecordVersionError": Cure(
            "The log was written by a newer callbridge.",
            "Update callbridge in the process that reads. During a deployment, update readers before workers.",
        ),
        "UnknownRunError": Cure(
            "The run was never announced, has expired, or was forgotten.",
            "Call `relay.announce()` before you pass the id on. Finished runs are kept for `keep_seconds`.",
        ),
        "RunTakenError": Cure(
            "Somebody else publishes this run, or it was published already, or its id was announced before.",
            "Give each run one job. If the queue delivers a job again, publish with `restart=True`, and try again until the "
            "old lease has run out.",
        ),
        "LeaseLostError": Cure(
            "This worker was taken for dead, and its run was given up, given to another attempt, or forgotten.",
            "This worker can write no more. If this happens to healthy workers, raise `lease_seconds`.",
        ),
        "RelayGapError": Cure(
            "Events of the run are no longer there: they were trimmed, or the server lost them.",
            "Show the reader that something is missing, and go on with `follow(run, after=error.position)`.",
        ),
        "RunStoppedError": Cure(
            "Somebody has stopped the run with `relay.stop`.",
            "You need not do anything: this is how the publisher and the readers hear of it.",
        ),
        "RunLostError": Cure(
            "The worker of the run has died or has lost its connection, or no worker has taken the run in time.",
            "Start the job again with `restart=True`. Make sure that workers are running, and that `start_seconds` is longer "
            "than a job waits in your queue.",
        ),
        "RunLimitError": Cure(
            "The run has made more events, or more bytes, than its log may hold.",
            'Raise `max_events` or `max_bytes`, publish less (`include_types=["chat_model"]`), or set `on_limit="trim"`.',
        ),
        # -- warnings -----------------------------------------------------------------------------------------------------
        "CallbridgeWarning": Cure(
            "The base of all warnings of callbridge.",
            "Name it in a filter if you want to turn all of them off, or into errors.",
        ),
        "DuplicateHandlerWarning": Cure(
            "A handler is attached to the run and also gets that run's events. It hears each callback once, from the run.",
            "Attach the handler, or feed it events, but not both.",
        ),
        "FreeThreadingWarning": Cure(
            "The interpreter runs without its global lock, on which a channel between threads relies.",
            "Set `PYTHON_GIL=1`, or use the standard build of CPython. A channel within one thread works as it is.",
        ),
        "OptionWarning": Cure(
            "A keyword argument that is passed on to the runnable is nearly the name of an option.",
            "Correct the name, or rename the runnable's own argument.",
        ),
    }
)
"""The cause and the cure of each error and warning, by the name of its class."""
