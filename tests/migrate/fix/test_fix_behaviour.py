"""Rewritten code does what the legacy code did: the same tokens, the same results, and errors that arrive."""

from __future__ import annotations

import asyncio
import importlib.util
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from fixing import code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("langchain_classic") is None, reason="needs langchain-classic"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]

AITER = """
    import asyncio

    from langchain_classic.callbacks import AsyncIteratorCallbackHandler
    from langchain_classic.chains import LLMChain
    from langchain_core.prompts import PromptTemplate
    from langchain_fakes import FakeChatModel


    async def guard(call, done):
        try:
            return await call
        except Exception as error:
            print("failed:", error)
        finally:
            done.set()


    async def ask(x, shown):
        cb = AsyncIteratorCallbackHandler()
        prompt = PromptTemplate.from_template("about {topic}")
        chain = LLMChain(llm=FakeChatModel(streaming=True, callbacks=[cb]), prompt=prompt)
        task = asyncio.create_task(CALL)
        async for token in cb.aiter():
            shown.append(token)
        END
"""

PRINT = """
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_classic.chains import LLMChain
    from langchain_core.prompts import PromptTemplate
    from langchain_fakes import FakeChatModel


    def ask(x):
        llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        chain = LLMChain(llm=llm, prompt=PromptTemplate.from_template("about {topic}"))
        return chain.run(x)
"""

QUEUE = """
    import queue
    from threading import Thread

    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.prompts import PromptTemplate
    from langchain_fakes import FakeChatModel


    class QueueHandler(BaseCallbackHandler):
        def __init__(self, q):
            self.q = q

        def on_llm_new_token(self, token, **kwargs):
            self.q.put(token)


    def ask(x):
        q = queue.Queue()
        chat = FakeChatModel(streaming=True, callbacks=[QueueHandler(q)])

        def run():
            try:
                chat.invoke(x)
            finally:
                q.put(None)

        worker = Thread(target=run)
        worker.start()
        for token in iter(q.get, None):
            yield token
        worker.join()
"""


def function(text: str) -> Callable[..., Any]:
    """Run a module and return its `ask`."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "<module>", "exec"), namespace)
    ask: Callable[..., Any] = namespace["ask"]
    return ask


def both(before: str, **options: Any) -> list[Callable[..., Any]]:
    """Return the function before and after; that something was rewritten is checked."""
    before = code(before)
    after = rewrite(before, Options(**options)).text
    assert "callbridge" in after or "astream_events" in after
    assert "CallbackHandler" not in after
    return [function(before), function(after)]


def aiter_code(call: str, end: str) -> str:
    """Return the code of an endpoint that awaits `call` in a task and ends with `end`."""
    return AITER.replace("CALL", call).replace("END", end)


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(
    ("call", "end", "result"),
    [
        ("chain.acall({'topic': x})", "return await task", {"topic": "tea", "text": "tea"}),
        ("chain.arun(x)", "return await task", "tea"),
        ("chain.ainvoke({'topic': x})", "result = await task\n        return result['text']", "tea"),
        ("guard(chain.acall({'topic': x}), cb.done)", "await task", None),
        ("chain.ainvoke({'topic': x})", "await task", None),
        ("chain.arun(x)", "await task\n        return 'done'", "done"),
    ],
)
def test_an_endpoint_gives_the_same_tokens_and_the_same_result(call: str, end: str, result: object, level: int) -> None:
    for ask in both(aiter_code(call, end), level=level):
        shown: list[str] = []
        assert asyncio.run(ask("tea", shown)) == result
        assert shown == ["t", "e", "a"]


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("call", ["chain.ainvoke({'wrong': x})", "guard(chain.ainvoke({'wrong': x}), cb.done)"])
def test_an_error_before_the_model_is_raised_where_the_old_code_lost_it_or_hung(call: str, level: int) -> None:
    _, ask = both(aiter_code(call, "await task"), level=level)
    with pytest.raises(ValueError, match="topic"):
        asyncio.run(ask("tea", []))


@pytest.mark.parametrize("level", [1, 2])
def test_an_error_reaches_the_except_that_it_reached(level: int) -> None:
    text = aiter_code("chain.ainvoke({'topic': x})", "await task")
    text = text.replace("FakeChatModel(", "FakeChatModel(error_on_chunk_number=1, ")
    start = text.index("        async for")
    body = textwrap.indent(text[start:].rstrip(), "    ")
    text = f"{text[:start]}        try:\n{body}\n        except Exception as e:\n            return type(e).__name__\n"
    for ask in both(text, level=level):
        shown: list[str] = []
        assert asyncio.run(ask("tea", shown)) == "FakeListChatModelError"
        assert shown == ["t"]


@pytest.mark.parametrize("level", [1, 2])
def test_a_script_prints_the_same_and_returns_the_same(level: int, capsys: pytest.CaptureFixture[str]) -> None:
    for ask in both(PRINT, level=level):
        assert ask("tea") == "tea"
        assert capsys.readouterr().out == "tea"


HERE = """
    import threading


    def here(x):
        assert threading.current_thread() is threading.main_thread()
        return x
"""


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("arguments", ["here(x)", "topic=here(x)", "**{'topic': here(x)}"])
def test_arguments_are_computed_in_the_thread_that_makes_the_call(arguments: str, level: int) -> None:
    """What they read may belong to it, as a connection of sqlite3 does."""
    for ask in both(HERE + aiter_code(f"chain.arun({arguments})", "return await task"), level=level):
        shown: list[str] = []
        assert asyncio.run(ask("tea", shown)) == "tea"
        assert shown == ["t", "e", "a"]
    for ask in both(HERE + PRINT.replace("run(x)", f"run({arguments})"), level=level):
        assert ask("tea") == "tea"


def test_a_queue_gives_the_same_tokens() -> None:
    for ask in both(QUEUE, unsafe=True):
        assert list(ask("tea")) == ["t", "e", "a"]
