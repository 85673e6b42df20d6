"""The page's side: it announces runs, queues them for a worker, and reads their events. No model runs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import callbridge
from callbridge.relay import Relay
from callbridge.web import EventStreamResponse

PAGE = Path(__file__).resolve().parent / "page"


def build_app(relay: Relay, enqueue: Callable[[str, str], Awaitable[None]], kill_worker: Callable[[], bool]) -> Starlette:
    """Return the site.

    Args:
        relay: The relay with the events of runs.
        enqueue: Queues a run and its question for a worker.
        kill_worker: Kills the worker, as a crash would. Returns whether that is possible here.
    """

    async def ask(request: Request) -> Response:
        body: Any = await request.json()
        if not (isinstance(body, dict) and isinstance(body.get("question"), str) and body["question"].strip()):
            raise HTTPException(400, "There is no question.")
        run = await relay.announce(start_seconds=60)
        await enqueue(run, body["question"])
        return JSONResponse({"run": run}, status_code=202)

    async def events(request: Request) -> Response:
        # The response takes `Last-Event-ID` out of the request: a page that comes back gets the rest, and nothing twice.
        return EventStreamResponse(relay.follow(request.path_params["run"]), "json", retry=1)

    async def stop(request: Request) -> Response:
        await relay.stop(request.path_params["run"])
        return Response(status_code=204)

    async def status(request: Request) -> Response:
        return JSONResponse({"status": await relay.status(request.path_params["run"])})

    async def kill(_: Request) -> Response:
        return Response(status_code=204 if kill_worker() else 409)

    async def not_known(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, status_code=404)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with relay:
            yield

    routes = [
        Route("/runs", ask, methods=["POST"]),
        Route("/runs/{run}", status),
        Route("/runs/{run}/events", events),
        Route("/runs/{run}/stop", stop, methods=["POST"]),
        Route("/worker/kill", kill, methods=["POST"]),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    handlers: Any = {callbridge.UnknownRunError: not_known, callbridge.RunIdError: not_known}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
