"""Under gevent: sync streams, async calls from sync code and coroutine methods of handlers, many at once."""

from __future__ import annotations

import asyncio
import selectors
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callbridge import internals

pytest.importorskip("gevent")

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import asyncio, time
import gevent
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import FakeListChatModel
import callbridge as cb

said = []

class Model(FakeListChatModel):
    def _stream(self, *args, **kwargs):
        for chunk in super()._stream(*args, **kwargs):
            said.append("sync")
            yield chunk

    async def _astream(self, *args, **kwargs):
        async for chunk in super()._astream(*args, **kwargs):
            said.append("async")
            yield chunk

class Counter(AsyncCallbackHandler):
    tokens = 0

    async def on_llm_new_token(self, token, **kwargs):
        await asyncio.sleep(0)
        self.tokens += 1

model = Model(responses=["w" * 10], sleep=0.001)

def read(make):
    with make() as stream:
        return len("".join(stream.text())), stream.statistics().channel.overruns

def drive():
    handler = Counter()
    cb.drive(cb.stream_events(model, "x"), [handler])
    return handler.tokens, 0

def run_a_loop():
    return asyncio.run(asyncio.sleep(0.01, 10)), 0

def leave(call):
    slow = Model(responses=["w" * 100_000], sleep=0.001)
    said.clear()
    with cb.stream_call(getattr(slow, call), "x") as stream:
        next(stream.text())
    return len(said) < 1000

ways = [
    lambda: read(lambda: cb.stream_events(model, "x", capacity=2)),
    lambda: read(lambda: cb.stream_call(model.invoke, "x", capacity=2)),
    lambda: read(lambda: cb.stream_call(model.ainvoke, "x", capacity=2)),
    drive,
]
jobs = [gevent.spawn(way) for way in ways * 3]
gevent.joinall(jobs)
print({job.value for job in jobs})
print(run_a_loop())
print([gevent.spawn(leave, call).get() for call in ("invoke", "ainvoke")])
try:
    asyncio.get_running_loop()
except RuntimeError:
    print("no loop runs here")
"""


@pytest.mark.thorough
def test_all_of_it_works_in_greenlets() -> None:
    """No greenlet is told that a loop runs in it because another one has made an async call; the bound holds."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "{(10, 0)}\n(10, 0)\n[True, True]\nno loop runs here\n", done.stderr
    assert done.returncode == 0


def test_a_generator_that_another_greenlet_begins_is_not_closed_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """All loops are in one thread of the system, which tells one of them of the generators that begin."""
    monkeypatch.setattr(internals, "_has_green_threads", lambda: True)
    begun: list[AsyncIterator[str]] = []
    select = selectors.DefaultSelector.select

    async def words() -> AsyncIterator[str]:
        yield "one"
        yield "two"

    def switching_select(self: Any, timeout: float | None = None) -> Any:
        if not begun:  # here another greenlet has its turn
            begun.append(words())
            with pytest.raises(StopIteration, match="one"):
                begun[0].__anext__().__await__().send(None)
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", switching_select)
    hooks = sys.get_asyncgen_hooks()
    internals.run_to_end(internals.new_event_loop(), asyncio.sleep(0.001))
    assert sys.get_asyncgen_hooks() == hooks
    with pytest.raises(StopIteration, match="two"):
        begun[0].__anext__().__await__().send(None)
