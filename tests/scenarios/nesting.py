"""Runs started by user code inside runs, custom events, and what tags, metadata and names do at several scopes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableLambda

from .models import chat
from .registry import ALL, ASYNC, SYNC, Made, scenario


def inner() -> Any:
    step = RunnableLambda(lambda x: x + 1, name="inner_step")
    return (step | RunnableLambda(lambda x: x * 2, name="inner_last")).with_config(run_name="inner")


def inner_model() -> Any:
    return ChatPromptTemplate.from_template("{q}") | chat("a few words") | StrOutputParser()


# -- nested calls


@scenario("nested", filtered=True)
def nested_invoke_with_config() -> Made:
    child = inner()

    def outer(x: int, config: RunnableConfig) -> int:
        return int(child.invoke(x, config)) + int(child.invoke(x + 1, config))

    return RunnableLambda(outer), 1


@scenario("nested")
def nested_invoke_without_config() -> Made:
    child = inner()

    def outer(x: int) -> int:
        return int(child.invoke(x))

    return RunnableLambda(outer), 1


@scenario("nested", modes=ASYNC)
def nested_ainvoke_with_config() -> Made:
    child = inner()

    async def outer(x: int, config: RunnableConfig) -> int:
        return int(await child.ainvoke(x, config))

    return RunnableLambda(outer), 1


@scenario("nested", modes=ASYNC)
def nested_ainvoke_without_config() -> Made:
    # Found by the context variable on CPython 3.11 and later, and by nobody before.
    child = inner()

    async def outer(x: int) -> int:
        return int(await child.ainvoke(x))

    return RunnableLambda(outer), 1


@scenario("nested")
def nested_sync_stream() -> Made:
    child = inner_model()

    def outer(q: str, config: RunnableConfig) -> str:
        return "".join(child.stream({"q": q}, config))

    return RunnableLambda(outer), "tea"


@scenario("nested", modes=ASYNC)
def nested_async_stream() -> Made:
    child = inner_model()

    async def outer(q: str, config: RunnableConfig) -> str:
        return "".join([piece async for piece in child.astream({"q": q}, config)])

    return RunnableLambda(outer), "tea"


@scenario("nested", modes=ASYNC)
def nested_sync_invoke_in_async_lambda() -> Made:
    # A sync invoke that occupies the loop's own thread.
    child = inner_model()

    async def outer(q: str, config: RunnableConfig) -> str:
        return str(child.invoke({"q": q}, config))

    return RunnableLambda(outer), "tea"


@scenario("nested")
def nested_model_in_generator() -> Made:
    child = inner_model()

    def outer(source: Iterator[str], config: RunnableConfig) -> Iterator[str]:
        for q in source:
            yield from child.stream({"q": q}, config)

    async def aouter(source: AsyncIterator[str], config: RunnableConfig) -> AsyncIterator[str]:
        async for q in source:
            async for piece in child.astream({"q": q}, config):
                yield piece

    return RunnableGenerator(outer, aouter, name="relay") | StrOutputParser(), "tea"


@scenario("nested", concurrent=True)
def nested_batch() -> Made:
    child = inner()

    def outer(xs: list[int], config: RunnableConfig) -> list[int]:
        return list(child.batch(xs, config))

    return RunnableLambda(outer), [1, 2, 3]


@scenario("nested", modes=ASYNC, concurrent=True)
def nested_gather() -> Made:
    child = inner()

    async def outer(xs: list[int], config: RunnableConfig) -> list[int]:
        return list(await asyncio.gather(*(child.ainvoke(x, config) for x in xs)))

    return RunnableLambda(outer), [1, 2, 3]


@scenario("nested", modes=ASYNC)
def nested_in_worker_thread() -> Made:
    child = inner()

    async def outer(x: int, config: RunnableConfig) -> int:
        return int(await asyncio.to_thread(child.invoke, x, config))

    return RunnableLambda(outer), 1


@scenario("nested")
def nested_three_levels() -> Made:
    lowest = inner()

    def middle(x: int, config: RunnableConfig) -> int:
        return int(lowest.invoke(x, config))

    child = RunnableLambda(middle) | RunnableLambda(str, name="text")

    def outer(x: int, config: RunnableConfig) -> str:
        return str(child.invoke(x, {**config, "run_name": "second", "tags": ["level 2"]}))

    return RunnableLambda(outer) | RunnableLambda(len, name="length"), 1


@scenario("nested")
def nested_stream_left_early() -> Made:
    def pieces(source: Iterator[int]) -> Iterator[int]:
        for n in source:
            yield from range(n)

    async def apieces(source: AsyncIterator[int]) -> AsyncIterator[int]:
        async for n in source:
            for i in range(n):
                yield i

    child = RunnableGenerator(pieces, apieces, name="pieces")

    def outer(n: int, config: RunnableConfig) -> int:
        stream = child.stream(n, config)
        first = next(stream)
        stream.close()
        return int(first)

    return RunnableLambda(outer), 3


@scenario("nested", modes=ASYNC)
def nested_recursion() -> Made:
    async def countdown(n: int, config: RunnableConfig) -> int:
        return int(await step.ainvoke(n - 1, config)) if n else 0

    step = RunnableLambda(countdown)
    return step, 3


# -- custom events


@scenario("custom", filtered=True)
def custom_dict_payload() -> Made:
    def work(x: int, config: RunnableConfig) -> int:
        dispatch_custom_event("dict_event", {"x": x, "steps": [1, 2]}, config=config)
        return x

    return RunnableLambda(work), 1


@scenario("custom")
def custom_text_payload() -> Made:
    def work(x: int, config: RunnableConfig) -> int:
        dispatch_custom_event("text_event", "half way", config=config)
        return x

    return RunnableLambda(work), 1


@scenario("custom")
def custom_odd_payloads() -> Made:
    def work(x: int, config: RunnableConfig) -> int:
        for payload in (None, 0, ["a", 1], ("t",), {}):
            dispatch_custom_event("odd_event", payload, config=config)
        return x

    return RunnableLambda(work) | RunnableLambda(lambda x: x, name="same"), 1


@scenario("custom", modes=ASYNC, filtered=True)
def custom_async_dict_payload() -> Made:
    async def work(x: int, config: RunnableConfig) -> int:
        await adispatch_custom_event("dict_event", {"x": x}, config=config)
        return x

    return RunnableLambda(work).with_config(tags=["step"], metadata={"m": 1}), 1


@scenario("custom", modes=ASYNC)
def custom_async_text_payload() -> Made:
    async def work(x: int, config: RunnableConfig) -> int:
        await adispatch_custom_event("text_event", "half way", config=config)
        return x

    return RunnableLambda(lambda x: x, name="same") | work, 1


@scenario("custom")
def custom_between_children() -> Made:
    child = inner()

    def work(x: int, config: RunnableConfig) -> int:
        dispatch_custom_event("dict_event", {"before": x}, config=config)
        y = int(child.invoke(x, config))
        dispatch_custom_event("dict_event", {"after": y}, config=config)
        return y

    return RunnableLambda(work).with_config(tags=["shared"], metadata={"who": "me"}), 1


# Before CPython 3.11 a task does not hand its context on to what it calls through the executor.
@scenario("custom", modes=ALL if sys.version_info >= (3, 11) else SYNC)
def custom_without_config() -> Made:
    def work(x: int) -> int:
        dispatch_custom_event("dict_event", {"x": x})
        return x

    return RunnableLambda(work) | RunnableLambda(lambda x: x, name="same"), 1


# -- scopes


@scenario(
    "scopes",
    config=lambda: {
        "tags": ["call", "shared"],
        "metadata": {"user": "u1", "level": "call"},
        "run_name": "named call",
        "configurable": {"thing": 7},
    },
    filtered=True,
)
def scopes_all_at_once() -> Made:
    model = chat("tagged words", tags=["model"], metadata={"level": "model", "own": 1})
    bound = model.with_config(tags=["bound", "shared"], metadata={"level": "bound"}, run_name="speaker")
    prompt = ChatPromptTemplate.from_template("{q}").with_config(tags=["step"])
    return (prompt | bound | StrOutputParser()).with_config(tags=["outer"], metadata={"level": "outer"}), {"q": "tea"}


@scenario("scopes")
def scopes_nested_call_adds() -> Made:
    child = RunnableLambda(lambda x: x, name="child")

    def outer(x: int, config: RunnableConfig) -> int:
        more = {**config, "tags": ["inner call"], "metadata": {"inner": True}, "run_name": "renamed"}
        return int(child.invoke(x, more))  # type: ignore[arg-type]

    return RunnableLambda(outer).with_config(tags=["outer"], metadata={"outer": True}), 1


@scenario("scopes")
def scopes_same_step_twice() -> Made:
    step = RunnableLambda(lambda x: x + 1, name="step").with_config(tags=["step"])
    return step | step | step.with_config(run_name="third"), 0
