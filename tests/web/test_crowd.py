"""Two hundred clients at once, a third of which leave when they like."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import deque
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
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=100, limits=limits, trust_env=False) as client:
            leaving = set(chance.sample(range(clients), clients // 3))
            await asyncio.gather(
                *(self.read(client, site, n, chance.randrange(self.words) if n in leaving else None) for n in range(clients))
            )


@pytest.mark.parametrize("format", ["text", *READERS])
async def test_a_crowd_leaves_nothing_behind(format: str) -> None:
    """No task, no run and no memory; and the clients that stayed got every token once, in each format."""
    crowd = Crowd(format, WORDS if format == "text" else 6)
    with watched():
        async with serving(sse_site(crowd.answer)) as site:
            await crowd.visit(site, 1)
        assert len(crowd.books) == CLIENTS
        assert all(book.closed for book in crowd.books)
        assert {stream.statistics().runs for stream in crowd.streams} == {0}


def things() -> int:
    """Count the objects that hold others, and what they hold: whatever somebody keeps is one of them, or in one of them."""
    gc.collect()
    objects = gc.get_objects()
    return len(objects) + sum(len(found) for found in objects if isinstance(found, COLLECTIONS))


async def test_memory_is_flat() -> None:
    """Crowds come and go, and leave no object, and no entry in a collection.

    A crowd is gone when its server is: until then, runs that were left are still being ended. What is kept once, by caches and
    modules that are imported late, may fall into one of them; what leaks does so in each. Bytes would tell less: the
    interpreter keeps frames for later, and sets keep their size.
    """
    app = sse_site(lambda request: Crowd().answer(request))
    gc.unfreeze()  # a leak may be into what the suite has hidden
    held: list[int] = []
    for seed in range(5):
        async with serving(app) as site:
            await Crowd().visit(site, seed, 40)
        held.append(things())
    assert min(after - before for before, after in pairwise(held)) < 10, held
