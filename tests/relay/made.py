"""Runs for the tests: events without a model, and runs that wait for the test."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anyio
from langchain_core.messages import AIMessageChunk

import callbridge
from callbridge.relay import Relay


def events(count: int, text: str = "tea ") -> list[dict[str, Any]]:
    """Return the events of a run of one chain: its start, chunks, its end."""
    run_id = str(uuid4())
    common = {"name": "chain", "run_id": run_id, "tags": [], "metadata": {}, "parent_ids": []}
    start = {"event": "on_chain_start", "data": {"input": "q"}, **common}
    end = {"event": "on_chain_end", "data": {"output": "done"}, **common}
    chunks = [
        {"event": "on_chain_stream", "data": {"chunk": AIMessageChunk(content=f"{text}{number}", id="m")}, **common}
        for number in range(count - 2)
    ]
    return [start, *chunks, end]


class Gated:
    """A run that goes on when it is told to, and knows how it was left."""

    def __init__(self, made: list[dict[str, Any]]) -> None:
        self._made = made
        self._passes = threading.Semaphore(0)
        self.begun = False
        self.left = False

    def let(self, count: int = 1) -> None:
        """Let so many events pass."""
        for _ in range(count):
            self._passes.release()

    async def stream(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events."""
        self.begun = True
        try:
            for event in self._made:
                while not self._passes.acquire(blocking=False):  # noqa: ASYNC110 - the test may be in another thread
                    await anyio.sleep(0.002)
                yield event
        finally:
            self.left = True

    def stream_sync(self) -> Iterator[dict[str, Any]]:
        """Yield the events to sync code."""
        self.begun = True
        try:
            for event in self._made:
                self._passes.acquire()
                yield event
        finally:
            self.left = True


async def read(relay: Relay, run: str, after: str | None = None) -> tuple[list[dict[str, Any]], str]:
    """Read a run to its end; return its events and how it ended."""
    found: list[dict[str, Any]] = []
    try:
        async for event in relay.follow(run, after=after):
            found.append(event)
    except callbridge.CallbridgeError as error:
        return found, type(error).__name__
    return found, "ended"


async def until(condition: Any, seconds: float = 60) -> None:
    """Wait for something that will be true; the seconds are a safety net."""
    with anyio.fail_after(seconds):
        while True:
            made = condition()
            if (await made) if hasattr(made, "__await__") else made:
                return
            await anyio.sleep(0.01)


def silently(call: Any) -> None:
    """Call something whose errors are told elsewhere."""
    with suppress(Exception):
        call()
