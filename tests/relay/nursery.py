"""Workers in processes of their own, at the price of a fork: a process that has loaded everything makes them.

Run as a program it reads commands as JSON, one a line, and answers each with the worker's process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any


class Nursery:
    """Makes workers, and ends those that are left."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"},
        )
        self._pids: list[int] = []

    def make(self, url: str, run: str, kind: str = "publish", **options: Any) -> int:
        """Start a worker; return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"url": url, "run": run, "kind": kind, **options}) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._pids.append(pid)
        return pid

    def close(self) -> None:
        """End all."""
        for pid in self._pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def serve() -> None:
    """Make workers as told."""
    from made import events

    import callbridge
    from callbridge.relay import connect
    from callbridge.relay.redis import RedisLog  # noqa: F401 - loaded once, for all of them
    from callbridge.relay.sqlite import SQLiteLog  # noqa: F401

    callbridge.loads(callbridge.dumps(events(3)[1]))
    connect("memory:").__enter__()
    # Nobody waits for them: their ids stay theirs until this process ends, and killing one that has ended hits nobody else.
    for line in sys.stdin:
        options = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                sys.stdin.close()
                work(**options)
            except BaseException:
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def work(url: str, run: str, kind: str, **options: Any) -> None:
    """Do what a worker does, and write how it came out into the file that is named."""
    outcome = options.pop("outcome", None)
    try:
        result = {"publish": publish, "sync": publish_sync, "count": count}[kind](url, run, **options)
    except BaseException as error:
        result = type(error).__name__
    if outcome is not None:
        part = Path(f"{outcome}.part")
        part.write_text(str(result), encoding="utf-8")
        part.rename(outcome)


def publish(url: str, run: str, *, made: int, pause: float = 0, block: float = 0, **options: Any) -> str:
    """Publish a run from a loop."""
    from made import events

    from callbridge.relay import connect

    restart = options.pop("restart", False)

    async def stream() -> AsyncIterator[Any]:
        for number, event in enumerate(events(made)):
            if block and number == made // 2:
                time.sleep(block)  # noqa: ASYNC251 - sync code in the loop: that is the point
            yield event
            if pause:
                await asyncio.sleep(pause)

    async def main() -> Any:
        async with connect(url, **options) as relay:
            return await relay.publish(run, stream(), restart=restart)

    return str(asyncio.run(main()))


def publish_sync(url: str, run: str, *, made: int, **options: Any) -> str:
    """Publish a run from sync code."""
    from made import events

    from callbridge.relay import connect

    with connect(url, **options) as relay:
        return str(relay.publish_sync(run, events(made)))


def count(url: str, run: str, *, readers: int, leaves: int = 0) -> str:
    """Follow a run many times; some leave early."""
    from callbridge.relay import connect

    async def follow(relay: Any, number: int) -> int:
        found = 0
        async with relay.follow(run) as follower:
            async for _ in follower:
                found += 1
                if number < leaves and found == 5 + number:
                    break
        return found

    async def main() -> list[int]:
        async with connect(url) as relay:
            found = await asyncio.gather(*(follow(relay, number) for number in range(readers)))
            assert relay._tools is not None
            assert relay._tools.hub.listeners() == 0
            return sorted(set(found[leaves:]))

    return str(asyncio.run(main()))


if __name__ == "__main__":
    serve()
