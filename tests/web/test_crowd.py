"""Two hundred clients at once, a third of which leave when they like."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import deque
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from callbridge import AsyncEventStream, astream_events
from callbridge.web import EventStreamResponse, Limits
from lives import Book, chain, watched
from web.protocols import READERS
from web.serving import Site, frames_of, serving, sse_site

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

CLIENTS = 200
POOLS = 8
"""Among which the clients are divided: httpx looks at all connections of a pool whenever one of them is done."""
WORDS = 30
COLLECTIONS = (dict, list, set, frozenset, deque)


class Crowd:
    """The clients of one site, and what became of the runs behind them."""

    def __init__(self, format: str = "text", words: int = WORDS) -> None:
        self.format = format
        self.words = words
        self.books: list[Book] = []
        self.streams: list[AsyncEventStream[Any]] = []

    def answer(self, request: Any) -> Response:
        run = chain(words=[f"{request.url.path[1:]}.{number} " for number in range(self.words)])
        self.books.append(run.book)
        self.streams.append(astream_events(run.runnable, run.value, capacity=4))
        # On a slow machine, a crowd that leaves together is a long way from being served.
        return EventStreamResponse(self.streams[-1], self.format, limits=Limits(cancel_seconds=100))

    async def read(self, client: httpx.AsyncClient, site: Site, number: int, leaves_after: int | None) -> None:
        """Read an answer whole, or leave in the middle."""
        async with client.stream("GET", f"{site.http}/{number}") as response:
            if leaves_after is None:
                frames = frames_of((await response.aread()).decode())
                words = [f"{number}.{word} " for word in range(self.words)]
                if self.format == "text":
                    assert frames == [*(("completion", word) for word in words), ("end", "")]
                else:
                    seen = READERS[self.format]([data for _, data in frames])
                    assert (seen.texts, seen.end) == (["".join(words)], "finish")
                return
            arrived = ""
            async for text in response.aiter_text():
                arrived += text
                if arrived.count("data:") >= leaves_after:
                    return

    async def visit(self, site: Site, seed: int, clients: int = CLIENTS) -> None:
        """Let all clients come at once, and wait until all are served or gone."""
        chance = random.Random(seed)
        leaving = set(chance.sample(range(clients), clients // 3))
        async with AsyncExitStack() as stack:
            pools = [await stack.enter_async_context(pool()) for _ in range(min(POOLS, clients // 10))]
            readers = (
                self.read(pools[n % len(pools)], site, n, chance.randrange(self.words) if n in leaving else None)
                for n in range(clients)
            )
            await asyncio.gather(*readers)


def pool() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(timeout=100, limits=limits, trust_env=False, verify=False)


@pytest.mark.parametrize("format", ["text", *READERS])
async def test_a_crowd_leaves_nothing_behind(format: str) -> None:
    """No task, no run and no memory; and the clients that stayed got every token once, in each format.

    Two hundred of them try the server; what a format has to do is to keep them apart.
    """
    crowd, clients = (Crowd(format), CLIENTS) if format == "text" else (Crowd(format, 6), CLIENTS // 4)
    with watched():
        async with serving(sse_site(crowd.answer)) as site:
            await crowd.visit(site, 1, clients)
        assert len(crowd.books) == clients
        assert all(book.closed for book in crowd.books)
        assert {stream.statistics().runs for stream in crowd.streams} == {0}


class Things:
    """The objects that hold others, and what they hold: whatever somebody keeps is one of them, or in one of them.

    What is there at the beginning is looked through once, and hidden from the garbage collector again; a leak may be into it.
    """

    def __init__(self) -> None:
        gc.unfreeze()
        gc.collect()
        self._old = collections_of(gc.get_objects())
        gc.freeze()

    def count(self) -> int:
        gc.collect()
        objects = gc.get_objects()
        return len(objects) + sum(map(len, collections_of(objects))) + sum(map(len, self._old))


def collections_of(objects: list[Any]) -> list[Any]:
    return [found for found in objects if isinstance(found, COLLECTIONS)]


async def test_memory_is_flat() -> None:
    """Crowds come and go, and leave no object, and no entry in a collection.

    A crowd is gone when its server is: until then, runs that were left are still being ended. What is kept once, by caches and
    modules that are imported late, may fall into one of them; what leaks does so in each. Bytes would tell less: the
    interpreter keeps frames for later, and sets keep their size.
    """
    app = sse_site(lambda request: Crowd(words=6).answer(request))
    things = Things()
    held: list[int] = []
    for seed in range(5):
        async with serving(app) as site:
            await Crowd(words=6).visit(site, seed, 40)
        held.append(things.count())
    assert min(after - before for before, after in pairwise(held)) < 10, held
