"""A real browser in front of the chat example: the page behind real uvicorn, and a model that waits for the test.

Where `chromium` and `chromedriver` are not installed, the tests skip; with `CALLBRIDGE_BROWSER=required` they fail instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

REQUIRED = os.environ.get("CALLBRIDGE_BROWSER") == "required"


def _missing() -> str | None:
    """Return what a browser test needs and is not there."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not on PATH (Debian: apt-get install chromium chromium-driver)"
    try:
        import langchain_classic  # noqa: F401
        import langchain_openai  # noqa: F401
        import selenium  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed (pip install 'callbridge[browser,examples,web]')"
    return None


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

    def __init__(self, url: str, model: Any, tool: Gate, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
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


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a fresh site whose model and tool wait for the test."""
    from chat_app import build_app
    from chat_model import make_model
    from fake_openai import FakeOpenAI
    from local_server import LocalServer
    from notes import NoteRetriever
    from tea_agent import build_agent

    class GatedOpenAI(FakeOpenAI):
        gate = Gate()

        async def pause(self) -> None:
            await asyncio.wrap_future(self.gate.ticket())

    class GatedRetriever(NoteRetriever):
        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            await asyncio.wrap_future(tool.ticket())
            return self._get_relevant_documents(query, run_manager=run_manager.get_sync())

    tool = Gate()
    with GatedOpenAI() as model:
        agents = {
            name: build_agent(make_model(name, model.base_url), GatedRetriever())
            for name in ("parrot", "endless", "torn", "broken")
        }
        app = _Noting(build_app(agents))
        with LocalServer(app) as server:
            try:
                yield Site(server.url, model, tool, app.found)
            finally:
                tool.open()
                model.gate.open()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Give Chromium, for all tests: starting it takes longer than most of them."""
    missing = _missing()
    if missing is not None:
        (pytest.fail if REQUIRED else pytest.skip)(missing)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    quiet = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    for argument in ("headless", "no-sandbox", "disable-dev-shm-usage", *quiet.split()):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)  # everything here is on the loopback interface
        driver = Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def shots() -> Callable[[Any, str], None]:
    """Give what takes a picture of a page, if `CALLBRIDGE_SHOTS` names a directory to put it in."""
    directory = os.environ.get("CALLBRIDGE_SHOTS")

    def shoot(driver: Any, name: str) -> None:
        if directory:
            driver.save_screenshot(str(Path(directory) / f"{name}.png"))

    return shoot
