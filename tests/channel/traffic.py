"""Producers and readers for the tests of the channel."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import trio

from callbridge.channel.memory import ReceiveEnd, SendEnd

__all__ = ["drain", "each_library", "expect_end", "fill", "run_asyncio", "run_trio", "send_all", "send_all_sync", "thread"]


def run_asyncio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a new asyncio loop."""
    return asyncio.run(coroutine)


def run_trio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a new trio run."""

    async def main() -> Any:
        return await coroutine

    return trio.run(main)


each_library = pytest.mark.parametrize("run", [run_asyncio, run_trio])


@contextmanager
def thread(function: Callable[..., object], *args: object) -> Iterator[threading.Thread]:
    """Run a function in a thread of no pool meanwhile; its error is raised at the end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function(*args)
        except BaseException as error:
            errors.append(error)

    running = threading.Thread(target=run)
    running.start()
    yield running
    running.join(30)
    assert not running.is_alive()
    if errors:
        raise errors[0]


def fill(send: SendEnd[Any], count: int, begin: int = 0) -> None:
    """Push numbers, without waiting."""
    for number in range(begin, begin + count):
        send.push(number)


async def send_all(send: SendEnd[Any], count: int, close: bool = True) -> None:
    """Send numbers."""
    for number in range(count):
        await send.send(number)
    if close:
        send.close()


def send_all_sync(send: SendEnd[Any], count: int, close: bool = True) -> None:
    """Send numbers from sync code."""
    for number in range(count):
        send.send_sync(number)
    if close:
        send.close()


def drain(receive: ReceiveEnd[Any]) -> list[Any]:
    """Take what is there, without waiting."""
    items = []
    while True:
        try:
            items.append(receive.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return items


async def expect_end(receive: ReceiveEnd[Any]) -> None:
    """Receive, and be told that there is nothing more."""
    with pytest.raises(anyio.EndOfStream):
        await receive.receive()
