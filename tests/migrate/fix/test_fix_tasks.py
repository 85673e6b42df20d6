"""CB301: how the task is made that runs the call: of a coroutine in a variable, of a function beside it, or not at all."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI


        async def answer(x):
            callback = AsyncIteratorCallbackHandler()
            model = ChatOpenAI(streaming=True, callbacks=[callback])
"""
LOOP = """            async for token in callback.aiter():
                yield token
            await task
"""
AFTER = """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI


        async def answer(x):
            model = ChatOpenAI(streaming=True)
            async with astream_call(model.ainvoke, x) as stream:
                async for token in stream.text():
                    yield token
"""
INSIDE = """
            # Runs the model.
            async def run():
                try:
                    return await model.ainvoke(x)
                finally:
                    callback.done.set()

            task = asyncio.create_task(run())
"""


def test_a_coroutine_that_is_kept_before_it_is_made_a_task_goes() -> None:
    task = """            run = model.ainvoke(x)
            task = asyncio.create_task(run)
"""
    check_rewritten(HEAD + task + LOOP, AFTER)


def test_a_coroutine_that_is_kept_and_then_guarded_goes_with_its_guard() -> None:
    task = """            run = model.ainvoke(x)
            task = asyncio.create_task(guard(run, callback.done))
"""
    check_rewritten(HEAD + task + LOOP, AFTER, unsafe=True)
    check_noop(HEAD + task + LOOP, "does not show what guard() does", unsafe=False)


def test_a_coroutine_that_is_awaited_after_its_loop_takes_unsafe() -> None:
    """The loop waited for ever; nobody can have relied on it, and what comes out now is new."""
    late = HEAD.replace("import asyncio\n", "") + "            task = model.ainvoke(x)\n" + LOOP
    check_rewritten(late, AFTER, unsafe=True)
    check_noop(late, "needs --unsafe: the loop waited forever before", rule="CB301", unsafe=False)


def test_the_result_of_a_late_coroutine_is_that_of_the_stream() -> None:
    late = HEAD + "            task = model.ainvoke(x)\n" + LOOP.replace("await task", "result = await task")
    assert "    result = stream.result\n" in rewrite(code(late), Options(unsafe=True)).text


def test_a_function_beside_the_loop_that_does_nothing_but_the_run_goes() -> None:
    check_rewritten(HEAD + INSIDE + LOOP, AFTER.replace("(streaming=True)\n", "(streaming=True)\n\n"))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("return await", "print(x)\n                    return await", "runs the model with the handler"),
        ("def run()", "def run(x=x)", "runs the model with the handler"),
        ("create_task(run())", "create_task(run(1))", "runs the model with the handler"),
        ("# Runs the model.", "@traced", "runs the model with the handler"),
        ("callback.done.set()", "callback.done.set()\n                    log()", "runs the model with the handler"),
        ("return await", "await", "the code uses what the guard returns"),
    ],
)
def test_a_function_that_does_more_or_keeps_the_result_stays(before: str, after: str, reason: str) -> None:
    used = LOOP.replace("await task", "print(await task)")
    check_noop((HEAD + INSIDE + used).replace(before, after), reason, rule="CB301")


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("", "no task runs the call next to the loop: wrap the call with `astream_call`"),
        ("task = asyncio.create_task(*given)", "the task does not run a single call: wrap the call that runs the model"),
        (
            "run = model.ainvoke(x)\n            print(run)\n            task = asyncio.create_task(run)",
            "the task does not run a single call",
        ),
        (
            "run = model.ainvoke(x)\n            if x:\n                task = asyncio.create_task(run)",
            "the code makes the coroutine and its task in different blocks",
        ),
    ],
)
def test_what_is_no_task_of_one_call_stays_and_says_what_to_write(task: str, reason: str) -> None:
    loop = LOOP if task else LOOP.replace("await task", "print()")
    check_noop(f"{HEAD}            {task}\n{loop}", reason, rule="CB301")
