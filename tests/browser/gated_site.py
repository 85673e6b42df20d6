"""The chat example behind real uvicorn, with a model and a tool that wait for the test."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from chat_app import AI_SDK_PAGE, build_app
from chat_model import make_model
from fake_openai import FakeOpenAI
from local_server import LocalServer
from notes import NoteRetriever
from tea_agent import build_agent

__all__ = ["Gate", "GatedOpenAI", "Site", "serving_chat"]


class Gate:
    """Lets so many through as it is told to; the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._free = 0
        self._is_open = False

    def ticket(self) -> Future[None]:
        """Return what is done when its holder may pass."""
        ticket: Future[None] = Future()
        with self._lock:
            self._waiting.append(ticket)
            self._serve()
        return ticket

    def let(self, count: int) -> None:
        """Let so many more through."""
        with self._lock:
            self._free += count
            self._serve()

    def open(self) -> None:
        """Let all through from here on."""
        with self._lock:
            self._is_open = True
            self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._is_open or self._free):
            ticket = self._waiting.popleft()
            if ticket.set_running_or_notify_cancel():
                self._free -= not self._is_open
                ticket.set_result(None)


class Site:
    """The chat behind uvicorn, its model, and what the server does."""

    def __init__(self, url: str, model: GatedOpenAI, tool: Gate, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.url = url
        self.model = model
        """The server of the model: `gate`, `requests`, `wait_abandoned`."""
        self.tool = tool
        """Where the retriever waits."""
        self._loop = loop

    def tasks(self) -> int:
        """Return how many tasks the server has, its own main task among them."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1  # without this one

        return asyncio.run_coroutine_threadsafe(count(), self._loop()).result(30)


class _Noting:
    """An ASGI application that notes in which loop it is served."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def found(self) -> asyncio.AbstractEventLoop:
        assert self.loop is not None, "nothing was asked of the server"
        return self.loop


class GatedOpenAI(FakeOpenAI):
    """The server of the model; each piece of an answer waits at the gate once the piece before it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    async def pause(self) -> None:
        await asyncio.wrap_future(self.gate.ticket())


class _GatedRetriever(NoteRetriever):
    gate: Any

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        await asyncio.wrap_future(self.gate.ticket())
        return self._get_relevant_documents(query, run_manager=run_manager.get_sync())


@contextmanager
def serving_chat(ai_sdk_page: Path = AI_SDK_PAGE) -> Iterator[Site]:
    """Serve the chat for as long as the block lasts."""
    tool = Gate()
    with GatedOpenAI() as model:
        names = ("parrot", "endless", "torn", "broken")
        agents = {name: build_agent(make_model(name, model.base_url), _GatedRetriever(gate=tool)) for name in names}
        app = _Noting(build_app(agents, ai_sdk_page))
        with LocalServer(app) as server:
            try:
                yield Site(server.url, model, tool, app.found)
            finally:
                tool.open()
                model.gate.open()
