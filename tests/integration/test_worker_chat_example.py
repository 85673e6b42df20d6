"""`examples/worker_chat`, started by its documented commands: a page, and a worker in another process."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "relay"))

from servers import REQUIRED, Server, missing  # noqa: E402

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="needs process groups"), pytest.mark.timeout(400)]

PATIENCE = 150


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(params=["sqlite", "celery"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """Start the example; give a client of its site."""
    command = [sys.executable, str(ROOT / "examples" / "worker_chat"), "--pause", "0.004"]
    server = None
    if request.param == "celery":
        reason = missing("redis")
        if reason is not None:
            (pytest.fail if REQUIRED else pytest.skip)(reason)
        if importlib.util.find_spec("celery") is None:
            pytest.skip("celery is not installed")
        server = Server("redis", tmp_path)
        command += ["--redis", server.url]
    port = free_port()
    # Celery's processes are killed, and leave their temporary folders.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([*command, "--port", str(port)], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE) as client:
            wait_for(client, process)
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        if server is not None:
            server.kill()


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            assert client.get("/").status_code == 200
            return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the site does not answer")


def ask(site: httpx.Client) -> str:
    run: str = site.post("/runs", json={"question": "How?"}).json()["run"]
    return run


def frames(site: httpx.Client, run: str, last_id: str = "", most: int = 10_000) -> list[tuple[str, str, str]]:
    """Return id, event and data of the frames of a run, at most so many."""
    found: list[tuple[str, str, str]] = []
    frame: dict[str, str] = {}
    with site.stream("GET", f"/runs/{run}/events", headers={"Last-Event-ID": last_id} if last_id else {}) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                frame[name] = value
            elif "id" in frame:
                found.append((frame["id"], frame.get("event", ""), frame.get("data", "")))
                frame = {}
                if len(found) == most:
                    break
    return found


def text(found: list[tuple[str, str, str]]) -> str:
    return "".join(json.loads(data)["token"] for _, event, data in found if event == "completion")


def ending(found: list[Any]) -> Any:
    return json.loads(found[-2][2]).get("status_code")


def test_a_page_and_a_worker_in_two_processes(site: httpx.Client) -> None:
    """Reload in mid-answer, a second tab, stop, kill the worker."""
    run = ask(site)
    before = frames(site, run, most=30)  # the page goes in mid-answer
    rest = frames(site, run, last_id=before[-1][0])
    whole = frames(site, run)  # a second tab
    assert before + rest == whole
    assert text(whole).startswith("Tea leaves")
    assert whole[-1][1] == "end"
    assert site.get(f"/runs/{run}").json() == {"status": "ended"}

    run = ask(site)
    begun = frames(site, run, most=5)
    assert site.post(f"/runs/{run}/stop").status_code == 204
    stopped = frames(site, run)
    assert stopped[:5] == begun
    assert ending(stopped) == 499
    assert len(text(stopped)) < len(text(whole))

    run = ask(site)
    frames(site, run, most=5)
    assert site.post("/worker/kill").status_code == 204
    assert ending(frames(site, run)) == 502
    assert site.get(f"/runs/{run}").json() == {"status": "lost"}
    assert text(frames(site, ask(site))) == text(whole)  # by the worker's successor

    assert site.get("/runs/nothing/events").status_code == 404
    assert site.post("/runs/nothing/stop").status_code == 404
