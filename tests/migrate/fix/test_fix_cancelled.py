"""Tasks that the reader cancels, threads that the generator makes, and names that mean two things in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.commands.fix import fix_files
from callbridge.migrate.edits.rewriting import Options

pytest.importorskip("libcst")


@pytest.mark.parametrize(
    "ending",
    [
        """
            finally:
                if not task.done():
                    task.cancel()
        """,
        """
            finally:
                handler.done.set()
                task.cancel()
        """,
    ],
)
def test_a_task_that_is_cancelled_at_the_end_goes(ending: str) -> None:
    check_rewritten(
        """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        async def tell(x):
            handler = AsyncIteratorCallbackHandler()
            llm = ChatOpenAI(streaming=True)
            task = asyncio.create_task(llm.ainvoke(x, config={"callbacks": [handler]}))
            try:
                async for token in handler.aiter():
                    yield token
                await task"""
        + ending,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def tell(x):
            llm = ChatOpenAI(streaming=True)
            async with astream_call(llm.ainvoke, x) as stream:
                async for token in stream.text():
                    yield token
        """,
    )


def test_a_task_that_is_cancelled_and_never_awaited_takes_a_review() -> None:
    check_noop(
        """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        async def tell(x):
            handler = AsyncIteratorCallbackHandler()
            task = asyncio.create_task(ChatOpenAI(streaming=True, callbacks=[handler]).ainvoke(x))
            try:
                async for token in handler.aiter():
                    yield token
            finally:
                task.cancel()
        """,
        "that cut off the work after the last token",
        rule="CB301",
        unsafe=False,
    )


def test_an_async_queue_whose_task_is_cancelled_at_the_end_goes() -> None:
    check_rewritten(
        """
        import asyncio

        from langchain_core.callbacks import AsyncCallbackHandler
        from langchain_openai import ChatOpenAI

        class Fill(AsyncCallbackHandler):
            def __init__(self, queue: asyncio.Queue):
                self.queue = queue

            async def on_llm_new_token(self, token, **kwargs):
                await self.queue.put(token)

            async def on_llm_end(self, response, **kwargs):
                await self.queue.put(None)

        async def tell(x):
            queue: asyncio.Queue = asyncio.Queue()
            llm = ChatOpenAI(streaming=True, callbacks=[Fill(queue)])
            task = asyncio.create_task(llm.ainvoke(x))
            try:
                while True:
                    token = await queue.get()
                    if token is None:
                        break
                    yield token
                await task
            finally:
                task.cancel()
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def tell(x):
            llm = ChatOpenAI(streaming=True)
            async with astream_call(llm.ainvoke, x) as stream:
                async for token in stream.text():
                    yield token
        """,
        unsafe=True,
    )


def test_a_thread_may_be_made_in_the_generator_and_the_queue_around_it() -> None:
    check_rewritten(
        """
        import queue
        import threading

        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Fill(BaseCallbackHandler):
            def __init__(self, queue):
                self.queue = queue

            def on_llm_new_token(self, token, **kwargs):
                self.queue.put(token)

            def on_llm_end(self, response, **kwargs):
                self.queue.put(None)

        llm = ChatOpenAI(streaming=True)

        def chat(question):
            tokens = queue.Queue()
            handler = Fill(tokens)

            def generate():
                def run():
                    llm.invoke(question, config={"callbacks": [handler]})

                threading.Thread(target=run, daemon=True).start()
                while True:
                    token = tokens.get()
                    if token is None:
                        break
                    yield f"data: {token}"

            return generate()
        """,
        """
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        llm = ChatOpenAI(streaming=True)

        def chat(question):
            def generate():
                with stream_call(llm.invoke, question) as stream:
                    for token in stream.text():
                        yield f"data: {token}"

            return generate()
        """,
        unsafe=True,
    )


def test_queue_handlers_may_be_of_another_file_of_the_project(tmp_path: Path) -> None:
    handlers = code(
        """
        import asyncio

        from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

        class Fill(BaseCallbackHandler):
            def __init__(self, q):
                self.q = q

            def on_llm_new_token(self, token, **kwargs):
                self.q.put(token)

            def on_llm_end(self, response, **kwargs):
                self.q.put(None)

        class AsyncFill(AsyncCallbackHandler):
            def __init__(self):
                self.queue = asyncio.Queue()

            async def on_llm_new_token(self, token, **kwargs):
                await self.queue.put(token)

            async def on_llm_end(self, response, **kwargs):
                await self.queue.put(None)
        """
    )
    app = code(
        """
        import asyncio
        from queue import Queue
        from threading import Thread

        from handlers import AsyncFill, Fill
        from langchain_openai import ChatOpenAI

        def chat(question):
            q = Queue()

            def work():
                llm = ChatOpenAI(streaming=True, callbacks=[Fill(q)])
                llm.invoke(question)

            Thread(target=work).start()
            while True:
                token = q.get()
                if token is None:
                    break
                yield token

        async def achat(question):
            handler = AsyncFill()
            llm = ChatOpenAI(streaming=True, callbacks=[handler])
            task = asyncio.create_task(llm.ainvoke(question))
            while True:
                token = await handler.queue.get()
                if token is None:
                    break
                yield token
            await task
        """
    )
    paths = {"handlers.py": handlers, "app.py": app}
    for name, text in paths.items():
        (tmp_path / name).write_text(text)
    known = {name: tmp_path / name for name in paths}
    outcomes = {each.path: each for each in fix_files(list(known.items()), known, Options(unsafe=True))}
    assert outcomes["app.py"].after.decode() == code(
        """
        from callbridge import astream_call, stream_call
        from langchain_openai import ChatOpenAI

        def chat(question):
            def work():
                llm = ChatOpenAI(streaming=True)
                llm.invoke(question)

            with stream_call(work) as stream:
                for token in stream.text():
                    yield token

        async def achat(question):
            llm = ChatOpenAI(streaming=True)
            async with astream_call(llm.ainvoke, question) as stream:
                async for token in stream.text():
                    yield token
        """
    )


def test_a_guard_that_reports_the_result_goes_after_a_review() -> None:
    text = """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        async def guard(call, event):
            try:
                result = await call
                log.debug(result)
            except Exception as error:
                log.error(error)
                raise
            finally:
                event.set()

        async def tell(x):
            handler = AsyncIteratorCallbackHandler()
            llm = ChatOpenAI(streaming=True, callbacks=[handler])
            task = asyncio.create_task(guard(llm.ainvoke(x), handler.done))
            async for token in handler.aiter():
                yield token
            await task
        """
    check_noop(text, "its guard reports the result of the call", rule="CB301", unsafe=False)
    check_rewritten(
        text,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def tell(x):
            llm = ChatOpenAI(streaming=True)
            async with astream_call(llm.ainvoke, x) as stream:
                async for token in stream.text():
                    yield token
        """,
        unsafe=True,
    )
