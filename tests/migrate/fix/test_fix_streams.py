"""CB301, CB302: what tells tokens to a handler becomes a loop over the text of the call."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI
"""


# -- CB301


def test_a_guarded_task_and_its_loop_become_a_wrapped_call() -> None:
    check_rewritten(
        """
        import asyncio
        from typing import Any, Awaitable

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI


        async def guard(fn: Awaitable, event: asyncio.Event) -> Any:
            try:
                await fn
            except Exception as e:
                print(f"Caught {e}")
            finally:
                event.set()


        async def send(messages):
            callback = AsyncIteratorCallbackHandler()
            model = ChatOpenAI(streaming=True, callbacks=[callback, other])

            # Begin.
            task = asyncio.create_task(guard(model.agenerate(messages=[messages]), callback.done))

            async for token in callback.aiter():
                yield f"{token}"  # one by one

            await task
        """,
        """
        from functools import partial

        from callbridge import astream_call
        from langchain_openai import ChatOpenAI


        async def send(messages):
            model = ChatOpenAI(streaming=True, callbacks=[other])

            async with astream_call(partial(model.agenerate, messages=[messages])) as stream:
                async for token in stream.text():
                    yield f"{token}"  # one by one
        """,
    )


def test_the_result_of_the_task_is_that_of_the_stream() -> None:
    check_rewritten(
        f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.ensure_future(chat.ainvoke(x))
            async for token in cb.aiter():
                print(token)
            return (await task).content
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x):
            chat = ChatOpenAI(streaming=True)
            async with astream_call(chat.ainvoke, x) as stream:
                async for token in stream.text():
                    print(token)
            return stream.result.content
        """,
    )


def test_a_loop_in_a_generator_inside_is_found() -> None:
    """The endpoint makes the task, and hands the generator that reads its tokens to the response."""
    check_rewritten(
        f"""{HEAD}
        async def endpoint(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))

            async def events():
                try:
                    async for token in cb.aiter():
                        yield token
                finally:
                    await task

            return StreamingResponse(events())
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def endpoint(x):
            chat = ChatOpenAI(streaming=True)

            async def events():
                async with astream_call(chat.ainvoke, x) as stream:
                    async for token in stream.text():
                        yield token

            return StreamingResponse(events())
        """,
    )


def test_done_that_is_set_by_hand_is_not_needed() -> None:
    check_rewritten(
        f"""{HEAD}
        async def guard(call, done):
            try:
                await call
            except Exception:
                logger.exception("failed")
            finally:
                done.set()

        async def ask(x, stream):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(guard(chat.ainvoke(x, config={{"tags": ["a"]}}), cb.done))
            try:
                async for token in cb.aiter():
                    yield token
            except ValueError:
                yield "no"
            finally:
                cb.done.set()
            await task
        """,
        """
        from functools import partial

        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x, stream):
            chat = ChatOpenAI(streaming=True)
            try:
                async with astream_call(partial(chat.ainvoke, x, config={"tags": ["a"]})) as text_stream:
                    async for token in text_stream.text():
                        yield token
            except ValueError:
                yield "no"
        """,
    )


def test_a_factory_of_ones_own_takes_unsafe_and_keeps_its_argument() -> None:
    """What it does with the handler is not known, nor whether it can do without the argument."""
    before = f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = make_chat("small", callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            async for token in cb.aiter():
                yield token
            await task
        """
    check_noop(before, "what happens to the handler", rule="CB301", unsafe=False)
    check_rewritten(
        before,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x):
            chat = make_chat("small", callbacks=[])
            async with astream_call(chat.ainvoke, x) as stream:
                async for token in stream.text():
                    yield token
        """,
        unsafe=True,
    )


def test_loops_in_the_branches_of_an_if_are_wrapped_each() -> None:
    check_rewritten(
        f"""{HEAD}
        async def ask(x, stream):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            if stream:
                async for token in cb.aiter():
                    yield token
            else:
                answer = ""
                async for token in cb.aiter():
                    answer += token
                yield answer
            await task
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x, stream):
            chat = ChatOpenAI(streaming=True)
            if stream:
                async with astream_call(chat.ainvoke, x) as text_stream:
                    async for token in text_stream.text():
                        yield token
            else:
                answer = ""
                async with astream_call(chat.ainvoke, x) as text_stream:
                    async for token in text_stream.text():
                        answer += token
                yield answer
        """,
        unsafe=True,  # `yield answer`
    )


def test_level_two_reads_events() -> None:
    check_rewritten(
        f"""{HEAD}
        from langchain_classic.chains import LLMChain

        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chain = LLMChain(llm=ChatOpenAI(streaming=True, callbacks=[cb]), prompt=prompt)
            task = asyncio.create_task(chain.acall({{"question": x}}))
            async for token in cb.aiter():
                if token == ".":
                    continue
                yield token
            await task
        """,
        """
        from contextlib import aclosing

        from langchain_openai import ChatOpenAI

        from langchain_classic.chains import LLMChain

        async def ask(x):
            chain = LLMChain(llm=ChatOpenAI(streaming=True), prompt=prompt)
            async with aclosing(chain.astream_events({"question": x}, version="v2")) as events:
                async for event in events:
                    if event["event"] == "on_chat_model_stream" and (token := event["data"]["chunk"].text):
                        if token == ".":
                            continue
                        yield token
        """,
        level=2,
    )


@pytest.mark.parametrize(
    "run",
    [
        "chat.agenerate([[x]])",
        "chat.ainvoke(x, stop=['.'])",
        "chat.with_retry().ainvoke(x)",
        "OpenAI(callbacks=[cb]).ainvoke(x)",
    ],
)
def test_what_level_two_cannot_do_is_wrapped(run: str) -> None:
    attached = "" if "OpenAI(" in run else "callbacks=[cb]"
    text = (
        "import asyncio\nfrom langchain_classic.callbacks import AsyncIteratorCallbackHandler\n"
        "from langchain_openai import ChatOpenAI, OpenAI\n"
        "async def ask(x):\n    cb = AsyncIteratorCallbackHandler()\n"
        f"    chat = ChatOpenAI({attached})\n    task = asyncio.create_task({run})\n"
        "    async for token in cb.aiter():\n        yield token\n    await task\n"
    )
    after = rewrite(text, Options(level=2, unsafe=True)).text
    assert "astream_call(" in after
    assert "astream_events" not in after


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("cb.queue.put_nowait(1)", "uses the handler for something other"),
        ("register(cb)", "uses the handler for something other"),
        ("task.add_done_callback(print)", "the code does more with task than `await task`"),
        ("other = asyncio.create_task(x)", "2 tasks"),
        ("await x", "the code awaits something between task and loop"),
        ("x = 2", "assigns x again"),
        ("async for t in cb.aiter(): pass", "2 `async for` statements"),
    ],
)
def test_tasks_that_do_more_stay(body: str, reason: str) -> None:
    check_noop(
        f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            {body}
            async for token in cb.aiter():
                yield token
            await task
        """,
        reason,
        rule="CB301",
    )


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("chain = build(chat)", "chain.acall(x)", "`fix` cannot tell whether the call runs the model"),
        ("chain = LLMChain(llm=chat, memory=Memory(llm=ChatOpenAI()))", "chain.acall(x)", "the call may run another model"),
        ("", "chat.ainvoke((yield x))", "a `yield` or an assignment, which would come later"),
        ("", "guard(chat.ainvoke(x), cb.done)", "does more with an error"),
    ],
)
def test_calls_whose_text_may_be_another_stay(before: str, after: str, reason: str) -> None:
    check_noop(
        f"""{HEAD}
        from langchain_classic.chains import LLMChain
        from langchain_classic.memory import Memory

        async def guard(call, done):
            try:
                await call
            except ValueError as error:
                errors.append(error)
            finally:
                done.set()

        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            {before or "pass"}
            task = asyncio.create_task({after})
            async for token in cb.aiter():
                yield token
            await task
        """,
        reason,
        rule="CB301",
    )


def test_an_except_around_the_loop_that_catches_more_takes_unsafe() -> None:
    """The commonest endpoint: the errors of the call are raised in the loop now, where the `except` sees them."""
    before = f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            try:
                async for token in cb.aiter():
                    yield token
            except Exception as error:
                print(error)
            finally:
                cb.done.set()
            await task
        """
    check_rewritten(
        before,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x):
            chat = ChatOpenAI(streaming=True)
            try:
                async with astream_call(chat.ainvoke, x) as stream:
                    async for token in stream.text():
                        yield token
            except Exception as error:
                print(error)
        """,
        unsafe=True,
    )
    check_noop(before, "needs --unsafe: the `except` around the loop catches", rule="CB301", unsafe=False)


@pytest.mark.parametrize(
    ("made", "end"),
    [
        ("guard(chat.ainvoke(x), cb.done)", "await task\n            yield '[DONE]'"),
        ("guard(chat.ainvoke(x), cb.done)", "if x:\n                save()\n            await task"),
        ("chat.ainvoke(x)", "yield '[DONE]'"),
        ("chat.ainvoke(x)", "yield '[DONE]'\n            await task"),
    ],
)
def test_what_follows_the_loop_and_was_run_after_a_failure_takes_unsafe(made: str, end: str) -> None:
    before = f"""{HEAD}
        async def guard(call, done):
            try:
                await call
            except Exception as error:
                print(error)
            finally:
                done.set()

        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task({made})
            async for token in cb.aiter():
                yield token
            {end}
        """
    check_noop(before, "the code after the loop ran even if the call failed", rule="CB301", unsafe=False)
    assert rewrite(code(before), Options(unsafe=True)).changes
    raised = code(before.replace(end, "await task\n            cb.done.set()\n            yield '[DONE]'"))
    raised = raised.replace("print(error)", "raise")
    assert rewrite(raised).changes, raised


def test_a_loop_that_goes_round_again_after_a_failure_takes_unsafe() -> None:
    check_noop(
        f"""{HEAD}
        async def ask(xs):
            for x in xs:
                cb = AsyncIteratorCallbackHandler()
                chat = ChatOpenAI(streaming=True, callbacks=[cb])
                task = asyncio.create_task(chat.ainvoke(x))
                async for token in cb.aiter():
                    yield token
        """,
        "the code after the loop ran even if the call failed",
        rule="CB301",
        unsafe=False,
    )


@pytest.mark.parametrize("between", ["save(x)", "self.last = 1", "yield ''", "for each in x:\n                hand(each)"])
def test_arguments_that_are_computed_later_than_before_take_unsafe(between: str) -> None:
    before = f"""{HEAD}
        async def ask(self, x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(history() + x))
            {between}
            async for token in cb.aiter():
                yield token
            await task
        """
    check_noop(before, "computed later: where the loop begins", rule="CB301", unsafe=False)
    safe = [("history() + x", "[HumanMessage(content=x)]"), (between, "print(x)\n            logger.info(x)")]
    for old, new in safe:
        text = code(
            before.replace(old, new).replace(
                "import ChatOpenAI", "import ChatOpenAI\n        from langchain_core.messages import HumanMessage"
            )
        )
        assert rewrite(text).changes, text


def test_arguments_that_are_computed_in_a_generator_and_no_longer_in_its_endpoint_take_unsafe() -> None:
    """What they are computed with may be closed by then, as the session of a request is."""
    check_noop(
        f"""{HEAD}
        async def endpoint(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(session.history() + x))

            async def events():
                async for token in cb.aiter():
                    yield token
                await task

            return StreamingResponse(events())
        """,
        "computed later: where the loop begins",
        rule="CB301",
        unsafe=False,
    )


@pytest.mark.parametrize(
    "end",
    [
        "try:\n                r = await task\n            except Exception as e:\n                yield e",
        "try:\n                await task\n            finally:\n                close()",
        "with suppress(Exception):\n                await task",
        "async with asyncio.timeout(1):\n                r = await task",
        "if x:\n                with suppress(Exception):\n                    await task",
    ],
)
def test_what_sees_the_errors_of_the_awaited_task_keeps_it(end: str) -> None:
    """The loop raises them now, and stands outside of it."""
    check_noop(
        f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            async for token in cb.aiter():
                yield token
            {end}
        """,
        "a `try` or `with` around the `await` alone",
        rule="CB301",
    )


@pytest.mark.parametrize(
    ("around", "reason"),
    [
        ("with suppress(Exception):", "a `with` around the loop"),
        ("if x:\n                await task", "awaited before the loop"),
    ],
)
def test_what_would_see_errors_that_the_task_raised_outside_of_it_keeps_the_loop(around: str, reason: str) -> None:
    check_noop(
        f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            {around}
                async for token in cb.aiter():
                    yield token
            await task
        """,
        reason,
        rule="CB301",
    )


def test_a_try_around_both_the_loop_and_the_awaited_task_sees_the_same_errors() -> None:
    check_rewritten(
        f"""{HEAD}
        async def ask(x):
            cb = AsyncIteratorCallbackHandler()
            chat = ChatOpenAI(streaming=True, callbacks=[cb])
            task = asyncio.create_task(chat.ainvoke(x))
            try:
                async for token in cb.aiter():
                    yield token
                answer = await task
            except Exception as error:
                yield f"error {{error}}"
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def ask(x):
            chat = ChatOpenAI(streaming=True)
            try:
                async with astream_call(chat.ainvoke, x) as stream:
                    async for token in stream.text():
                        yield token
                answer = stream.result
            except Exception as error:
                yield f"error {error}"
        """,
    )


def test_models_out_of_sight_and_loops_that_are_left_take_unsafe() -> None:
    check_noop(
        f"""{HEAD}
        async def ask(chain, x):
            cb = AsyncIteratorCallbackHandler()
            task = asyncio.create_task(chain.acall(x, callbacks=[cb]))
            async for token in cb.aiter():
                if token == ".":
                    break
            await task
        """,
        "leaving the loop early ends the call",
        rule="CB301",
        unsafe=False,
    )


# -- CB302

QUEUE = """
        import queue
        from threading import Thread

        from langchain_core.callbacks import BaseCallbackHandler


        class QueueHandler(BaseCallbackHandler):
            def __init__(self, q):
                self.q = q

            def on_llm_new_token(self, token, **kwargs):
                self.q.put(token)

            def on_llm_end(self, response, **kwargs):
                self.q.put(None)

"""


def test_a_queue_and_its_thread_become_a_wrapped_call() -> None:
    check_rewritten(
        f"""{QUEUE}
        def stream(chain, x):
            q = queue.Queue()

            def run():
                chain.invoke(x, config={{"callbacks": [QueueHandler(q)]}})

            Thread(target=run, daemon=True).start()
            while True:
                token = q.get()
                if token is None:
                    break
                # hand it on
                yield token
        """,
        """
        from callbridge import stream_call


        def stream(chain, x):
            with stream_call(chain.invoke, x) as text_stream:
                for token in text_stream.text():
                    # hand it on
                    yield token
        """,
        unsafe=True,
    )


@pytest.mark.parametrize(
    ("thread", "loop", "reason"),
    [
        ("Thread(target=run, args=(1,)).start()", "while True:\n                token = q.get()", "gets arguments"),
        ("Thread(target=run).start()\n            watch(q)", "while True:\n                token = q.get()", "used elsewhere"),
        ("Thread(target=run).start()", "while go:\n                token = q.get()", "a form that `fix` does not know"),
        ("pool.submit(run)", "while True:\n                token = q.get()", "for more than the target of a thread"),
    ],
)
def test_queues_that_do_more_stay(thread: str, loop: str, reason: str) -> None:
    check_noop(
        f"""{QUEUE}
        def stream(chain, x):
            q = queue.Queue()

            def run():
                chain.invoke(x, config={{"callbacks": [QueueHandler(q)]}})

            {thread}
            {loop}
                if token is None:
                    break
                yield token
        """,
        reason,
        rule="CB302",
    )
