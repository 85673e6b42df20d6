"""Calls that are observed report every run inside, on every interpreter, without a config being passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langchain_core.tracers import context

import callbridge as cb
from scenarios.models import chat


async def ask(value: Any) -> str:
    """Call a model without passing a config on, which LangChain does by itself from CPython 3.11 on only."""
    return str((await chat("green").ainvoke(str(value))).content)


def in_lambda() -> Any:
    return RunnableLambda(ask).ainvoke


def in_tool() -> Any:
    async def look_up(q: str) -> str:
        return await ask(q)

    return StructuredTool.from_function(coroutine=look_up, name="look_up", description="Look up.").ainvoke


def in_plain_code() -> Any:
    return ask


def read(call: Callable[..., Awaitable[Any]], value: Any) -> tuple[list[Any], Any]:
    async def main() -> tuple[list[Any], Any]:
        async with cb.astream_call(call, value, extended=True) as stream:
            return [event async for event in stream], stream.result

    return asyncio.run(main())


@pytest.mark.parametrize("make", [in_lambda, in_tool, in_plain_code])
def test_models_called_without_a_config_are_heard(make: Callable[[], Any]) -> None:
    """Each of them, with its chunks, on CPython 3.10 too."""
    events, result = read(make(), {"q": "tea"} if make is in_tool else "tea")
    assert result == "green"
    assert [event["event"] for event in events if event["name"] == "GenericFakeChatModel"] == [
        "on_chat_model_start",
        "on_chat_model_stream",
        "on_chat_model_end",
    ]


@pytest.mark.parametrize("call", ["abatch", "map"])
def test_every_call_of_a_batch_is_heard(call: str) -> None:
    """Each with its own root; `astream_events` of LangChain has none for `map()`."""
    runnable = RunnableLambda(str) | StrOutputParser()
    events, result = read(runnable.abatch if call == "abatch" else runnable.map().ainvoke, ["a", "b", "c"])
    assert result == ["a", "b", "c"]
    inputs = [
        event["data"].get("input") for event in events if event["name"] == "StrOutputParser" and "_start" in event["event"]
    ]
    assert sorted(inputs) == ["a", "b", "c"]


def test_runs_that_start_the_next_one_need_no_more_of_langchain() -> None:
    """In a task, whose context says that the run is observed which is over by then; LangChain never forgets a variable."""
    # LangChain asks each of its variables at each start of a run.
    counts: list[int] = []

    async def main() -> None:
        done = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []
        heard: list[int] = []

        async def generation(number: int) -> None:
            async def work() -> None:
                await RunnableLambda(ask).ainvoke("tea")
                counts.append(len(context._configure_hooks))
                if number < 20:
                    tasks.append(asyncio.create_task(generation(number + 1)))

            async with cb.astream_call(work) as stream:
                heard.append(len([event async for event in stream if event["event"] == "on_chat_model_end"]))
            if number == 20:
                done.set()

        tasks.append(asyncio.create_task(generation(0)))
        await done.wait()
        await asyncio.gather(*tasks)
        assert heard == [1] * 21

    asyncio.run(main())
    assert counts[-1] - counts[0] <= 1


def test_a_run_that_has_not_ended_goes_on_hearing() -> None:
    """Of a stream that is left inside it, and of those after that."""

    def work() -> None:
        for _ in range(3):
            with cb.stream_call(chat("green").invoke, "tea") as inner:
                next(inner)

    with cb.stream_call(work) as stream:
        starts = [event for event in stream if event["event"] == "on_chat_model_start"]
    assert len(starts) == 3


# -- calls that leave their work to whoever reads what they return


def starts_a_stream(question: str) -> Any:
    return chat("green").stream(question)


async def starts_a_stream_async(question: str) -> Any:
    await chat("black").ainvoke(question)
    return chat("green").astream(question)


@pytest.mark.parametrize("call", [starts_a_stream, starts_a_stream_async])
@pytest.mark.anyio
async def test_a_call_that_returns_a_generator_is_an_error_of_the_stream(call: Callable[[str], Any]) -> None:
    """The events up to there arrive, then the error, and again from `result`, because nobody would read the generator."""
    events: list[str] = []
    stream = cb.astream_call(call, "tea?")
    with pytest.raises(cb.CallableTypeError, match=r"call\(\)=<(async_)?generator object .* astream_events\(chain, x\)"):
        async for event in stream:
            events.append(event["event"])
    assert ("on_chat_model_end" in events) == (call is starts_a_stream_async)
    with pytest.raises(cb.CallableTypeError):
        _ = stream.result


@pytest.mark.parametrize("call", [starts_a_stream, starts_a_stream_async, lambda text: starts_a_stream_async(text)])
def test_the_same_from_sync_code(call: Callable[[str], Any]) -> None:
    """Also when it comes out of an awaitable."""
    with pytest.raises(cb.CallableTypeError, match="returned a generator"), cb.stream_call(call, "tea?") as stream:
        for _ in stream:
            pass


def test_other_iterators_are_results_like_any_other() -> None:
    """A call may well return a list's iterator: its work is done."""
    with cb.stream_call(lambda: iter(["tea"])) as stream:
        assert list(stream) == []
    assert list(stream.result) == ["tea"]
