"""Async calls from sync code: one loop that stays, which nothing blocks for good, and which ends with the interpreter."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

import callbridge as cb
from exits import Programs
from lives import Provider, chain, watched

user: ContextVar[str] = ContextVar("user", default="nobody")


async def loop_of_call(_: Any = None) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def result_of(call: Any, *args: Any) -> Any:
    with cb.stream_call(call, *args) as stream:
        list(stream)
    return stream.result


def test_calls_share_a_loop_that_stays() -> None:
    """From whichever thread they are made, one after the other or at once."""
    loops = {result_of(loop_of_call), result_of(lambda: loop_of_call())}
    with ThreadPoolExecutor(4) as pool:
        loops.update(pool.map(lambda _: result_of(RunnableLambda(len, afunc=loop_of_call).ainvoke, 1), range(8)))
    (loop,) = loops
    assert loop.is_running()
    before = {thread.ident for thread in threading.enumerate()}
    assert result_of(loop_of_call) is loop
    assert {thread.ident for thread in threading.enumerate()} <= before


def test_each_call_has_the_context_of_who_made_it() -> None:
    """And nobody sees what it sets."""

    async def greet() -> str:
        name = user.get()
        user.set("changed")
        return name

    token = user.set("ann")
    try:
        assert result_of(greet) == "ann"
        assert user.get() == "ann"
        assert result_of(greet) == "ann"
    finally:
        user.reset(token)


def test_the_very_error_arrives() -> None:
    """Whatever it is; also what would end a program, of which the other calls know nothing."""

    async def fail(error: BaseException) -> None:
        raise error

    for error in (ValueError("no"), SystemExit(3), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            result_of(fail, error)
        assert caught.value is error
    assert result_of(loop_of_call).is_running()


@pytest.mark.blocks("outer")
def test_a_call_inside_an_async_call_waits_for_nothing() -> None:
    """Sync code on the shared loop that makes an async call blocks that loop: the inner call has one of its own."""

    async def outer() -> tuple[Any, Any]:
        return asyncio.get_running_loop(), result_of(loop_of_call)

    shared, inner = result_of(outer)
    assert shared is not inner


@pytest.mark.blocks("outer")
def test_a_call_that_a_blocked_loop_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the inner call is made in a thread, and nobody can know."""

    async def outer() -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            return asyncio.get_running_loop(), pool.submit(result_of, loop_of_call).result()

    shared, inner = result_of(outer)
    assert shared is not inner
    assert result_of(loop_of_call) is shared


def test_leaving_one_call_leaves_the_others_alone() -> None:
    """Each is cancelled where it waits, and awaited; the loop has nothing left of it."""
    left, others = Provider(waits_at=1), [chain() for _ in range(3)]
    with watched():
        streams = [cb.stream_call(run.runnable.ainvoke, run.value) for run in others]
        for stream in streams:
            next(stream)
        with cb.stream_call(left.ainvoke, "tea") as stream:
            next(stream.text())
        assert left.book.closed
        for stream in streams:
            list(stream)
            assert stream.result == "red green "
    assert result_of(tasks_of_loop) == 1


async def tasks_of_loop() -> int:
    return len(asyncio.all_tasks())


PRELUDE = """
import asyncio, os, sys, threading, warnings
import callbridge as cb
from langchain_core.language_models import FakeListChatModel
def ask():
    with cb.stream_call(FakeListChatModel(responses=["hot water"]).ainvoke, "tea") as stream:
        return "".join(stream.text())
async def loop_of_call():
    return asyncio.get_running_loop()
def loop():
    with cb.stream_call(loop_of_call) as stream:
        list(stream)
    return stream.result
"""

EXITS = {
    "with a connection and a task of the user's": """
async def connect():
    server = await asyncio.start_server(lambda *ends: kept.append(ends), "127.0.0.1", 0)
    kept.append(await asyncio.open_connection(*server.sockets[0].getsockname()[:2]))
    server.close()
    kept.append(asyncio.create_task(asyncio.sleep(1000)))
kept = []
with cb.stream_call(connect) as stream: list(stream)
print(ask())
""",
    "in mid-stream": """
stream = cb.stream_call(FakeListChatModel(responses=["hot water"], sleep=1).ainvoke, "tea")
print("hot water", next(stream) and "")
""",
}


@pytest.mark.thorough
@pytest.mark.parametrize("program", EXITS.values(), ids=EXITS)
def test_it_ends_with_the_interpreter(programs: Programs, program: str) -> None:
    """Nobody waits and nobody complains."""
    began = time.monotonic()
    done = programs.run(PRELUDE + program)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("hot water", "", 0)
    assert time.monotonic() - began < 60


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_makes_its_own(programs: Programs) -> None:
    """That of its parent has no thread there, and goes on in the parent."""
    done = programs.run(
        PRELUDE
        + """
first = loop()
pid = os.fork()
if not pid:
    own = loop()
    print(own is not first and own is loop() and ask(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
assert loop() is first
print(ask())
"""
    )
    assert (done.stdout.split("\n")[:2], done.stderr, done.returncode) == (["hot water"] * 2, "", 0)
