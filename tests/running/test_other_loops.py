"""On loops of others: uvloop's, and asyncio's as nest_asyncio changes it. What is asked of asyncio in private is there, too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import callbridge as cb
from lives import RUNS, Run, watched

HERE = Path(__file__).parent


# -- uvloop -----------------------------------------------------------------------------------------------------------


class TestUvloop:
    """In the test's own loop; `test_entered_loops.py` has it in sync code's."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> Any:
        pytest.importorskip("uvloop")
        return "asyncio", {"use_uvloop": True}

    @pytest.mark.parametrize("make", RUNS.values(), ids=list(RUNS))
    async def test_a_stream_is_that_of_langchain(self, make: Callable[..., Run]) -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        run = make()
        expected = [event["event"] async for event in run.runnable.astream_events(run.value, version="v2")]
        async with cb.astream_events(run.runnable, run.value) as stream:
            assert sorted([event["event"] async for event in stream]) == sorted(expected)  # branches take turns as they come

    @pytest.mark.parametrize("make", RUNS.values(), ids=list(RUNS))
    async def test_leaving_leaves_nothing(self, make: Callable[..., Run]) -> None:
        """While the provider waits for ever."""
        run = make(waits_at=1)
        with watched():
            before = asyncio.all_tasks()
            async with cb.astream_events(run.runnable, run.value) as stream:
                async for event in stream:
                    if event["event"] == "on_chat_model_stream":
                        break
                await run.book.waits.wait()
            assert run.book.closed
            assert asyncio.all_tasks() == before

    @pytest.mark.parametrize("make", RUNS.values(), ids=list(RUNS))
    async def test_a_reader_that_is_cancelled_leaves_nothing(self, make: Callable[..., Run]) -> None:
        run = make(waits_at=1)

        async def read() -> None:
            async with cb.astream_call(run.runnable.ainvoke, run.value) as stream:
                async for _ in stream:
                    pass

        with watched():
            before = asyncio.all_tasks()
            reader = asyncio.ensure_future(read())
            await run.book.waits.wait()
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled()
            assert run.book.closed
            assert asyncio.all_tasks() == before


# -- nest_asyncio -----------------------------------------------------------------------------------------------------

NESTED = """
import asyncio
import nest_asyncio
nest_asyncio.apply()
import callbridge as cb
from lives import Provider, watched

def ask(model):
    "Sync code that runs a coroutine in the loop that is running it."
    return asyncio.get_event_loop().run_until_complete(model.ainvoke("tea")).content

async def call(model):
    return ask(model)

async def stream():
    async with cb.astream_call(call, Provider()) as stream:
        text = "".join([piece async for piece in stream.text()])
    return text, stream.result

async def leave(make, *args):
    model = Provider(waits_at=1)
    with watched():
        before = asyncio.all_tasks()
        async with make(model) as stream:
            await stream.text().__anext__()
        return model.book.closed, asyncio.all_tasks() == before

async def cancel():
    model = Provider(waits_at=1)
    async def read():
        async with cb.astream_call(call, model) as stream:
            async for _ in stream:
                pass
    reader = asyncio.ensure_future(read())
    await model.book.waits.wait()
    reader.cancel()
    await asyncio.wait([reader])
    return model.book.closed, reader.cancelled()

async def sync_stream():
    with cb.stream_call(Provider().ainvoke, "tea") as stream:
        return "".join(stream.text())

async def nested_reader():
    return asyncio.run(stream())

print(asyncio.run(stream()))
print(asyncio.run(leave(lambda model: cb.astream_call(call, model))))
print(asyncio.run(leave(lambda model: cb.astream_call(ask, model))))
print(asyncio.run(leave(lambda model: cb.astream_events(model, "tea"))))
print(asyncio.run(cancel()))
print(asyncio.run(sync_stream()))
print(asyncio.run(nested_reader()))
"""

SAID = """\
('red green ', 'red green ')
(True, True)
(True, True)
(True, True)
(True, True)
red green 
('red green ', 'red green ')
"""  # noqa: W291 - the model says so


@pytest.mark.thorough
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="under nest_asyncio, tasks do not know there that they run")
def test_loops_within_loops() -> None:
    """In a process of its own, because all of asyncio changes."""
    if find_spec("nest_asyncio") is None:  # not imported: whether it is there decides for which tasks callbridge waits
        pytest.skip("needs nest_asyncio")
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", NESTED]
    done = subprocess.run(program, cwd=HERE.parent, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (SAID, "", 0)
