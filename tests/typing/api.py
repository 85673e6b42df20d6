"""The public surface as users' code meets it; read by type checkers, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from typing_extensions import assert_type

import callbridge as cb
from callbridge.events import ChatModelStream, Event

Chain = Runnable[dict[str, str], str]


class Legacy(BaseCallbackHandler):
    """A handler from before."""

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Print it."""
        print(token)


async def acall(question: str) -> int:
    """Stand for a legacy async call."""
    return len(question)


def call(question: str) -> int:
    """Stand for a legacy sync call."""
    return len(question)


async def observe_async() -> None:
    """`result` has the type of what the call returns, whether it is async or not."""
    async with cb.astream_call(acall, "tea", capacity=8, overflow="block") as stream:
        assert_type(stream, cb.AsyncEventStream[int])
        async for event in stream:
            assert_type(event, Event)
            if event["event"] == "on_chat_model_stream":
                assert_type(event, ChatModelStream)
                assert_type(event["data"]["chunk"], AIMessageChunk)
    assert_type(stream.result, int)
    async with cb.astream_call(call, "tea") as sync_stream:
        async for text in sync_stream.text():
            assert_type(text, str)
    assert_type(sync_stream.result, int)


async def acall_with_keywords(question: str, **kwargs: Any) -> int:
    """Stand for what LangChain's own methods look like."""
    return len(question)


def either(question: str, **kwargs: Any) -> Awaitable[int] | int:
    """Stand for a call that decides for itself."""
    return len(question)


async def observe_runnables(chain: Chain, model: BaseChatModel, given: Callable[[str], Awaitable[int]]) -> None:
    """LangChain's methods take `**kwargs: Any`, which must not cost the type of their result; both kinds of stream await."""
    assert_type(cb.astream_call(chain.ainvoke, {"q": "tea"}).result, str)
    assert_type(cb.astream_call(chain.invoke, {"q": "tea"}).result, str)
    assert_type(cb.astream_call(chain.abatch, [{"q": "tea"}]).result, list[str])
    assert_type(cb.astream_call(model.ainvoke, "tea").result, AIMessage)
    assert_type(cb.astream_call(lambda: model.ainvoke("tea")).result, AIMessage)
    assert_type(cb.astream_call(partial(call, "tea")).result, int)
    assert_type(cb.astream_call(acall_with_keywords, "tea").result, int)
    assert_type(cb.astream_call(either, "tea").result, int)
    assert_type(cb.astream_call(given, "tea").result, int)
    assert_type(cb.stream_call(chain.ainvoke, {"q": "tea"}).result, str)
    assert_type(cb.stream_call(chain.invoke, {"q": "tea"}).result, str)
    assert_type(cb.stream_call(model.ainvoke, "tea").result, AIMessage)
    assert_type(cb.stream_call(acall, "tea").result, int)
    assert_type(cb.stream_call(acall_with_keywords, "tea").result, int)
    assert_type(cb.stream_call(either, "tea").result, int)
    assert_type(cb.stream_call(given, "tea").result, int)
    assert_type(cb.stream_call(print, "tea").result, None)


def observe_sync() -> None:
    """The same from sync code."""
    with cb.stream_call(call, "tea", extended=True, include_types=["chat_model"]) as stream:
        for event in stream:
            assert_type(event, Event)
        for text in stream.text():
            assert_type(text, str)
    assert_type(stream.result, int)


async def read_runnables(chain: Chain) -> None:
    """The drop-ins yield typed events."""
    async for event in cb.astream_events(chain, {"q": "tea"}, version="v2", include_names=["model"]):
        assert_type(event, Event)
    for sync_event in cb.stream_events(chain, {"q": "tea"}):
        assert_type(sync_event, Event)


async def read_handlers(chain: Chain) -> None:
    """A handler can be read by both kinds of loop."""
    handler = cb.EventStreamHandler(roots=2, capacity=16, streaming=True)
    await chain.ainvoke({"q": "tea"}, config={"callbacks": [handler, cb.wrap_handler(Legacy())]})
    async for event in handler:
        assert_type(event, Event)
    for sync_event in handler:
        assert_type(sync_event, Event)
    async with cb.EventStreamHandler() as left:
        assert_type(left, cb.EventStreamHandler)
    assert_type(cb.wrap_handler(Legacy()).wrapped, Legacy)
    with cb.wrap_handler(Legacy()) as wrapped:
        for sync_event in wrapped:
            assert_type(sync_event, Event)


async def dispatch(chain: Chain, recorded: list[Event]) -> None:
    """LangChain's own event streams, ours and lists are accepted."""
    async for _ in cb.adispatch_events(chain.astream_events({"q": "tea"}, version="v2"), [Legacy()]):
        pass
    async for _ in cb.adispatch_events(cb.astream_events(chain, {"q": "tea"}), [Legacy()]):
        pass
    for event in cb.dispatch_events(recorded, [Legacy()]):
        assert_type(event, Event)
    await cb.adrive(chain.astream_events({"q": "tea"}, version="v2"), [Legacy()])
    cb.drive(recorded, [Legacy()])
    dispatcher = cb.CallbackDispatcher([Legacy()])
    dispatcher.feed(recorded[0])
    await dispatcher.afeed(recorded[0])
    dispatcher.close()


async def channel() -> None:
    """Both ends carry the type of their items."""
    send: Any
    receive: Any
    send, receive = cb.open_channel(4, overflow="block")
    await send.send(1)
    await receive.receive()


def wrong(chain: Chain) -> None:
    """What is misspelt is found."""
    cb.stream_call(call, "tea", capacty=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    cb.EventStreamHandler(overflow="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def iterators(stream: cb.EventStream[int], other: cb.AsyncEventStream[int]) -> None:
    """The streams are iterators for type checkers."""
    events: Iterator[Event] = stream
    async_events: AsyncIterator[Event] = other
    print(events, async_events)
