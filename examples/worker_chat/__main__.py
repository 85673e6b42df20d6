"""A chat in which a worker in another process makes the answers.

    python examples/worker_chat                                        SQLite; no server
    python examples/worker_chat --redis redis://127.0.0.1:6379/0       Redis or Valkey, and Celery with its prefork pool

Both start the page and one worker, and restart the worker when it dies. The model is a fake: no key, no network.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from callbridge.relay import connect
from jobs import open_jobs, put, relay_url
from site_app import build_app

HERE = Path(__file__).resolve().parent


class Worker:
    """A worker process, and its successors.

    Args:
        command: The command that starts it.
        environment: Additional environment variables.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = {**os.environ, **environment}
        self._is_wanted = True
        self._process = self._start()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, cwd=HERE, start_new_session=True)

    def _look_after(self) -> None:
        while self._process.wait() is not None and self._is_wanted:
            self._process = self._start()

    def kill(self) -> bool:
        """Kill it at once, with all its child processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        """End it for good."""
        self._is_wanted = False
        self.kill()
        self._thread.join()


def with_sqlite(folder: Path, environment: dict[str, str]) -> tuple[str, Callable[[str, str], Awaitable[None]], Worker]:
    """Return where the runs are, what hands a job over, and the worker."""
    jobs = open_jobs(folder)

    async def enqueue(run: str, question: str) -> None:
        await asyncio.to_thread(put, jobs, run, question)

    return relay_url(folder), enqueue, Worker([sys.executable, str(HERE / "jobs.py"), str(folder)], environment)


def with_celery(url: str, environment: dict[str, str]) -> tuple[str, Callable[[str, str], Awaitable[None]], Worker]:
    """Return the same, for Celery."""
    environment = {**environment, "CALLBRIDGE_RELAY_URL": url}
    os.environ.update(environment)
    from tasks import answer_question

    async def enqueue(run: str, question: str) -> None:
        await asyncio.to_thread(answer_question.delay, run, question)

    options = ["--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "1", "--loglevel", "WARNING"]
    return url, enqueue, Worker([sys.executable, "-m", "celery", *options, "--without-mingle", "--without-gossip"], environment)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8081, help="port on the loopback interface (default: 8081)")
    parser.add_argument("--redis", metavar="URL", help="a Redis or Valkey server (default: SQLite)")
    parser.add_argument("--pause", type=float, default=0.03, metavar="SECONDS", help="between two characters of the model's")
    options = parser.parse_args()
    environment = {"WORKER_CHAT_PAUSE": str(options.pause)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        made = with_celery(options.redis, environment) if options.redis else with_sqlite(Path(folder), environment)
        url, enqueue, worker = made
        try:
            print(f"open http://127.0.0.1:{options.port}", flush=True)
            relay = connect(url, lease_seconds=5)
            app = build_app(relay, enqueue, worker.kill)
            uvicorn.run(app, port=options.port, log_level="warning", timeout_graceful_shutdown=2)
        finally:
            worker.close()


if __name__ == "__main__":
    main()
