"""An ASGI application in its own thread, on a loopback port."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import Self

__all__ = ["LocalServer"]


class LocalServer:
    """Serves an application during the `with` block.

    Args:
        app: The application.
        port: Port to listen on; 0 takes a free one.
    """

    def __init__(self, app: ASGIApp, *, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))  # it listens already, so an early client waits in the backlog
        config = uvicorn.Config(app, loop="asyncio", log_level="warning", lifespan="off", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.serve, name="local-server")

    @property
    def url(self) -> str:
        """Its URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def serve(self) -> None:
        """Serve in this thread, until `__exit__` or an interrupt."""
        self._server.run([self._socket])
