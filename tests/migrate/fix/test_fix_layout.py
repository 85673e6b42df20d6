"""Where new imports go, how new lines are indented, and what is never left behind: glued lines, empty blocks."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

ASK = """
def ask(q):
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    return llm.invoke({})
"""
IMPORTS = "from langchain_core.callbacks import StreamingStdOutCallbackHandler\nfrom langchain_openai import ChatOpenAI\n"


FIRST = "from callbridge import stream_call\nfrom langchain_openai"


def head(before: str, *, call: str = "q") -> str:
    """Return what stands above the function that is edited, whose imports are below these lines."""
    rewritten = rewrite(code(before) + ASK.format(call))
    assert rewritten.changes, rewritten.refusals
    return rewritten.text.partition("\ndef ask")[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"import os\n\n{IMPORTS}from mine import x\n",
            f"import os\n\n{FIRST}",
        ),
        (f"{IMPORTS}from .mine import x\n", FIRST),
        (
            f"# The model.\n{IMPORTS}import zlib\n",
            "# The model.\nfrom langchain_openai import ChatOpenAI\nfrom callb",
        ),
        (f'"""Doc."""\n{IMPORTS}', '"""Doc."""\nfrom callbridge import stream_call\nfrom langchain_openai'),
        (
            f'import sys; sys.path.insert(0, "..")\n{IMPORTS}',
            'import sys; sys.path.insert(0, "..")\nfrom callbridge import stream_call\nfrom langchain_openai',
        ),
        (
            f"import app\n\nx = 1\n\n{IMPORTS}",
            "import app\n\nx = 1\n\nfrom callbridge import stream_call\nfrom langchain_openai",
        ),
        (
            f"if inside():\n    {IMPORTS.strip().replace(chr(10), chr(10) + '    ')}\n",
            "if inside():\n    from callbridge import stream_call\n    from langchain_openai",
        ),
    ],
)
def test_a_new_import_stands_next_to_those_of_langchain(before: str, after: str) -> None:
    assert head(before).startswith(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"import os\nimport re\n\n{IMPORTS}", "import os\nimport re\nfrom functools import partial\n\nfrom callbridge"),
        (
            f"import os\nfrom typing import Any\n\n{IMPORTS}",
            "import os\nfrom functools import partial\nfrom typing import Any\n",
        ),
        (f"import httpx\n{IMPORTS}", "from functools import partial\n\nimport httpx\nfrom callbridge import stream_call\n"),
        (
            f"from __future__ import annotations\n\n{IMPORTS}",
            "from __future__ import annotations\n\nfrom functools import partial\n\nfrom callbridge",
        ),
    ],
)
def test_a_new_import_of_the_standard_library_stands_among_its_own(before: str, after: str) -> None:
    assert head(before, call="q, stop='.'").startswith(after)


def test_where_the_imports_are_in_the_function_the_new_one_is_there() -> None:
    check_rewritten(
        """
        # imports are in the functions


        def other(text):
            return text.strip()


        def ask(question):
            from langchain_core.callbacks import StreamingStdOutCallbackHandler
            from langchain_openai import ChatOpenAI

            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(question)
        """,
        """
        # imports are in the functions


        def other(text):
            return text.strip()


        def ask(question):
            from callbridge import stream_call
            from langchain_openai import ChatOpenAI

            llm = ChatOpenAI(streaming=True)
            with stream_call(llm.invoke, question) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return stream.result
        """,
    )


def test_an_import_at_the_top_is_not_glued_to_what_follows() -> None:
    """The model is run in another function than the one that imports."""
    before = """
        def make():
            from langchain_core.callbacks import StreamingStdOutCallbackHandler
            from langchain_openai import ChatOpenAI
            return ChatOpenAI, StreamingStdOutCallbackHandler

        def ask(q, ChatModel):
            return ChatModel.invoke(q, config={"callbacks": [StreamingStdOutCallbackHandler()]})
    """
    text = rewrite(code(before), Options(unsafe=True)).text
    assert text.startswith("from callbridge import stream_call\n\n\ndef make():\n")


def test_names_of_one_module_are_imported_together() -> None:
    check_rewritten(
        """
        import os
        from langchain.callbacks.base import BaseCallbackHandler
        from langchain.callbacks.streaming_stdout import StreamingStdOutCallbackHandler
        from langchain.callbacks.manager import CallbackManager  # why
        """,
        """
        import os
        from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
        from langchain_core.callbacks import CallbackManager  # why
        """,
    )


@pytest.mark.parametrize(
    "fallback",
    [
        "try:\n    from langchain.callbacks import StreamingStdOutCallbackHandler\nexcept ImportError:\n"
        "    from langchain_core.callbacks import StreamingStdOutCallbackHandler\n",
        "try:\n    from langchain_core.callbacks import StreamingStdOutCallbackHandler\nexcept ImportError:\n    raise\n",
        "if True:\n    from langchain_core.callbacks import StreamingStdOutCallbackHandler\n",
    ],
)
def test_an_import_with_a_fallback_and_one_alone_in_its_block_stay(fallback: str) -> None:
    text = rewrite(fallback + "from langchain_openai import ChatOpenAI\n" + ASK.format("q")).text
    assert "with stream_call(" in text
    assert text.startswith(fallback)
    assert "pass" not in text


@pytest.mark.parametrize("indent", ["\t", "  ", "   ", "        "])
def test_new_lines_are_indented_as_their_block_is(indent: str) -> None:
    before = f"{IMPORTS}\n\ndef first():\n    return 1\n\n\n{ASK.format('q').lstrip().replace('    ', indent)}"
    text = rewrite(before).text
    assert f"\n{indent}with stream_call(llm.invoke, q) as stream:\n{indent * 2}for token in stream.text():\n" in text
    assert f"\n{indent * 3}print(token" in text
    assert "\n    return 1\n" in text


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("handler = StreamingStdOutCallbackHandler(); x = 1", "shares its line"),
        ("if q: handler = StreamingStdOutCallbackHandler()", "shares its line"),
        ("if q:\n        handler = StreamingStdOutCallbackHandler()", "would empty the block in line 7"),
    ],
)
def test_what_would_part_a_line_or_leave_an_empty_block_stays_with_a_true_reason(lines: str, reason: str) -> None:
    rest = "    llm = ChatOpenAI(streaming=True, callbacks=[handler])\n    return llm.invoke(q)\n"
    check_noop(f"{IMPORTS}\n\ndef ask(q):\n    {lines}\n{rest}", reason, rule="CB305")


def test_an_import_that_is_tried_with_others_of_its_family_goes() -> None:
    before = """
        try:
            from langchain_core.callbacks import StreamingStdOutCallbackHandler
            from langchain_openai import ChatOpenAI
        except ImportError:
            raise SystemExit("pip install langchain-openai")

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(q)
        """
    text = rewrite(code(before)).text
    assert "with stream_call(" in text
    assert "StreamingStdOutCallbackHandler" not in text
    assert "try:\n    from langchain_openai import ChatOpenAI\n" in text.replace("    from callbridge import stream_call\n", "")


def test_blank_lines_around_comments_that_stay_count_once() -> None:
    """Comments above a class that goes speak of something else: they stay, with the blank lines of one place."""
    before = """
        import streamlit as st
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(streaming=True)

        # other = ChatOpenAI(
        #     streaming=False,
        # )


        class Shown(BaseCallbackHandler):
            def __init__(self, box):
                self.box = box

            def on_llm_new_token(self, token, **kwargs):
                self.box.write(token)


        def ask(q):
            return model.invoke(q, config={"callbacks": [Shown(st.empty())]})
        """
    text = rewrite(code(before), Options(unsafe=True)).text
    assert "class Shown" not in text
    assert "# )\n\n\ndef ask(q):" in text


def test_a_loop_does_not_begin_with_the_blank_line_of_what_went() -> None:
    before = """
        from queue import Queue
        from threading import Thread
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Filling(BaseCallbackHandler):
            def __init__(self, queue):
                self.queue = queue

            def on_llm_new_token(self, token, **kwargs):
                self.queue.put(token)

            def on_llm_end(self, response, **kwargs):
                self.queue.put(None)

        def answer(q):
            queue = Queue()
            model = ChatOpenAI(streaming=True, callbacks=[Filling(queue)])

            def work():
                model.invoke(q)

            Thread(target=work).start()
            while True:
                token = queue.get()
                if token is None:
                    break

                yield token
        """
    text = rewrite(code(before), Options(unsafe=True)).text
    assert "in stream.text():\n            yield token\n" in text


def test_a_short_argument_on_its_own_line_does_not_stand_like_the_body() -> None:
    before = f"""
        {IMPORTS.splitlines()[0]}
        {IMPORTS.splitlines()[1]}

        def ask(q):
            llm = ChatOpenAI(streaming=True, callbacks=[
                             StreamingStdOutCallbackHandler()], temperature=0)
            return llm.invoke(
                [q, q])
        """
    text = rewrite(code(before)).text
    assert "    with stream_call(llm.invoke, [q, q]) as stream:\n" in text
    assert "ChatOpenAI(streaming=True, temperature=0)" in text


def test_what_follows_the_first_item_takes_its_place_on_the_line_of_the_bracket() -> None:
    before = f"""
        {IMPORTS.splitlines()[0]}
        {IMPORTS.splitlines()[1]}

        def ask(q):
            llm = ChatOpenAI(streaming=True)
            return llm.invoke(q, config={{"callbacks": [StreamingStdOutCallbackHandler()],
                                          "tags": ["a"]}})
        """
    assert 'config={"tags": ["a"]}' in rewrite(code(before)).text


def test_a_line_of_blanks_stays_as_long_as_it_was() -> None:
    before = (
        "import asyncio\nfrom langchain_classic.callbacks import AsyncIteratorCallbackHandler\n"
        "from langchain_openai import ChatOpenAI\n\nasync def ask(q):\n    handler = AsyncIteratorCallbackHandler()\n"
        "    llm = ChatOpenAI(streaming=True, callbacks=[handler])\n    task = asyncio.create_task(llm.ainvoke(q))\n"
        "    async for token in handler.aiter():\n        yield token\n        \n    await task\n    yield 1\n"
    )
    text = rewrite(before).text
    assert "            yield token\n        \n    yield 1\n" in text


def test_a_call_from_the_middle_of_a_statement_is_taken_out_with_its_lines() -> None:
    before = """
        import asyncio
        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_openai import ChatOpenAI

        async def guarded(awaitable, event):
            try:
                await awaitable
            finally:
                event.set()

        async def ask(q):
            handler = AsyncIteratorCallbackHandler()
            llm = ChatOpenAI(streaming=True, callbacks=[handler])
            task = asyncio.create_task(
                guarded(
                    llm.ainvoke(
                        q,
                        stop=["."],  # one sentence
                    ),
                    handler.done,
                )
            )
            async for token in handler.aiter():
                yield token
            await task
        """
    text = rewrite(code(before), Options(unsafe=True)).text
    assert '(partial(\n        llm.ainvoke,\n        q,\n        stop=["."],  # one sentence\n    )) as stream:\n' in text
