"""What the tests of the channel share: both async libraries, and a way to know that a thread is about to block."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from callbridge.channel import memory
from callbridge.channel.waiters import ThreadWaiter


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Whatever waits, waits on both."""
    return request.param


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released each time a thread is about to block, producer or reader."""
    semaphore = threading.Semaphore(0)

    class Watched(ThreadWaiter):
        __slots__ = ()

        def wait(self, timeout: float | None = None) -> bool:
            semaphore.release()
            return super().wait(timeout)

    monkeypatch.setattr(memory, "ThreadWaiter", Watched)
    return semaphore
