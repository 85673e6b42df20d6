"""What type checkers know of the names for version 3. Never executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.runnables import Runnable
from typing_extensions import assert_type

import callbridge as cb
from callbridge.events import Event

if TYPE_CHECKING:
    pass


class Mine(BaseCallbackHandler):
    """Somebody's handler."""

    seen: int = 0


def ask(question: str) -> int:
    """Somebody's code."""
    return len(question)


async def aask(question: str) -> int:
    """Somebody's async code."""
    return len(question)


def read(runnable: Runnable[Any, Any]) -> None:
    """Sync."""
    with cb.stream_messages(ask, "hi", capacity=8) as messages:
        for message in messages:
            assert_type(message, ChatModelStream)
            for piece in message.text:
                assert_type(piece, str)
    assert_type(messages.result, int)
    assert_type(cb.stream_messages(runnable, {"q": 1}), cb.MessageStream[Any])
    assert_type(cb.with_tokens(Mine(), list_tokens=True).wrapped, Mine)


async def aread(runnable: Runnable[Any, Any]) -> None:
    """Async."""
    async with cb.astream_messages(aask, "hi") as messages:
        async for message in messages:
            assert_type(message, AsyncChatModelStream)
    assert_type(messages.result, int)


def convert(event: dict[str, Any]) -> None:
    """Both ways."""
    assert_type(cb.EventsToProtocol().feed(event), list[dict[str, Any]])
    assert_type(cb.ProtocolToEvents().feed(event), list[Event])
