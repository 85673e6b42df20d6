"""What all tests share: the tiers, the async backend, and that none of them leaves anything behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from blocking import nothing_blocks
from exits import Programs

HERE = Path(__file__).parent


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


class Tiers:
    """Marks the tests that `pytest -m quick` runs, for after each edit.

    It leaves out what is marked `thorough` and the rooms of whole programs, browsers and mutants. Of each test that has many
    cases it takes a few, evenly spread. What it leaves out comes first, so that no worker is left alone with a long test at the
    end.
    """

    ROOMS = ("benchmarks", "browser", "integration", "proof")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark them before `-m` selects, and put the long ones first."""
        long: list[pytest.Item] = []
        tests: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            if self.takes_long(item):
                long.append(item)
            else:
                tests[item.nodeid.partition("[")[0]].append(item)
        for cases in tests.values():
            for case in cases[:: -(-len(cases) // config.getoption("--cases"))]:
                case.add_marker(pytest.mark.quick)
        first = set(long)
        items[:] = [*long, *(item for item in items if item not in first)]

    def takes_long(self, item: pytest.Item) -> bool:
        room = item.path.relative_to(HERE).parts[0]
        return room in self.ROOMS or item.get_closest_marker("thorough") is not None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Heap())
    config.pluginmanager.register(Tiers())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Make `-n auto` two workers for each core: many tests wait for servers, browsers, threads and processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores, min(2 * cores, 12))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--blockbuster", action="store_true", help="let nothing of callbridge block a running event loop, in any test"
    )
    parser.addoption("--cases", type=int, default=3, help="how many cases of each test `-m quick` takes (default: 3)")


@pytest.fixture(autouse=True)
def _nothing_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--blockbuster`, which LangGraph's development server has on: a call that blocks a running loop is an error.

    Calls of test code alone may block; those below a function of callbridge may not, unless the test is about that. Then it is
    marked with the names of its functions that may: `@pytest.mark.blocks("linger")`, or of another file's,
    `@pytest.mark.blocks("app.py:write")`; without a name, it is left alone.
    """
    marks = [mark.args for mark in request.node.iter_markers("blocks")]
    if not request.config.getoption("--blockbuster") or () in marks:
        yield
        return
    named = (name.rpartition(":") for names in marks for name in names)
    with nothing_blocks(*((file or str(request.path), name) for file, _, name in named)):
        yield


@pytest.fixture
def anyio_backend() -> str:
    """LangChain's async API runs on asyncio alone; tests of the channel ask for trio as well."""
    return "asyncio"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Give what makes programs whose interpreter ends with them."""
    made = Programs(tmp_path_factory.mktemp("programs"), "matrix.exiting")
    yield made
    made.close()


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


# `quick` is what every run of the suite takes; `full` is for changes of the translators and the channel:
# `pytest --hypothesis-profile=full`.
settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")
