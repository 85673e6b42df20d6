"""CB303: an `asyncio.Queue` between a handler and an endpoint becomes a loop over the text of the wrapped call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fixing import check_noop, check_rewritten, code
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModelError
from langchain_fakes import FakeChatModel

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HANDLER = """
        import asyncio

        from langchain_core.callbacks import AsyncCallbackHandler
        from langchain_fakes import FakeChatModel


        class QueueHandler(AsyncCallbackHandler):
            def __init__(self, queue):
                self.queue = queue

            async def on_llm_new_token(self, token, **kwargs):
                await self.queue.put(token)

            async def on_llm_end(self, response, **kwargs):
                await self.queue.put(None)


"""
ASK = """        async def ask(x):
            queue = asyncio.Queue()
            model = FakeChatModel(streaming=True, callbacks=[QueueHandler(queue)])
            # Runs in the background.
            task = asyncio.create_task(model.ainvoke(x))
            while True:
                token = await queue.get()
                if token is None:
                    break
                yield f"<{token}>"
            await task
"""
OWN = ASK.replace("            queue = asyncio.Queue()\n", "            handler = QueueHandler()\n")
OWN = OWN.replace("QueueHandler(queue)", "handler").replace("queue.get", "handler.queue.get")
RUNNER = """        async def ask(x):
            queue = asyncio.Queue()
            model = FakeChatModel(streaming=True)

            async def run():
                try:
                    await model.ainvoke(x, config={"callbacks": [QueueHandler(queue)]})
                finally:
                    await queue.put(None)

            asyncio.create_task(run())
            while (token := await queue.get()) is not None:
                yield f"<{token}>"
                queue.task_done()
"""
MAKING = HANDLER.replace("(self, queue)", "(self)").replace("= queue", "= asyncio.Queue()")
AFTER = """
        from callbridge import astream_call
        from langchain_fakes import FakeChatModel


        async def ask(x):
            model = FakeChatModel(streaming=True)
            async with astream_call(model.ainvoke, x) as stream:
                async for token in stream.text():
                    yield f"<{token}>"
"""


@pytest.mark.parametrize("before", [HANDLER + ASK, MAKING + OWN], ids=["given", "made by the handler"])
def test_a_task_and_its_queue_become_a_wrapped_call(before: str) -> None:
    check_rewritten(before, AFTER, unsafe=True)
    check_noop(before, "needs --unsafe: the loop raises an error of the call", rule="CB303", unsafe=False)


def test_a_function_beside_the_loop_stays_and_is_wrapped() -> None:
    after = AFTER.replace("(model.ainvoke, x)", "(run)")
    run = "(streaming=True)\n\n            async def run():\n                await model.ainvoke(x)\n\n"
    check_rewritten(HANDLER + RUNNER, after.replace("(streaming=True)\n", run), unsafe=True)


def test_the_result_of_the_task_is_that_of_the_stream() -> None:
    text = rewrite(code(HANDLER + ASK.replace("await task", "yield (await task).content")), Options(unsafe=True)).text
    assert "yield (stream.result).content" in text or "yield stream.result.content" in text


def asks_to_stream() -> bool:
    """Return whether `invoke` of this LangChain asks a model to stream that is told to."""
    tokens: list[str] = []

    class Tokens(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **_: Any) -> None:
            tokens.append(token)

    FakeChatModel(streaming=True).invoke("tea", {"callbacks": [Tokens()]})
    return bool(tokens)


async def read(text: str) -> list[str]:
    """Run a module and return what its `ask` yields."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "<module>", "exec"), namespace)
    return [each async for each in namespace["ask"]("tea")]


@pytest.mark.parametrize("before", [HANDLER + ASK, MAKING + OWN, HANDLER + RUNNER])
def test_an_endpoint_yields_the_same(before: str) -> None:
    after = rewrite(code(before), Options(unsafe=True)).text
    assert "Queue" not in after
    assert asyncio.run(read(after)) == ["<t>", "<e>", "<a>"]
    if not asks_to_stream():
        pytest.skip("`ainvoke` of this LangChain does not ask models to stream that are told to")
    for text in (code(before), after):
        assert asyncio.run(read(text)) == ["<t>", "<e>", "<a>"]


def test_an_error_is_raised_where_the_old_code_waited_for_ever() -> None:
    broken = (HANDLER + ASK).replace("FakeChatModel(", "FakeChatModel(error_on_chunk_number=1, ")
    with pytest.raises(FakeListChatModelError):
        asyncio.run(read(rewrite(code(broken), Options(unsafe=True)).text))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (
            "await queue.get()",
            "await asyncio.wait_for(queue.get(), 9)",
            "does more than take a token, use it, and leave at the end",
        ),
        ("            await task\n", "            print(task.done())\n", "the code does more with task than `await task`"),
        ("            await task\n", "            print(queue.qsize())\n", "queue is also used elsewhere"),
        ('yield f"<{token}>"', "yield token, queue.qsize()", "uses queue for more than the next token"),
        ("if token is None:", "if token is STOP:", "this file does not show what puts the end mark into the queue"),
        ("model.ainvoke(x))", "other(model.ainvoke(x)))", "the task runs neither the call"),
        (
            "            while True",
            "            await ready()\n            while True",
            "the code awaits something between task and loop",
        ),
        ("queue = asyncio.Queue()", "queue = make()", "queue is not a queue that an enclosing function makes"),
        ("# Runs in the background.", "print(model.ainvoke)", "model.ainvoke is passed on"),
    ],
)
def test_a_queue_that_does_more_stays(before: str, after: str, reason: str) -> None:
    assert before in ASK
    check_noop(HANDLER + ASK.replace(before, after), reason, rule="CB303")
