"""Nothing of callbridge blocks a loop that runs, from its first use on: LangGraph's development server refuses what does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

import callbridge as cb
from blocking import nothing_blocks
from callbridge.compat import CORE_VERSION
from scenarios import AVAILABLE, WARNINGS, Scenario, as_params

blockbuster = pytest.importorskip("blockbuster")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(*WARNINGS),
    pytest.mark.skipif(CORE_VERSION < (1,), reason="LangChain before 1.0 reads files in the loop itself"),
]


async def read(open_stream: Callable[[], Any]) -> None:
    try:
        async with open_stream() as stream:
            async for _ in stream:
                pass
    except Exception as error:
        found: BaseException | None = error
        while found is not None:
            assert not isinstance(found, blockbuster.BlockingError)
            found = found.__cause__ or found.__context__


async def events(scenario: Scenario) -> None:
    runnable, value = scenario.make()
    await read(lambda: cb.astream_events(runnable, value, scenario.new_config() or None))


async def call(scenario: Scenario) -> None:
    runnable, value = scenario.make()
    await read(lambda: cb.astream_call(runnable.invoke, value, scenario.new_config() or None, extended=True))


async def dispatch(scenario: Scenario) -> None:
    runnable, value = scenario.make()
    handlers = [BaseCallbackHandler(), AsyncCallbackHandler()]
    await read(lambda: cb.adispatch_events(cb.astream_events(runnable, value, scenario.new_config() or None), handlers))


@pytest.mark.parametrize("scenario", as_params(AVAILABLE))
async def test_no_road_through_the_loop_blocks(scenario: Scenario, caplog: pytest.LogCaptureFixture) -> None:
    """Events, a sync call in a thread, and handlers, by turns, of every scenario of the differential suite."""
    road = (events, call, dispatch)[AVAILABLE.index(scenario) % 3]
    with nothing_blocks():
        await road(scenario)
    assert "BlockingError" not in caplog.text  # LangChain logs the errors of handlers, and goes on


async def leave(call: Callable[[], Any]) -> None:
    gate = threading.Event()

    def wait() -> None:
        call()
        gate.wait()

    async with cb.astream_call(wait) as stream:
        await anext(stream)
        gate.set()


async def test_leaving_does_not_block() -> None:
    """Threads are waited for without joining them."""
    runnable, value = AVAILABLE[0].make()
    with nothing_blocks():
        await leave(lambda: runnable.invoke(value))


async def test_what_blocks_is_found() -> None:
    """The check itself: a handler that sleeps on the loop it is dispatched on."""

    class Sleeper(BaseCallbackHandler):
        raise_error = True

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            time.sleep(0.001)

    runnable, value = AVAILABLE[0].make()
    with nothing_blocks(), pytest.raises(blockbuster.BlockingError):
        await cb.adrive(cb.astream_events(runnable, value), [Sleeper()])


FIRST_USE = """
import asyncio, sys
{imports}
from blockbuster import blockbuster_ctx

async def main():
    before = set(sys.modules)
    async with callbridge.astream_events(FakeListChatModel(responses=["hi there"]), "x") as stream:
        async for _ in stream:
            pass
    print(sorted(name for name in set(sys.modules) - before if name.startswith("callbridge")))

with blockbuster_ctx():
    asyncio.run(main())
"""

MODEL = "from langchain_core.language_models import FakeListChatModel"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("imports", "complete"),
    [
        (f"import callbridge\n{MODEL}", False),
        (f"{MODEL}\nimport callbridge", True),
        (f"import callbridge\n{MODEL}\ncallbridge.astream_events", True),
    ],
    ids=["callbridge first", "LangChain first", "the name first"],
)
def test_the_first_use_reads_no_file(imports: str, complete: bool) -> None:
    """And imports nothing, if LangChain was there when callbridge was imported, or the name was used before."""
    command = [sys.executable, "-c", FIRST_USE.format(imports=imports)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert not complete or done.stdout == "[]\n"
