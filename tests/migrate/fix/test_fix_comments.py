"""Comments go with what they are about, by one rule for all edits; what cannot be placed takes `--unsafe`."""

from __future__ import annotations

import pytest
from fixing import check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
    import asyncio
    from langchain_classic.callbacks import AsyncIteratorCallbackHandler
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_openai import ChatOpenAI
"""
STDOUT = "StreamingStdOutCallbackHandler()"


def after(text: str, *, unsafe: bool = False) -> str:
    """Return what becomes of a snippet, which is changed."""
    before = code(f"{HEAD}\n{text}")
    rewritten = rewrite(before, Options(unsafe=unsafe))
    assert rewritten.changes, rewritten.refusals
    assert not rewrite(rewritten.text, Options(unsafe=unsafe)).changes
    return rewritten.text


ARGUMENTS = [
    ("streaming=True,  # as it comes\n    HANDLERS\n", "streaming=True,  # as it comes\n"),
    ("streaming=True,  # as it comes\n                 HANDLERS", "streaming=True,  # as it comes\n                 "),
    ("\n    # fast\n    streaming=True,\n    # who prints\n    HANDLERS,  # this one\n", "\n    # fast\n    streaming=True,\n"),
    (
        "\n    # who prints\n    HANDLERS,  # this one\n    # fast\n    streaming=True,  # yes\n",
        "\n    # fast\n    streaming=True,  # yes\n",
    ),
    (
        "\n    streaming=True,\n    # a heading\n\n    HANDLERS,\n    # the end\n",
        "\n    streaming=True,\n    # a heading\n\n    # the end\n",
    ),
    (
        "\n    streaming=True,  # why\n    callbacks=[\n        # one\n        PRINTER,  # two\n    ],\n    n=1,\n",
        "\n    streaming=True,  # why\n    n=1,\n",
    ),
    ("\n    streaming=True, HANDLERS,  # the handlers\n    n=1", "\n    streaming=True,\n    n=1"),
    ("\n    seed=1, HANDLERS,  # same seed\n    streaming=True", "\n    seed=1,  # same seed\n    streaming=True"),
    ("\n    streaming=True,\n    # model='small',\n    HANDLERS,\n", "\n    streaming=True,\n    # model='small',\n"),
    (
        "\n    streaming=True,\n    # callbacks=[\n    #     OtherHandler(),\n    # ],\n    HANDLERS,\n",
        "\n    streaming=True,\n    # callbacks=[\n    #     OtherHandler(),\n    # ],\n",
    ),
    ("HANDLERS, streaming=True", "streaming=True"),
    ("streaming=True, HANDLERS,", "streaming=True,"),
]


@pytest.mark.parametrize(("arguments", "left"), ARGUMENTS)
def test_comments_of_arguments(arguments: str, left: str) -> None:
    given = arguments.replace("HANDLERS", "callbacks=[PRINTER]").replace("PRINTER", STDOUT)
    before = code(HEAD) + f"\nllm = ChatOpenAI({given})\nllm.invoke('q')\n"
    rewritten = rewrite(before)
    assert rewritten.changes, rewritten.refusals
    assert f"\nllm = ChatOpenAI({left})\nwith stream_call" in rewritten.text


def test_a_comment_that_may_be_about_either_argument_takes_unsafe_and_stays() -> None:
    text = (
        f"    llm = ChatOpenAI(\n        streaming=True, callbacks=[{STDOUT}],  # see the notes\n    )\n    llm.invoke('q')\n"
    )
    rewritten = rewrite(code(f"{HEAD}\n{text}"))
    assert not rewritten.changes
    assert any("`# see the notes` in line 7 may be about the code that goes" in each.reason for each in rewritten.refusals)
    assert "streaming=True,  # see the notes\n" in after(text, unsafe=True)


def test_the_comment_of_a_statement_stays_unless_it_speaks_of_the_handler_alone() -> None:
    kept = f"    llm = ChatOpenAI(streaming=True, callbacks=[{STDOUT}])  # the model\n    llm.invoke('q')\n"
    assert "llm = ChatOpenAI(streaming=True)  # the model\n" in after(kept)
    gone = f"    llm = ChatOpenAI(streaming=True, callbacks=[{STDOUT}])  # attach a callback\n    llm.invoke('q')\n"
    assert "llm = ChatOpenAI(streaming=True)\n" in after(gone)


def test_comments_of_list_elements() -> None:
    text = """
    def ask(other, third):
        llm = ChatOpenAI(streaming=True, callbacks=[
            other,  # counts
            # prints
            StreamingStdOutCallbackHandler(),  # at once
            # watches
            third,  # and logs
        ])
        llm.invoke('q')
    """
    assert "callbacks=[\n        other,  # counts\n        # watches\n        third,  # and logs\n    ])" in after(
        text, unsafe=True
    )
    last = text.replace("            # watches\n            third,  # and logs\n", "")
    assert "callbacks=[\n        other,  # counts\n    ])" in after(last, unsafe=True)
    bare = last.replace(f"{STDOUT},  # at once", f"{STDOUT}  # at once")
    assert "callbacks=[\n        other  # counts\n    ])" in after(bare, unsafe=True)


def test_comments_of_imported_names() -> None:
    check_rewritten(
        """
        from langchain_core.callbacks import (
            BaseCallbackHandler,  # the base
            # it prints
            StreamingStdOutCallbackHandler,  # at once
            # it counts
            UsageMetadataCallbackHandler,
        )
        from langchain_openai import ChatOpenAI

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(q)
        """,
        """
        from callbridge import stream_call
        from langchain_core.callbacks import (
            BaseCallbackHandler,  # the base
            # it counts
            UsageMetadataCallbackHandler,
        )
        from langchain_openai import ChatOpenAI

        def ask(q):
            llm = ChatOpenAI(streaming=True)
            with stream_call(llm.invoke, q) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return stream.result
        """,
    )


def test_comments_of_statements_that_go() -> None:
    check_rewritten(
        """
        import asyncio
        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        # An endpoint.
        async def answer(q):
            # the handler of this request
            cb = AsyncIteratorCallbackHandler()  # an iterator

            # the model
            llm = ChatOpenAI(streaming=True, callbacks=[cb])

            # start it in the background
            # (the loop reads meanwhile)
            task = asyncio.create_task(llm.ainvoke(q))  # runs

            # to the browser
            async for token in cb.aiter():
                yield token  # one by one

            # wait for the end
            await task  # joins
            # nothing more
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        # An endpoint.
        async def answer(q):
            # the model
            llm = ChatOpenAI(streaming=True)

            # to the browser
            async with astream_call(llm.ainvoke, q) as stream:
                async for token in stream.text():
                    yield token  # one by one
            # nothing more
        """,
    )


@pytest.mark.parametrize(
    ("comment", "stays"),
    [("run it in the background", False), ("create the task", False), ("send each token to the client", True)],
)
def test_in_a_paragraph_the_words_of_a_comment_decide(comment: str, stays: bool) -> None:
    text = (
        "    async def answer(q, client):\n        cb = AsyncIteratorCallbackHandler()\n"
        "        llm = ChatOpenAI(streaming=True, callbacks=[cb])\n\n"
        f"        # {comment}\n        task = asyncio.create_task(llm.ainvoke(q))\n        async for token in cb.aiter():\n"
        "            client.send(token)\n        await task\n"
    )
    assert (f"# {comment}" in after(text)) is stays


def test_a_comment_over_a_paragraph_that_is_not_placed_by_its_words_takes_unsafe() -> None:
    text = (
        "    def ask(q):\n        # see the ticket\n        handler = StreamingStdOutCallbackHandler()\n"
        "        llm = ChatOpenAI(streaming=True, callbacks=[handler])\n        llm.invoke(q)\n"
    )
    rewritten = rewrite(code(f"{HEAD}\n{text}"))
    assert not rewritten.changes
    assert any("`# see the ticket`" in each.reason for each in rewritten.refusals)
    assert "    # see the ticket\n    llm = ChatOpenAI(streaming=True)\n" in after(text, unsafe=True)


def test_comments_of_a_finally_that_goes_go_and_those_of_the_rest_stay() -> None:
    text = """
    async def answer(q):
        cb = AsyncIteratorCallbackHandler()
        llm = ChatOpenAI(streaming=True, callbacks=[cb])
        task = asyncio.create_task(llm.ainvoke(q))
        # make sure that it ends
        try:  # may fail
            # to the client
            async for token in cb.aiter():
                yield token
        # in any case
        finally:  # always
            # tell the loop
            cb.done.set()
        # wait
        await task
    """
    left = after(text)
    assert "# to the client" in left
    assert not any(gone in left for gone in ("make sure", "may fail", "any case", "always", "tell the loop", "wait"))


def test_a_comment_inside_of_what_is_replaced_takes_unsafe() -> None:
    text = """
        from langchain_core.callbacks import CallbackManager
        from langchain_openai import ChatOpenAI

        llm = ChatOpenAI(callbacks=CallbackManager(
            # for this model alone
            [h]))
    """
    rewritten = rewrite(code(text))
    assert not rewritten.changes
    assert any("stands inside the code that the edit replaces" in each.reason for each in rewritten.refusals)


def test_a_comment_stays_with_its_argument_when_another_one_is_added() -> None:
    check_rewritten(
        """
        from langchain_core.runnables import Runnable

        def a(chain, x, y):
            chain.astream_events(
                x,  # the question
                y,  # the config
            )
            chain.astream_events(x,
                                 y  # the config
                                 )
        """,
        """
        from langchain_core.runnables import Runnable

        def a(chain, x, y):
            chain.astream_events(
                x,  # the question
                y,  # the config
                version="v2",
            )
            chain.astream_events(x,
                                 y,  # the config
                                 version="v2"
                                 )
        """,
    )


def test_comments_for_tools_stay_on_the_line_of_the_call() -> None:
    calls = "    llm.invoke('q')  # noqa: S1\n    llm.invoke('r')  # again\n"
    text = f"    llm = ChatOpenAI(streaming=True, callbacks=[{STDOUT}])\n{calls}"
    left = after(text)
    assert "with stream_call(llm.invoke, 'q') as stream:  # noqa: S1\n" in left
    assert "# again\nwith stream_call(llm.invoke, 'r') as stream:\n" in left


def test_a_sentence_above_that_is_about_an_argument_that_goes_goes() -> None:
    text = """
    # It streams, as `streaming=True` says.
    # Additionally, our handler is given to the callbacks.
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    llm.invoke("q")
    """
    left = after(text)
    assert "# It streams, as `streaming=True` says.\nllm = ChatOpenAI(streaming=True)\n" in left
    assert "Additionally" not in left


def test_a_sentence_is_not_torn() -> None:
    text = """
    # The model streams, and our handler
    # prints what it says with its callbacks.
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    llm.invoke("q")
    """
    assert "# The model streams, and our handler\n# prints what it says with its callbacks.\n" in after(text)


@pytest.mark.parametrize("comment", ["将自定义处理程序作为回调参数传入", "コールバックを渡す"])
def test_what_other_languages_say_of_callbacks_is_understood(comment: str) -> None:
    text = f"""
    # {comment}
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    llm.invoke("q")
    """
    assert comment not in after(text)


def test_code_that_was_taken_out_is_about_nothing_that_goes() -> None:
    text = code(HEAD).replace(
        "from langchain_core.callbacks", "# from langchain.chains import LLMChain\nfrom langchain_core.callbacks"
    )
    rewritten = rewrite(text + f"\nllm = ChatOpenAI(streaming=True, callbacks=[{STDOUT}])\nllm.invoke('q')\n").text
    assert "StreamingStdOutCallbackHandler" not in rewritten
    assert "# from langchain.chains import LLMChain\n" in rewritten


TAKEN_OUT = [
    "# callbacks = [\n#     OtherHandler(),\n# ]\n",
    "# for token in handler.tokens():\n#     print(token)\n",
    "# if handlers:\n#     handlers = [\n#         OtherHandler(\n#             prints=False,\n#         ),\n#     ]\n",
]


@pytest.mark.parametrize("lines", TAKEN_OUT)
def test_lines_that_were_taken_out_together_are_about_nothing_either(lines: str) -> None:
    call = "\nllm = ChatOpenAI(streaming=True, callbacks=handlers)\nllm.invoke('q')\n"
    text = f"{code(HEAD)}\n# the handler, before:\n{lines}handlers = [{STDOUT}]\n{call}"
    rewritten = rewrite(text).text
    assert lines in rewritten
    assert "\nhandlers = [" not in rewritten
    assert "the handler, before" not in rewritten


@pytest.mark.parametrize("line", ["# from langchain.callbacks.base import BaseCallbackHandler", "# callbacks = [handler]"])
def test_code_that_was_taken_out_above_a_statement_that_stays_is_no_sentence(line: str) -> None:
    text = f"""
    {line}
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    llm.invoke("q")
    """
    assert f"{line}\nllm = ChatOpenAI(streaming=True)\n" in after(text)


def test_a_remark_below_what_goes_goes_with_it() -> None:
    text = """
    # Callbacks support token-wise streaming
    handlers = [StreamingStdOutCallbackHandler()]
    # the callbacks print each token

    # the model
    llm = ChatOpenAI(streaming=True, callbacks=handlers)
    llm.invoke("q")
    """
    left = after(text)
    assert "token" not in left.partition("with ")[0]
    assert "# the model\n" in left
