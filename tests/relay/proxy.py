"""A proxy on loopback that cuts a connection after so many bytes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes everything on to a server, until it is told to cut.

    Args:
        port: The server's, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._left: dict[str, int] = {}  # direction to the bytes that may pass
        self.cuts = 0
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut_after(self, direction: str, count: int) -> None:
        """Cut the connection once, when so many more bytes have gone in a direction: `request` or `reply`."""
        with self._lock:
            self._left = {direction: count}

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for direction, source, sink in (("request", client, server), ("reply", server, client)):
                threading.Thread(target=self._pass, args=(direction, source, sink), daemon=True).start()

    def _pass(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    left = self._left.get(direction)
                    is_cut = left is not None and len(data) >= left
                    if left is not None:
                        self._left[direction] = left - len(data)
                    if is_cut:
                        self._left = {}
                        self.cuts += 1
                sink.sendall(data[:left] if is_cut else data)
                if is_cut:
                    break
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Listen no longer."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
