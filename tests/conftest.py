"""What all tests share: the async backend, and that none of them leaves anything behind."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings


class Heap:
    """Hides what stays anyway from the garbage collector: modules, thousands of cases, and what pytest keeps of each.

    Many tests collect, and each collection looks at every object that is not hidden: a suite's time would be the square of its
    length.
    """

    EVERY = 20
    """Tests."""

    def __init__(self) -> None:
        self._tests = 0

    def pytest_collection_finish(self) -> None:
        """Hide what collecting has made."""
        self.hide()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Hide what the last tests have left: all their garbage is collected before, none is hidden."""
        self._tests += 1
        if self._tests % self.EVERY == 0:
            self.hide()

    def hide(self) -> None:
        gc.collect()
        gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Heap())


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
