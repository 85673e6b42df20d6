"""The successors of LangChain's streaming handlers: equal to the originals where those behave well, and better where not."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.callbacks import StreamingStdOutCallbackHandler as OriginalStdOut
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from callbridge.classic import (
    AsyncFinalIteratorCallbackHandler,
    AsyncIteratorCallbackHandler,
    FinalStreamingStdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
)
from lives import HAS_LANGGRAPH, Provider, chain
from scenarios.agents import calling_executor, calls_then_text, create_agent, prebuilt, search, thinking_search
from scenarios.models import ScriptedChatModel, StreamingLLM, text_chunks, tool_call_chunks

pytestmark = pytest.mark.anyio

HAS_CLASSIC = importlib.util.find_spec("langchain_classic") is not None
needs_classic = pytest.mark.skipif(not HAS_CLASSIC, reason="the originals are in langchain-classic")
RESULT = LLMResult(generations=[])


def originals() -> Any:
    import langchain_classic.callbacks.streaming_aiter as aiter_
    import langchain_classic.callbacks.streaming_aiter_final_only as final
    import langchain_classic.callbacks.streaming_stdout_final_only as stdout

    return (
        aiter_.AsyncIteratorCallbackHandler,
        final.AsyncFinalIteratorCallbackHandler,
        stdout.FinalStreamingStdOutCallbackHandler,
    )


async def read(handler: Any) -> list[str]:
    return [token async for token in handler.aiter()]


async def tell(handler: Any, tokens: list[str]) -> None:
    """Make a handler hear of one model call; each token is read before the next comes, and all before the end."""

    async def turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    run_id = uuid4()
    await handler.on_llm_start({}, ["?"], run_id=run_id, parent_run_id=None)
    await turns()
    for token in tokens:
        await handler.on_llm_new_token(token, run_id=run_id)
        await turns()
    await handler.on_llm_end(RESULT, run_id=run_id, parent_run_id=None)


ANSWERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["I", " think", "Final", " Answer", ":", " 42", "!"]),
    ({}, ["\nFinal", " Answer", ":\n", "grün", "\n"]),
    ({"stream_prefix": True}, ["So", "Final", " Answer", ":", " 42"]),
    ({"strip_tokens": False, "answer_prefix_tokens": ["The", " answer"]}, ["hm", "The", " answer", " is 4"]),
    ({"answer_prefix_tokens": ["The", "answer", ":"]}, ["hm", "The", " answer", ":", " 4"]),
]


@needs_classic
@pytest.mark.parametrize("tokens", [["a", "b", "", "c"], [], ["\n", " "], ["ü", "x" * 1000]])
async def test_tokens_are_those_of_the_original(tokens: list[str]) -> None:
    """Where it loses none."""
    for kind in (originals()[0], AsyncIteratorCallbackHandler):
        handler = kind()
        reader = asyncio.create_task(read(handler))
        await tell(handler, tokens)
        assert await reader == [token for token in tokens if token]


@needs_classic
@pytest.mark.parametrize(("options", "tokens"), ANSWERS)
async def test_final_answers_are_those_of_the_originals(
    options: dict[str, Any], tokens: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where tokens are cut as the prefix is; iterated and printed."""
    _, original_final, original_stdout = originals()
    texts: list[str] = []
    for kind in (original_final, AsyncFinalIteratorCallbackHandler):
        handler = kind(**options)
        reader = asyncio.create_task(read(handler))
        await tell(handler, tokens)
        texts.append("".join(await reader))
    for kind in (original_stdout, FinalStreamingStdOutCallbackHandler):
        printer = kind(**options)
        printer.on_llm_start({}, ["?"])
        for token in tokens:
            printer.on_llm_new_token(token)
        texts.append(capsys.readouterr().out)
    assert texts == [texts[0]] * 4
    assert texts[0]


async def test_the_printer_prints_what_the_original_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Attached to a run; and of content blocks the text."""
    printed = []
    for kind in (OriginalStdOut, StreamingStdOutCallbackHandler):
        run = chain()
        assert [piece async for piece in run.runnable.astream(run.value, {"callbacks": [kind()]})]
        printed.append(capsys.readouterr().out)
    assert printed == ["red green "] * 2
    StreamingStdOutCallbackHandler().on_llm_new_token([{"type": "text", "text": "a"}, {"type": "reasoning"}, "b"])
    assert capsys.readouterr().out == "ab"


# -- what the originals lose ------------------------------------------------------------------------------------------


async def test_no_token_is_lost_when_it_comes_with_the_end() -> None:
    """In the same turn of the loop; the original loses every second one."""
    for _ in range(500):
        handler = AsyncIteratorCallbackHandler()
        reader = asyncio.create_task(read(handler))
        run_id = uuid4()
        await handler.on_llm_start({}, ["?"], run_id=run_id)
        await asyncio.sleep(0)
        await handler.on_llm_new_token("a", run_id=run_id)
        await handler.on_llm_new_token("last", run_id=run_id)
        await handler.on_llm_end(RESULT, run_id=run_id)
        assert await reader == ["a", "last"]


def streaming(*words: str) -> RunnableLambda[Any, str]:
    """A legacy step that streams a model inside."""
    model = Provider(words=list(words))

    async def step(_: Any, config: RunnableConfig) -> str:
        return "".join([str(chunk.content) async for chunk in model.astream("q", config)])

    return RunnableLambda(step)


async def run_and_read(call: Callable[..., Any], value: Any, handler: Any) -> list[str]:
    """What every application does: a task, and a loop over the handler."""
    task = asyncio.create_task(call(value, {"callbacks": [handler]}))
    tokens = await read(handler)
    await asyncio.wait([task])
    task.exception()
    return tokens


async def test_the_second_model_call_of_a_run_is_heard() -> None:
    """The original ends with the first."""
    runnable = streaming("a", "b") | streaming("c") | streaming("d")
    assert await run_and_read(runnable.ainvoke, "q", AsyncIteratorCallbackHandler()) == ["a", "b", "c", "d"]


async def test_an_error_ends_the_iteration() -> None:
    """Before any model, between two, and after all; the original waits for ever."""

    def fail(_: Any) -> str:
        raise ValueError("no")

    failing = RunnableLambda(fail)
    for runnable, tokens in ((failing | streaming("a"), []), (streaming("a") | failing, ["a"]), (failing, [])):
        for kind in (AsyncIteratorCallbackHandler, AsyncFinalIteratorCallbackHandler):
            got = await run_and_read(runnable.ainvoke, "q", kind())
            assert got == ([] if kind is AsyncFinalIteratorCallbackHandler else tokens)


async def test_an_answer_that_never_comes_ends_the_iteration() -> None:
    """The original waits for a prefix that the model did not say."""
    assert await run_and_read(streaming("I", " give", " up").ainvoke, "q", AsyncFinalIteratorCallbackHandler()) == []


async def test_a_run_without_a_model_ends_the_iteration() -> None:
    """So does one whose model does not stream, or is not asked because a cache knows: the answer comes at its end."""
    assert await run_and_read(RunnableLambda(str).ainvoke, 1, AsyncIteratorCallbackHandler()) == []
    assert await run_and_read(Provider().ainvoke, "q", AsyncIteratorCallbackHandler()) == ["red green "]


async def test_one_handler_serves_one_run_after_the_other() -> None:
    """Also if the reader begins before the run does."""
    handler = AsyncIteratorCallbackHandler()
    for words in (["a"], ["b", "c"]):
        reader = asyncio.create_task(read(handler))
        await asyncio.sleep(0)
        await streaming(*words).ainvoke("q", {"callbacks": [handler]})
        assert await reader == words
    await streaming("d").ainvoke("q", {"callbacks": [handler]})  # whole, before anybody reads
    assert await read(handler) == ["d"]


async def test_the_iteration_ends_with_the_last_of_parallel_runs() -> None:
    """The original ends with the first."""
    handler = AsyncIteratorCallbackHandler()
    await handler.on_llm_start({}, ["?"], run_id=UUID(int=1), parent_run_id=None)
    await handler.on_llm_start({}, ["?"], run_id=UUID(int=2), parent_run_id=None)
    await handler.on_llm_end(RESULT, run_id=UUID(int=1), parent_run_id=None)
    reader = asyncio.create_task(read(handler))
    await asyncio.sleep(0)
    await handler.on_llm_new_token("late", run_id=UUID(int=2))
    await handler.on_llm_end(RESULT, run_id=UUID(int=2), parent_run_id=None)
    assert await reader == ["late"]


async def test_setting_done_ends_the_iteration() -> None:
    """Applications do that when their task has failed before anything was reported."""
    handler = AsyncIteratorCallbackHandler()
    reader = asyncio.create_task(read(handler))
    await asyncio.sleep(0)
    handler.queue.put_nowait("by hand")
    handler.done.set()
    assert await reader == ["by hand"]


async def test_a_subclass_of_the_old_kind_works() -> None:
    """One that overrides what it likes, and ends the iteration itself, as answers on the web suggest."""

    class OnlyLast(AsyncIteratorCallbackHandler):
        async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            self.done.clear()

        async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            await super().on_llm_new_token(token.upper(), **kwargs)

        async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.queue.put_nowait(".")
            self.done.set()

    model = Provider()

    async def ask() -> Any:
        return [piece async for piece in model.astream("q", {"callbacks": [handler]})]

    handler = OnlyLast()
    task = asyncio.create_task(ask())
    assert await read(handler) == ["RED ", "GREEN ", "."]
    await task


async def test_a_run_in_another_thread_is_heard() -> None:
    """A sync run makes a loop of its own for async handlers."""
    model = Provider(words=["a", "b"])

    def work(_: Any, config: RunnableConfig) -> str:
        return "".join(str(chunk.content) for chunk in model.stream("q", config))

    runnable = RunnableLambda(work)
    handler = AsyncIteratorCallbackHandler()
    task = asyncio.create_task(asyncio.to_thread(runnable.invoke, "q", {"callbacks": [handler]}))
    assert await read(handler) == ["a", "b"]
    await task


async def test_leaving_early_leaves_nothing_behind() -> None:
    """No task per token, and the next reader goes on."""
    handler = AsyncIteratorCallbackHandler()
    before = asyncio.all_tasks()
    await handler.on_llm_start({}, ["?"], run_id=UUID(int=1))
    for token in "abc":
        await handler.on_llm_new_token(token, run_id=UUID(int=1))
    tokens: AsyncIterator[str] = handler.aiter()
    assert await anext(tokens) == "a"
    await tokens.aclose()  # type: ignore[attr-defined]
    assert asyncio.all_tasks() == before
    await handler.on_llm_end(RESULT, run_id=UUID(int=1))
    assert await read(handler) == ["b", "c"]


# -- the final answer of real agents ----------------------------------------------------------------------------------


def react(handler: Any) -> Any:
    """A text agent whose model cuts its text anywhere."""
    from scenarios.agents import REACT
    from scenarios.legacy import build, old

    class TwoTurns(StreamingLLM):
        turns: list[str] = [  # noqa: RUF012 - a field of a model
            "I should look\nAction: search\nAction Input: tea",
            "I know it\nFinal Answer: green tea",
        ]

        def _chunks(self) -> Any:
            self.tokens = list(self.turns.pop(0))  # character by character
            yield from super()._chunks()

    agent = old("agents", "create_react_agent")(TwoTurns(tokens=[]), [search], REACT)
    return build("agents", "AgentExecutor", agent=agent, tools=[search])


def calling(handler: Any) -> Any:
    return calling_executor(calls_then_text("search", "green ", "tea"), search)


def thinking(handler: Any) -> Any:
    return calling_executor(calls_then_text("thinking_search", "green ", "tea"), thinking_search)


def graph(handler: Any) -> Any:
    return prebuilt(calls_then_text("search", "green ", "tea"), search)


def modern(handler: Any) -> Any:
    return create_agent(calls_then_text("search", "green ", "tea"), search)


# `create_agent` calls its model without a config, which coroutines find by context from CPython 3.11 on only.
by_context = pytest.mark.skipif(sys.version_info < (3, 11), reason="needs python>=3.11")
GRAPHS = (graph, modern)
AGENTS = [pytest.param(made, marks=needs_classic) for made in (react, calling, thinking)]
if HAS_LANGGRAPH:
    AGENTS.append(pytest.param(graph))
if HAS_LANGGRAPH and importlib.util.find_spec("langchain.agents.factory"):
    AGENTS.append(pytest.param(modern, marks=by_context))


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@pytest.mark.parametrize("make", AGENTS)
async def test_the_final_answer_of_an_agent(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of text agents, tool-calling agents and graphs, printed and iterated, with default arguments."""
    value = {"messages": [("user", "which tea?")]} if make in GRAPHS else {"input": "which tea?"}

    async def run(given: Any, config: Any) -> Any:
        async for _ in make(None).astream_events(given, config, version="v2"):
            pass  # which makes the model stream

    for options in ({}, {"hold": False}):
        printer = FinalStreamingStdOutCallbackHandler(**options)
        await run(value, {"callbacks": [printer]})
        assert capsys.readouterr().out.strip() == "green tea"
        assert not printer._answer._models
        assert not printer._answer._in_tools
        tokens = await run_and_read(run, value, AsyncFinalIteratorCallbackHandler(**options))
        assert "".join(tokens).strip() == "green tea"
        assert len(tokens) > 1 or not options
        assert len(tokens) > 1 or make is not react


def announcing(tool_name: str) -> ScriptedChatModel:
    """A model that says that it will call a tool, the last word together with the call, as Anthropic's do."""
    first, *rest = tool_call_chunks(tool_name, '{"query": "tea"}')
    words = [*text_chunks("Let me ", "lo"), first.model_copy(update={"content": "ok."}), *rest]
    return ScriptedChatModel(scripts=[words, text_chunks("green ", "tea")])


ANNOUNCING = [pytest.param(lambda model: (calling_executor(model, search), {"input": "which?"}), marks=needs_classic)]
if HAS_LANGGRAPH:
    ANNOUNCING.append(pytest.param(lambda model: (prebuilt(model, search), {"messages": [("user", "which?")]})))
if HAS_LANGGRAPH and importlib.util.find_spec("langchain.agents.factory"):
    modern_one = pytest.param(lambda model: (create_agent(model, search), {"messages": [("user", "which?")]}), marks=by_context)
    ANNOUNCING.append(modern_one)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@pytest.mark.parametrize("make", ANNOUNCING)
@pytest.mark.parametrize("attached", ["to the agent", "to the model"])
async def test_what_a_model_says_before_a_tool_call_is_no_answer(
    make: Any, attached: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not seen; without `hold` it is, whole, and the answer does not stick to it."""

    async def run(_: Any, config: RunnableConfig) -> None:
        model = announcing("search")
        if attached == "to the model":
            model.callbacks = config.pop("callbacks")
        agent, value = make(model)
        async for _ in agent.astream_events(value, config, version="v2"):
            pass  # which makes the model stream

    for options, answer in (({}, "green tea"), ({"hold": False}, "Let me look.\n\ngreen tea")):
        printer = FinalStreamingStdOutCallbackHandler(**options)
        await run(None, {"callbacks": [printer]})
        assert capsys.readouterr().out == answer
        assert not printer._answer._models
        assert "".join(await run_and_read(run, None, AsyncFinalIteratorCallbackHandler(**options))) == answer


@pytest.mark.skipif(not HAS_LANGGRAPH, reason="needs a graph")
async def test_the_answer_of_a_model_without_tools_comes_as_it_is_said() -> None:
    """In a graph, where models may have tools and this one was offered none."""
    from langgraph.graph import END, START, MessagesState, StateGraph

    model = ScriptedChatModel(scripts=[text_chunks("green ", "tea")])

    async def answer(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    graph = builder.compile()

    async def run(_: Any, config: Any) -> None:
        async for _ in graph.astream({"messages": [("user", "which?")]}, config, stream_mode="messages"):
            pass

    assert await run_and_read(run, None, AsyncFinalIteratorCallbackHandler()) == ["green ", "tea"]


def tokens_asked_for(model: Any) -> Any:
    """Return a call that has a model stream, as `streaming=True` of a provider's model does."""
    return lambda value, config: model.ainvoke(value, {"callbacks": [*config["callbacks"], AsksForTokens()]})


class AsksForTokens(AsyncCallbackHandler, _StreamingCallbackHandler):  # type: ignore[type-arg]
    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        return output

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        return output


@pytest.mark.parametrize("kind", [AsyncIteratorCallbackHandler, AsyncFinalIteratorCallbackHandler])
async def test_an_answer_out_of_a_cache_is_read(kind: Any) -> None:
    """The second, equal question costs nothing, and is answered all the same: in one token."""
    model = ScriptedChatModel(scripts=[text_chunks("Final Answer: hot ", "water")], cache=InMemoryCache())
    answers = [await run_and_read(tokens_asked_for(model), "Say Final Answer:", kind()) for _ in range(2)]
    assert [len(answer) for answer in answers] == [2, 1]
    assert len({"".join(answer) for answer in answers}) == 1


@pytest.mark.parametrize("kind", [StreamingStdOutCallbackHandler, FinalStreamingStdOutCallbackHandler])
async def test_an_answer_out_of_a_cache_is_written(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for those that write."""
    model = ScriptedChatModel(scripts=[text_chunks("Final Answer: hot ", "water")], cache=InMemoryCache())
    for _ in range(2):
        await tokens_asked_for(model)("Say Final Answer:", {"callbacks": [kind()]})
    written = capsys.readouterr().out
    assert written == written[: len(written) // 2] * 2
    assert "hot water" in written


@pytest.mark.parametrize("kind", [AsyncIteratorCallbackHandler, StreamingStdOutCallbackHandler])
async def test_what_a_fallback_says_comes_after_a_blank_line(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """And the next answer of the same handler does not."""
    broken = ScriptedChatModel(scripts=[text_chunks("one ", "two")], fail_at=1)
    rescued = broken.with_fallbacks([ScriptedChatModel(scripts=[text_chunks("one ", "two")])])
    handler = kind()
    for _ in range(2):
        read = run_and_read if isinstance(handler, AsyncIteratorCallbackHandler) else run_only
        tokens = await read(tokens_asked_for(rescued), "q", handler)
        assert "".join(tokens) + capsys.readouterr().out == "one \n\none two"


async def run_only(call: Callable[..., Any], value: Any, handler: Any) -> list[str]:
    await call(value, {"callbacks": [handler]})
    return []


class Asking(BaseRetriever):
    """Asks a model for a better query, as multi-query retrievers do."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        ScriptedChatModel(scripts=[text_chunks("a better ", "query")]).invoke(query, {"callbacks": run_manager.get_child()})
        return [Document(page_content="tea")]


@tool
def look_up(query: str) -> str:
    """Search documents; LangChain hands a tool the config of its caller, and has that of its own run in the context."""
    return str(Asking().invoke(query))


async def test_what_a_retriever_inside_a_tool_has_a_model_say_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """However deep it is; in a graph, where what a model says without a tool call is the answer otherwise."""
    printer, reader = FinalStreamingStdOutCallbackHandler(), AsyncFinalIteratorCallbackHandler()
    in_graph = {"langgraph_node": "tools"}
    look_up.invoke("tea", {"callbacks": [printer], "metadata": in_graph})
    assert capsys.readouterr().out == ""
    assert not printer._answer._in_tools
    assert await run_and_read(look_up.ainvoke, "tea", reader) == []


async def test_a_tool_call_in_words_and_in_one_token_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A handler that was told that the model has tools, by LangChain's own parameters."""
    printer = FinalStreamingStdOutCallbackHandler()
    with pytest.raises(NotImplementedError):
        printer.on_chat_model_start({}, [[]], run_id=UUID(int=1))
    printer.on_llm_start({}, [""], run_id=UUID(int=1), invocation_params={"tools": [{}]})
    piece = {"name": "t", "args": "", "id": "c", "index": 0, "type": "tool_call_chunk"}
    chunk = ChatGenerationChunk(message=AIMessageChunk(content="I call", tool_call_chunks=[piece]))
    printer.on_llm_new_token("I call", chunk=chunk, run_id=UUID(int=1))
    printer.on_llm_end(RESULT, run_id=UUID(int=1))
    assert capsys.readouterr().out == ""
    assert not printer._asked
