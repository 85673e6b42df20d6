"""Errors at every level: where they are raised, where they are caught, and what was on its way when they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableConfig, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from .models import Flaw, ListRetriever, ScriptedChatModel, StreamingLLM, chat, text_chunks
from .registry import ALL, ASYNC, ASYNC_UNBATCHED, Made, scenario


def fail(x: Any) -> Any:
    raise Flaw(f"failed on {x!r}")


async def afail(x: Any) -> Any:
    raise Flaw(f"failed later on {x!r}")


def same() -> RunnableLambda[Any, Any]:
    return RunnableLambda(lambda x: x, name="same")


def breaking_model(at: int) -> ScriptedChatModel:
    return ScriptedChatModel(scripts=[text_chunks("one ", "two ", "three")], fail_at=at)


@scenario("error", raises=Flaw, filtered=True)
def error_at_root() -> Made:
    return RunnableLambda(fail), 1


@scenario("error", raises=Flaw, modes=ASYNC_UNBATCHED)
def error_at_root_async() -> Made:
    return RunnableLambda(afail), 1


@scenario("error", raises=Flaw)
def error_in_first_step() -> Made:
    return RunnableLambda(fail) | same(), 1


@scenario("error", raises=Flaw, filtered=True)
def error_in_last_step() -> Made:
    return same() | RunnableLambda(fail), 1


@scenario("error", raises=Flaw)
def error_three_levels_down() -> Made:
    lowest = (same() | fail).with_config(run_name="lowest")
    middle = (same() | lowest | same()).with_config(run_name="middle")
    return same() | middle | same(), 1


@scenario("error", raises=Flaw)
def error_in_nested_invoke() -> Made:
    child = same() | RunnableLambda(fail)

    def outer(x: int, config: RunnableConfig) -> Any:
        return child.invoke(x, config)

    return RunnableLambda(outer) | same(), 1


@scenario("error", raises=KeyError)
def error_translated_on_its_way() -> Made:
    child = same() | RunnableLambda(fail)

    def outer(x: int, config: RunnableConfig) -> Any:
        try:
            return child.invoke(x, config)
        except Flaw as flaw:
            raise KeyError("translated") from flaw

    return RunnableLambda(outer) | same(), 1


@scenario("error", filtered=True)
def error_caught_by_user_code() -> Made:
    child = same() | RunnableLambda(fail)

    def outer(x: int, config: RunnableConfig) -> str:
        try:
            return str(child.invoke(x, config))
        except Flaw:
            return "caught"

    return same() | RunnableLambda(outer), 1


@scenario("error", modes=ASYNC)
def error_caught_by_async_user_code() -> Made:
    child = same() | RunnableLambda(afail)

    async def outer(x: int, config: RunnableConfig) -> str:
        try:
            return str(await child.ainvoke(x, config))
        except Flaw:
            return "caught"

    return same() | RunnableLambda(outer), 1


@scenario("error", raises=Flaw)
def error_caught_then_another() -> Made:
    child = RunnableLambda(fail).with_config(run_name="child")

    def outer(x: int, config: RunnableConfig) -> str:
        try:
            return str(child.invoke(x, config))
        except Flaw:
            return str(child.invoke(x + 1, config))

    return same() | RunnableLambda(outer), 1


@scenario("error", raises=Flaw)
def error_in_model_at_once() -> Made:
    return ChatPromptTemplate.from_template("{q}") | breaking_model(0) | StrOutputParser(), {"q": "hi"}


@scenario("error", raises=Flaw, filtered=True)
def error_in_model_mid_stream() -> Made:
    return ChatPromptTemplate.from_template("{q}") | breaking_model(2) | StrOutputParser(), {"q": "hi"}


@scenario("error", raises=Flaw)
def error_in_root_model_mid_stream() -> Made:
    return breaking_model(1), "hi"


@scenario("error", raises=Flaw)
def error_in_llm_mid_stream() -> Made:
    return PromptTemplate.from_template("{q}") | StreamingLLM(tokens=["a", "b", "c"], fail_at=2), {"q": "hi"}


@scenario("error", raises=Flaw)
def error_in_root_llm_mid_stream() -> Made:
    return StreamingLLM(tokens=["a", "b", "c"], fail_at=1), "hi"


@scenario("error")
def error_in_model_rescued() -> Made:
    model = breaking_model(0).with_fallbacks([chat("second choice")])
    return ChatPromptTemplate.from_template("{q}") | model | StrOutputParser(), {"q": "hi"}


@scenario("error")
def error_in_chain_with_model_rescued() -> Made:
    prompt = ChatPromptTemplate.from_template("{q}")
    second = prompt | chat("second choice") | StrOutputParser()
    return (prompt | breaking_model(0) | StrOutputParser()).with_fallbacks([second]) | same(), {"q": "hi"}


@scenario("error", modes=("invoke", "ainvoke", "batch", "abatch"))
def error_in_model_late_rescued() -> Made:
    # Only where the model is not streamed through: a stream that has begun is not rescued.
    return breaking_model(2).with_fallbacks([chat("second choice")]) | StrOutputParser(), "hi"


@scenario("error", raises=Flaw, modes=("stream", "astream", "astream_events"))
def error_in_stream_too_late_to_rescue() -> Made:
    return breaking_model(2).with_fallbacks([chat("second choice")]) | StrOutputParser(), "hi"


def breaking_pieces(source: Iterator[int]) -> Iterator[int]:
    for n in source:
        for i in range(n):
            if i == 2:
                raise Flaw("the generator broke")
            yield i


async def abreaking_pieces(source: AsyncIterator[int]) -> AsyncIterator[int]:
    async for n in source:
        for i in range(n):
            if i == 2:
                raise Flaw("the generator broke")
            yield i


@scenario("error", raises=Flaw)
def error_in_generator_mid_stream() -> Made:
    return RunnableGenerator(breaking_pieces, abreaking_pieces), 4


@scenario("error", raises=Flaw)
def error_in_generator_in_chain() -> Made:
    return same() | RunnableGenerator(breaking_pieces, abreaking_pieces), 4


@scenario("error", raises=Flaw)
def error_downstream_of_streaming_model() -> Made:
    return chat("one two three") | StrOutputParser() | RunnableLambda(fail), "hi"


@scenario("error", raises=Flaw, concurrent=True, modes=("invoke", "ainvoke"))
def error_in_parallel_branch() -> Made:
    # One branch only, so that which of the others had ended is no matter of luck.
    return same() | RunnableParallel(broken=same() | fail), 1


@scenario("error", raises=Flaw)
def error_in_branch_condition() -> Made:
    return RunnableBranch((fail, same()), same()), 1


@scenario("error", raises=Flaw)
def error_in_branch_taken() -> Made:
    return RunnableBranch((lambda x: x > 0, RunnableLambda(fail)), same()) | same(), 1


@scenario("error", raises=Flaw, modes=("invoke", "ainvoke", "stream", "astream", "astream_events"))
def error_in_each() -> Made:
    return same() | RunnableLambda(fail).map(), [1]


@scenario("error", raises=KeyError, filtered=True)
def error_in_prompt() -> Made:
    return ChatPromptTemplate.from_template("{missing}") | chat("never"), {"q": 1}


@scenario("error", raises=TypeError)
def error_in_root_prompt_type() -> Made:
    return ChatPromptTemplate.from_messages([("human", "{a} {b}")]), "not a dict"


@scenario("error", raises=OutputParserException, modes=("invoke", "ainvoke"))
def error_in_parser() -> Made:
    return chat("no json at all") | JsonOutputParser(), "hi"


@scenario("error", modes=("stream", "astream", "astream_events"))
def error_in_parser_swallowed_while_streaming() -> Made:
    return chat("no json at all") | JsonOutputParser(), "hi"


@scenario("error", raises=Flaw)
def error_in_retriever_in_lambda() -> Made:
    retriever = ListRetriever(broken=True)

    def outer(x: str, config: RunnableConfig) -> Any:
        return retriever.invoke(x, config)

    return RunnableLambda(outer), "tea"


@scenario("error")
def error_in_tool_caught() -> Made:
    @tool
    def refuse(a: int) -> int:
        """Refuse."""
        raise Flaw("no")

    def outer(x: int, config: RunnableConfig) -> str:
        try:
            return str(refuse.invoke({"a": x}, config))
        except Flaw as flaw:
            return str(flaw)

    return RunnableLambda(outer) | same(), 1


@scenario("error", raises=Flaw)
def error_in_tool_in_chain() -> Made:
    child = same() | RunnableLambda(fail)

    @tool
    def work(a: int, config: RunnableConfig) -> Any:
        """Work until it breaks."""
        return child.invoke(a, config)

    return RunnableLambda(lambda x: {"a": x}, name="wrap") | work, 1


class Endless:
    """A child that never ends, and the moment when it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def run(self, x: int) -> int:
        self.begun.set()
        return int(await asyncio.get_running_loop().create_future())


async def give_up(x: int, config: RunnableConfig) -> Any:
    """Start an endless child, wait until it runs, and let `wait_for` end it."""
    endless = Endless()
    child = same() | RunnableLambda(endless.run, name="endless")
    task = asyncio.create_task(child.ainvoke(x, config))
    await endless.begun.wait()
    return await asyncio.wait_for(task, timeout=0)


@scenario("error", raises=asyncio.TimeoutError, modes=ASYNC_UNBATCHED)
def error_timeout_around_child() -> Made:
    return RunnableLambda(give_up), 1


@scenario("error", modes=ASYNC)
def error_child_cancelled() -> Made:
    async def outer(x: int, config: RunnableConfig) -> str:
        try:
            await give_up(x, config)
        except asyncio.TimeoutError:
            return "gave up"
        return "never"

    return same() | RunnableLambda(outer), 1


@scenario("error", modes=tuple(mode for mode in ALL if "batch" in mode), concurrent=True)
def error_returned_by_batch() -> Made:
    def picky(x: int) -> int:
        raise Flaw(f"not {x}")

    child = RunnableLambda(picky)

    def outer(x: int, config: RunnableConfig) -> list[str]:
        return [type(result).__name__ for result in child.batch([x, x + 1], config, return_exceptions=True)]

    return RunnableLambda(outer), 1


@scenario("error", raises=RecursionError, modes=("invoke", "stream"), config=lambda: {"recursion_limit": 3})
def error_recursion_limit() -> Made:
    def again(x: int) -> Any:
        return RunnableLambda(again)

    return RunnableLambda(again), 1
