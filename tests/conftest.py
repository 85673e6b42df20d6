"""What all tests share: the async backend, and that none of them leaves anything behind."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings


def pytest_collection_finish() -> None:
    """Hide the modules and the thousands of cases from the garbage collector, which many tests call: they stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """LangChain's async API runs on asyncio alone; tests of the channel ask for trio as well."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _ctrl_c_raises() -> None:
    """As in a terminal: a suite that a shell starts in the background would ignore it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """No test leaves a thread of ours behind, dropped streams included."""
    yield
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("callbridge")]
    if ours:
        gc.collect()
        for thread in ours:
            thread.join(5)
    assert not [thread for thread in ours if thread.is_alive()]


# `quick` is what a developer and every interpreter in CI run; `full` is for changes of the translators and the channel:
# `pytest --hypothesis-profile=full`.
settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")
