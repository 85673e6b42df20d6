"""What is given by mistake gets an error of its own kind that names it, and leaves nothing half-started behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

import callbridge as cb
from callbridge.classic import FinalStreamingStdOutCallbackHandler

double = RunnableLambda(lambda number: number * 2)
chain = double | double


def twice(number: int) -> int:
    return number * 2


def twice_and_thrice(number: int) -> Iterator[int]:
    yield number * 2
    yield number * 3


class Lazy:
    """A callable object that makes a generator."""

    async def __call__(self, number: int) -> AsyncIterator[int]:
        yield number


class Soon(Future[int]):
    """The awaitable of a call that was made already."""

    def __await__(self) -> Iterator[int]:
        yield 1


def answers(prefix: list[str]) -> FinalStreamingStdOutCallbackHandler:
    return FinalStreamingStdOutCallbackHandler(answer_prefix_tokens=prefix)


def dispatcher() -> cb.CallbackDispatcher:
    return cb.CallbackDispatcher([cb.EventStreamHandler()])


BAD: list[tuple[str, Callable[[], Any], type[cb.CallbridgeError], str]] = [
    ("capacity 0", lambda: cb.EventStreamHandler(capacity=0), cb.CapacityError, "0"),
    ("capacity below 0", lambda: cb.astream_events(double, 1, capacity=-3), cb.CapacityError, "-3"),
    ("capacity no number", lambda: cb.stream_call(twice, 1, capacity="many"), cb.CapacityError, "'many'"),  # type: ignore[arg-type]
    ("capacity a truth value", lambda: cb.open_channel(True), cb.CapacityError, "True"),
    ("overflow unknown", lambda: cb.stream_events(double, 1, overflow="drop"), cb.OverflowPolicyError, "'drop'"),
    ("version 1", lambda: cb.astream_events(double, 1, version="v1"), cb.VersionError, "'v1'"),
    ("version 3", lambda: cb.stream_events(double, 1, version="v3"), cb.VersionError, "'v3'"),
    ("handler that is none", lambda: cb.wrap_handler(twice), cb.HandlerTypeError, "twice"),  # type: ignore[arg-type]
    ("handler class", lambda: cb.CallbackDispatcher([cb.EventStreamHandler]), cb.HandlerTypeError, "EventStreamHandler"),  # type: ignore[list-item]
    ("call that is none", lambda: cb.stream_call(3), cb.CallableTypeError, "3"),  # type: ignore[arg-type]
    ("runnable instead of a call", lambda: cb.astream_call("chain"), cb.CallableTypeError, "'chain'"),  # type: ignore[call-overload]
    ("runnable that is none", lambda: cb.astream_events(twice, 1), cb.ArgumentError, "twice"),  # type: ignore[arg-type]
    ("roots 0", lambda: cb.EventStreamHandler(roots=0), cb.ArgumentError, "0"),
    ("exit unknown", lambda: cb.stream_call(twice, 1, on_exit="leave"), cb.ArgumentError, "'leave'"),  # type: ignore[arg-type]
    ("callbacks of no type", lambda: cb.stream_events(double, 1, {"callbacks": 5}), cb.ArgumentError, "5"),  # type: ignore[typeddict-item]
    ("config of no type", lambda: cb.stream_events(double, 1, [1]), cb.ArgumentError, "config=[1]"),  # type: ignore[arg-type]
    ("option misspelt", lambda: cb.stream_call(twice, 1, capcity=3), cb.OptionError, "did you mean 'capacity'"),  # type: ignore[call-overload]
    ("keyword of the call", lambda: cb.astream_call(double.invoke, input=1), cb.OptionError, "functools.partial"),  # type: ignore[call-overload]
    ("handler's option unknown", lambda: cb.EventStreamHandler(foo=1), cb.OptionError, "foo=1"),  # type: ignore[call-arg]
    ("wrapper's option misspelt", lambda: cb.wrap_handler(cb.EventStreamHandler(), root=2), cb.OptionError, "'roots'"),  # type: ignore[call-arg]
    ("generator method", lambda: cb.stream_call(chain.stream, 1), cb.CallableTypeError, "stream_events(chain, x)"),
    ("async generator method", lambda: cb.astream_call(chain.astream, 1), cb.CallableTypeError, "astream_events(chain, x)"),
    ("generator function", lambda: cb.astream_call(twice_and_thrice, 1), cb.CallableTypeError, "twice_and_thrice"),
    ("partial of one", lambda: cb.stream_call(partial(chain.stream, 1)), cb.CallableTypeError, "generator"),
    ("object that is one", lambda: cb.astream_call(Lazy(), 1), cb.CallableTypeError, "Lazy"),
    ("filter no sequence", lambda: cb.astream_events(double, 1, include_names=3), cb.ArgumentError, "include_names=3"),
    ("filter a string", lambda: cb.stream_call(twice, 1, include_types="chat"), cb.ArgumentError, "include_types=['chat']"),
    ("filter of no strings", lambda: cb.EventStreamHandler(exclude_tags=["a", 1]), cb.ArgumentError, "['a', 1]"),  # type: ignore[list-item]
    ("filter bytes", lambda: cb.CallsToEvents(exclude_names=b"ab"), cb.ArgumentError, "b'ab'"),  # type: ignore[arg-type]
    ("finished with a text", lambda: cb.EventStreamHandler().finish("late"), cb.ArgumentError, "'late'"),  # type: ignore[arg-type]
    ("finished with a class", lambda: cb.EventStreamHandler().finish(KeyError), cb.ArgumentError, "make an instance"),  # type: ignore[arg-type]
    ("failed with a text", lambda: dispatcher().fail("late"), cb.ArgumentError, "'late'"),  # type: ignore[arg-type]
    ("failed with nothing", lambda: dispatcher().fail(None), cb.ArgumentError, "None"),  # type: ignore[arg-type]
    ("failed with a text, async", lambda: asyncio.run(dispatcher().afail("late")), cb.ArgumentError, "'late'"),  # type: ignore[arg-type]
    ("channel closed with a text", lambda: cb.open_channel(1)[0].close("late"), cb.ArgumentError, "'late'"),  # type: ignore[arg-type]
    ("event that is none", lambda: cb.EventsToCalls().feed({"event": "hello"}), cb.EventFormatError, "hello"),
    ("no mapping as event", lambda: cb.drive([7], [cb.EventStreamHandler()]), cb.EventFormatError, "7"),  # type: ignore[list-item]
    ("flag as a word", lambda: cb.stream_call(twice, 1, extended="yes"), cb.ArgumentError, "extended='yes'"),  # type: ignore[call-overload]
    ("flag for handlers", lambda: cb.EventStreamHandler(streaming="no"), cb.ArgumentError, "streaming='no'"),  # type: ignore[arg-type]
    ("wrapped class", lambda: cb.wrap_handler(cb.EventStreamHandler), cb.HandlerTypeError, "make an instance"),  # type: ignore[type-var]
    ("runnable as a call", lambda: cb.stream_call(double, 1), cb.CallableTypeError, "of a runnable, give a method"),  # type: ignore[call-overload]
    ("future as a call", lambda: cb.astream_call(Soon()), cb.CallableTypeError, "pass the callable itself"),  # type: ignore[call-overload]
    ("JSON as an event", lambda: cb.drive(['{"event": ""}'], []), cb.EventFormatError, "callbridge.loads reads JSON"),  # type: ignore[list-item]
    ("no text as JSON", lambda: cb.loads(None), cb.JSONFormatError, "NoneType is not text"),  # type: ignore[arg-type]
    ("prefix in one piece", lambda: answers("Final Answer:"), cb.ArgumentError, "a list of tokens"),  # type: ignore[arg-type]
    ("call without a run", lambda: cb.CallsToEvents().feed(cb.Call("on_tool_start", ({}, ""))), cb.CallFormatError, "run_id"),
    ("call that LangChain lacks", lambda: cb.CallsToEvents().feed(cb.Call("on_dance")), cb.CallFormatError, "on_dance"),
]


@pytest.mark.parametrize(("make", "kind", "named"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_argument_is_named_in_an_error_of_its_own(
    make: Callable[[], Any], kind: type[cb.CallbridgeError], named: str
) -> None:
    """The error's class says what kind of argument it was, its message the value."""
    with pytest.raises(kind) as raised:
        make()
    assert type(raised.value) is kind
    assert named in str(raised.value)
    assert "expected" in str(raised.value).lower()


def test_unknown_options_are_type_errors_as_for_any_function() -> None:
    """Code that catches Python's own error for such a keyword goes on catching it."""
    with pytest.raises(TypeError):
        cb.stream_call(twice, 1, colour="green")  # type: ignore[call-overload]


def test_filters_take_what_langchain_takes_of_names() -> None:
    """Lists, tuples and sets alike; an empty one is a filter that nothing passes."""
    for names in (["chain"], ("chain",), {"chain"}):
        assert list(cb.stream_events(double, 1, include_types=names))
    assert not list(cb.stream_events(double, 1, include_types=[]))


def test_misspelled_options_of_event_streams_are_warned_of() -> None:
    """They go to the runnable all the same, as in LangChain; the warning points at the line of the user's."""
    with pytest.warns(cb.OptionWarning, match=r"capactiy.*'capacity'") as warned:
        cb.stream_events(double, 1, capactiy=3, stream_mode="values", include_run_info=True)
    with pytest.warns(cb.OptionWarning, match="include_names"):
        cb.astream_events(double, 1, include_name=["double"])
    assert [record.filename for record in warned] == [__file__]


def test_unknown_keywords_of_event_streams_go_to_the_runnable() -> None:
    """As in LangChain; only those that are options are ours."""
    seen: list[Any] = []

    def note(number: int, **kwargs: Any) -> int:
        seen.append(kwargs)
        return number

    list(cb.stream_events(RunnableLambda(note), 1, colour="green", capacity=3))
    assert seen == [{"colour": "green"}]


def test_each_kind_of_event_stream_names_its_own_kind_of_call() -> None:
    """The advice can be followed where it is given."""
    with pytest.raises(cb.ArgumentError, match=r"there is stream_call\b"):
        cb.stream_events(twice, 1)  # type: ignore[arg-type]
    with pytest.raises(cb.ArgumentError, match=r"there is astream_call\b"):
        cb.astream_events(twice, 1)  # type: ignore[arg-type]


def test_a_closed_dispatcher_says_that_it_is_closed() -> None:
    """The user who feeds a dispatcher has never opened a channel."""
    closed = dispatcher()
    closed.close()
    with pytest.raises(cb.DispatcherClosedError, match="this dispatcher is closed") as raised:
        closed.feed({})
    assert isinstance(raised.value, cb.ChannelClosedError)


def test_chunk_of_a_run_that_never_started() -> None:
    """A stream that was joined late is told from a good one."""
    chunk = {
        "event": "on_llm_stream",
        "run_id": "0" * 32,
        "name": "m",
        "tags": [],
        "metadata": {},
        "parent_ids": [],
        "data": {"chunk": "a"},
    }
    with pytest.raises(cb.EventSequenceError, match="never started"):
        cb.drive([chunk], [cb.EventStreamHandler()])


def test_result_before_the_end() -> None:
    """A result that is not there yet is an error that says what the run is doing."""
    stream = cb.stream_call(double.invoke, 1)
    with pytest.raises(cb.ResultNotReadyError, match="not started"):
        _ = stream.result
    with stream:
        next(stream)
        with pytest.raises(cb.ResultNotReadyError, match="running"):
            _ = stream.result
    with pytest.raises(cb.ResultNotReadyError, match="closed before") as raised:
        _ = stream.result
    assert raised.value.state == "left"


def test_result_of_a_failed_run_that_a_handler_was_attached_to() -> None:
    """It will never be there, and the error was raised elsewhere."""
    handler = cb.EventStreamHandler()
    with pytest.raises(ZeroDivisionError):
        RunnableLambda(lambda x: x / 0).invoke(1, {"callbacks": [handler]})
    with pytest.raises(cb.ResultNotReadyError, match="failed") as raised:
        _ = handler.result
    assert raised.value.state == "failed"


def test_stream_can_be_read_once() -> None:
    """A second loop would find nothing and be mistaken for an empty run."""
    stream = cb.stream_events(double, 1)
    assert list(stream)
    with pytest.raises(cb.StreamConsumedError, match="ended"):
        list(stream)
    left = cb.stream_events(double, 1)
    left.close()
    with pytest.raises(cb.StreamConsumedError, match="closed"):
        list(left)


@pytest.mark.anyio
async def test_second_reader_is_refused() -> None:
    """Two tasks would each get half of the events."""
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    async with cb.astream_call(wait) as stream:
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(cb.ConcurrentReadError):
            await anext(stream)
        release.set()
        with pytest.raises(StopAsyncIteration):
            await first


def test_async_stream_without_a_loop_starts_nothing() -> None:
    """A stream that was made and never read is dropped in silence."""
    cb.astream_events(double, 1)
    cb.astream_call(double.ainvoke, 1)
    cb.stream_call(double.invoke, 1)
