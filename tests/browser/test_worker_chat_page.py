"""`examples/worker_chat` in Chromium: the page in one process, the answer in another, and a person who looks on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "worker_chat"
SECONDS = 90
"""How long anything may take, on a machine that does other things as well."""

PAUSE = 0.25
"""Seconds between two characters: the whole answer takes more than a minute, so whatever is done is done in its midst."""

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="needs process groups"), pytest.mark.timeout(400)]


@pytest.fixture
def address(browser: Any) -> Iterator[str]:
    """Start the example by its documented command, on SQLite; give its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, str(EXAMPLE), "--pause", str(PAUSE), "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        until(lambda: answers(process, f"http://127.0.0.1:{port}/"))
        yield f"http://127.0.0.1:{port}/"
        browser.get("about:blank")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=SECONDS) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "this takes too long"
        time.sleep(0.05)


class Person:
    """Who uses the page, in any number of tabs."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def text(self, name: str) -> str:
        """Return what an element shows."""
        text: str = self.driver.find_element("id", name).text
        return text

    def press(self, name: str) -> None:
        """Press a button."""
        self.driver.find_element("id", name).click()

    def asks(self) -> str:
        """Ask, and wait for the beginning of the answer to this very question; return it."""
        before = self.driver.current_url
        self.press("ask")
        until(lambda: self.driver.current_url != before)
        self.is_told("The worker answers")
        return self.reads_more_than("T")

    def reads_more_than(self, text: str) -> str:
        """Wait until the answer has gone on from a text; return it."""
        until(lambda: self.text("answer").startswith(text) and len(self.text("answer")) > len(text) + 1)
        return self.text("answer")

    def is_told(self, status: str) -> None:
        """Wait until the page says how the run is."""
        until(lambda: self.text("status") == status)


def test_reload_second_tab_stop_and_a_worker_that_is_killed(browser: Any, address: str) -> None:
    person = Person(browser)
    browser.get(address)
    first_tab = browser.current_window_handle
    seen = person.asks()

    browser.refresh()  # the run goes on: what was there comes again, and more
    seen = person.reads_more_than(seen)

    run_address = browser.current_url
    browser.switch_to.new_window("tab")
    try:
        browser.get(run_address)
        person.reads_more_than(seen)
        person.press("stop")
        person.is_told("Stopped")
        stopped = person.text("answer")
    finally:
        browser.close()
        browser.switch_to.window(first_tab)
    person.is_told("Stopped")
    assert person.text("answer") == stopped
    assert not browser.find_element("id", "stop").is_enabled()

    before = person.asks()
    person.press("kill")
    person.is_told("The worker has died")
    assert person.text("answer").startswith(before)

    person.asks()  # its successor answers
    complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints
