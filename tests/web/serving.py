"""A Starlette application behind a real uvicorn, in the loop of the test, and clients of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

__all__ = ["Frames", "Site", "frames_of", "reading", "serving", "sse_site", "ws_site"]

Frames = list[tuple[str, str]]


class Site:
    """A running server."""

    def __init__(self, server: uvicorn.Server, port: int, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Shut it down as a signal would, and wait until it has."""
        self._server.should_exit = True
        await asyncio.wait([self._task])

    def begin_stop(self) -> None:
        """Tell it to shut down."""
        self._server.should_exit = True


@asynccontextmanager
async def serving(app: Any, *, grace: int = 10) -> AsyncIterator[Site]:
    """Serve an application; afterwards no task is left that was not there before."""
    before = asyncio.all_tasks()
    with socket.create_server(("127.0.0.1", 0), backlog=300) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=grace)
        server = uvicorn.Server(config)
        task = asyncio.get_running_loop().create_task(server.serve([listening]))
        site = Site(server, listening.getsockname()[1], task)
        try:
            yield site
        finally:
            await site.stop()
    assert asyncio.all_tasks() <= before


def sse_site(make: Callable[[Request], Response]) -> Starlette:
    """An application whose one page is what a function returns."""

    async def answer(request: Request) -> Response:
        return make(request)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


def ws_site(endpoint: Any) -> Starlette:
    """An application whose one socket is an endpoint."""
    return Starlette(routes=[WebSocketRoute("/", endpoint)])


@asynccontextmanager
async def reading(site: Site, path: str = "/") -> AsyncIterator[httpx.Response]:
    """Open a page and read it as it comes."""
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False, verify=False) as client,
        client.stream("GET", site.http + path) as response,
    ):
        yield response


def frames_of(body: str) -> Frames:
    """Parse server-sent events as a browser does: `(event, data)`, comments left out."""
    found: Frames = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        fields = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        data = "\n".join(value.removeprefix(" ") for name, _, value in fields if name == "data")
        event = "".join(value.removeprefix(" ") for name, _, value in fields if name == "event")
        if fields:
            found.append((event or "message", data))
    return found
