"""Frames that errors keep: those of code that has ended are cleared, whatever still waits or runs is left alone."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool

import callbridge as cb
from callbridge.running.leftover_frames import LeftoverFrames
from lives import Provider, watched

pytestmark = pytest.mark.anyio


class Thing:
    """Something that frames hold."""


async def fail() -> None:
    thing = Thing()  # noqa: F841 - held by this frame
    raise ValueError


async def catching(errors: list[BaseException], gate: asyncio.Event) -> str:
    """Await something while the error is being handled, as LangChain does with callbacks."""
    thing = Thing()  # noqa: F841 - held by this frame
    try:
        await fail()
    except ValueError as error:
        errors.append(error)
        await gate.wait()
    return "done"


async def after_a_future(errors: list[BaseException], gate: asyncio.Event) -> str:
    """The same, awaiting a future itself, which no coroutine is in between of."""
    try:
        await fail()
    except ValueError as error:
        errors.append(error)
        await asyncio.ensure_future(gate.wait())
    return "done"


async def in_a_generator(errors: list[BaseException], gate: asyncio.Event) -> str:
    """The same inside an async generator."""

    async def words() -> AsyncIterator[str]:
        try:
            await fail()
        except ValueError as error:
            errors.append(error)
            await gate.wait()
        yield "done"

    return "".join([word async for word in words()])


def held_by(error: BaseException) -> list[str]:
    """Return by which frames of an error a thing is held."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame.f_code.co_name for frame in frames if "thing" in frame.f_locals]


@pytest.mark.parametrize("handle", [catching, after_a_future, in_a_generator])
async def test_a_coroutine_that_waits_while_it_handles_an_error_goes_on(handle: Callable[..., Any]) -> None:
    """Its frame is in the error's traceback, and is not cleared under it."""
    errors: list[BaseException] = []
    gate = asyncio.Event()
    task = asyncio.ensure_future(handle(errors, gate))
    while not errors:
        await checkpoint()
    frames = LeftoverFrames()
    frames.add_error(errors[0])
    frames.clear_all()
    gate.set()
    assert await task == "done"


async def test_what_has_ended_is_cleared_and_the_rest_when_it_has() -> None:
    errors: list[BaseException] = []
    gate = asyncio.Event()
    task = asyncio.ensure_future(catching(errors, gate))
    while not errors:
        await checkpoint()
    frames = LeftoverFrames()
    frames.add_error(errors[0])
    assert held_by(errors[0]) == ["catching", "fail"]
    frames.clear_all()
    assert held_by(errors[0]) == ["catching"]
    gate.set()
    await task
    frames.clear_all()
    assert held_by(errors[0]) == []


class SlowToHear(AsyncCallbackHandler):
    """Awaits something when it hears of an error, on the loop of the code that reports it."""

    def __init__(self) -> None:
        self.told = False
        self.heard = False
        self.may_go_on = False

    async def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(TURNS):
            await checkpoint()
        self.told = True  # and so is everybody else
        while not self.may_go_on:
            await checkpoint()
        self.heard = True


TURNS = 100
"""Of a loop, in which what goes on there has gone on as far as it can."""


@pytest.mark.parametrize("is_tool", [True, False], ids=["tool", "node"])
async def test_an_error_that_another_threads_loop_still_tells_of_is_told_to_its_end(is_tool: bool) -> None:
    """A sync tool runs its own loop, and the reader's loop clears no frame that waits there."""
    handler, model = SlowToHear(), Provider(words=["word "], waits_at=0)
    chain = model | StrOutputParser()
    ends: list[BaseException] = []

    async def ask(q: str) -> str:
        try:
            return await chain.ainvoke(q, {"callbacks": [handler]})
        except BaseException as error:
            ends.append(error)
            raise

    def think(q: str) -> str:
        return asyncio.run(ask(q))

    runnable: Any = StructuredTool.from_function(think, description="Think.") if is_tool else RunnableLambda(think)

    async def run() -> None:
        try:
            await runnable.ainvoke({"q": "tea"} if is_tool else "tea")
        finally:  # what this loop clears when the run has ended, it clears while the other one tells of the error
            while not handler.told:
                await checkpoint()

    with watched():
        stream = cb.astream_call(run)
        async for event in stream:
            if event["event"] == "on_chat_model_start":
                break
        leaving = asyncio.ensure_future(stream.aclose())
        while not handler.told:
            await checkpoint()
        for _ in range(TURNS):
            await checkpoint()
        handler.may_go_on = True
        await leaving
    assert handler.heard
    assert [type(error) for error in ends] == [asyncio.CancelledError]
    assert model.book.closed
