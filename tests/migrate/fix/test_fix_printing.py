"""CB305, CB306: handlers that print become a loop over the text of the call."""

from __future__ import annotations

import pytest
from fixing import check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

PRINT = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI
"""


def test_a_script_that_prints_reads_the_text() -> None:
    check_rewritten(
        f"""{PRINT}
        token = 1
        callbacks = [StreamingStdOutCallbackHandler()]
        chat = ChatOpenAI(callbacks=callbacks, streaming=True)
        chat.invoke("tea")  # printed
        print(chat.invoke("milk").content)  # alone
        """,
        """
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        token = 1
        chat = ChatOpenAI(streaming=True)
        # printed
        with stream_call(chat.invoke, "tea") as stream:
            for piece in stream.text():
                print(piece, end="", flush=True)
        with stream_call(chat.invoke, "milk") as stream:
            for piece in stream.text():
                print(piece, end="", flush=True)
        print(stream.result.content)  # alone
        """,
    )


def test_arguments_stay_where_they_are_computed_and_as_they_are_written() -> None:
    check_rewritten(
        f"""{PRINT}
        def main(self, *history):
            chat = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()], streaming=True)
            chat.invoke(  # the first one
                self.messages(),  # all of them
                stop=["."],
            )
            chat.invoke(each for each in history)
            return chat.invoke(y := history[0]).content
        """,
        """
        from functools import partial

        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        def main(self, *history):
            chat = ChatOpenAI(streaming=True)
            with stream_call(partial(  # the first one
                chat.invoke,
                self.messages(),  # all of them
                stop=["."],
            )) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            with stream_call(chat.invoke, (each for each in history)) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            with stream_call(chat.invoke, y := history[0]) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return stream.result.content
        """,
    )


@pytest.mark.parametrize(
    "agent",
    ["from langchain.agents import create_agent as agent_of", "from langgraph.prebuilt import create_react_agent as agent_of"],
)
def test_an_agent_of_langchain_or_langgraph_runs_the_model_that_it_is_made_of(agent: str) -> None:
    """With tools, which may run models of their own, reading its text takes `--unsafe`; without it does not."""
    before = f"""{PRINT}
        {agent}

        def ask(question):
            model = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()], streaming=True)
            agent = agent_of(model, TOOLS)
            return agent.invoke(question)
        """
    assert "with stream_call(agent.invoke, question)" in rewrite(code(before.replace("TOOLS", "[]"))).text
    check_noop(before.replace("TOOLS", "[search]"), "the loop reads the text of all of them", rule="CB305", unsafe=False)


def test_a_coroutine_that_prints_reads_the_text() -> None:
    check_rewritten(
        f"""{PRINT}
        async def main(x):
            handler = StreamingStdOutCallbackHandler()
            chat = ChatOpenAI(callbacks=[handler], streaming=True)
            answer: str = (await chat.ainvoke(x)).content
            return answer
        """,
        """
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        async def main(x):
            chat = ChatOpenAI(streaming=True)
            async with astream_call(chat.ainvoke, x) as stream:
                async for token in stream.text():
                    print(token, end="", flush=True)
            answer: str = stream.result.content
            return answer
        """,
    )


def test_level_two_reads_the_events_of_a_runnable_whose_result_nobody_wants() -> None:
    check_rewritten(
        f"""{PRINT}
        def main(x):
            chat = ChatOpenAI(streaming=True, cache=False, callbacks=[StreamingStdOutCallbackHandler()])
            chat.invoke(x)
            return chat.invoke(x)
        """,
        """
        from callbridge import stream_call, stream_events
        from langchain_openai import ChatOpenAI

        def main(x):
            chat = ChatOpenAI(streaming=True, cache=False)
            with stream_events(chat, x) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            with stream_call(chat.invoke, x) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return stream.result
        """,
        level=2,
    )


@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])", "chat.invoke(x)"),
        ("ChatOpenAI(temperature=0)", 'chat.invoke(x, config={"callbacks": [StreamingStdOutCallbackHandler()]})'),
    ],
)
def test_a_model_that_did_not_stream_prints_only_with_unsafe(model: str, call: str) -> None:
    """Nothing was printed: whether it is to be is for a person to say."""
    before = f"""{PRINT}
        def main(x):
            chat = {model}
            return {call}
        """
    check_noop(before, "ChatOpenAI has no `streaming=True`: nothing was printed before", rule="CB305", unsafe=False)
    assert rewrite(code(before), Options(unsafe=True)).changes
    for streams in ("ChatOpenAI(streaming=True, ", "ChatOpenAI(stream=1, ", "ChatOllama("):
        text = code(before.replace("ChatOpenAI(", streams).replace("import ChatOpenAI", "import ChatOpenAI, ChatOllama"))
        assert rewrite(text).changes, text


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("return chat", "no call that runs the ChatOpenAI"),
        ("self.chat = chat", "stored in self.chat, and `fix` cannot follow that to its runs"),
        ("use(chat)", "passed to use(), and `fix` cannot follow it there"),
        ("yield chat", "wrap the call that runs it with `stream_call`"),
        ("return chat.stream(x)", "stream() returns a stream"),
        ("return f(g(), chat.invoke(x))", "larger expression"),
        ("return x and chat.invoke(x)", "larger expression"),
        ("return [chat.invoke(each) for each in x]", "larger expression"),
        ("while chat.invoke(x): pass", "a statement's header"),
        ("pass", "no call that runs the ChatOpenAI"),
        ("a = 1; chat.invoke(x)", "shares its line"),
        ("stream_call = 1; chat.invoke(x)", "shares its line"),
    ],
)
def test_prints_that_cannot_be_followed_stay(lines: str, reason: str) -> None:
    check_noop(
        f"""{PRINT}
        def main(self, x):
            chat = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])
            {lines}
        """,
        reason,
        rule="CB305",
    )


def test_a_run_that_is_read_already_is_not_wrapped_again() -> None:
    check_noop(
        f"""{PRINT}
        from callbridge import stream_call

        def main(x):
            chat = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            with stream_call(chat.invoke, x) as stream:
                return list(stream.text())
        """,
        "the code already streams this run",
        rule="CB305",
    )


def test_a_name_of_ours_that_means_something_else_is_left_alone() -> None:
    check_noop(
        f"""{PRINT}
        def stream_call(): ...
        ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()]).invoke(1)
        """,
        "this file uses the name stream_call for something else",
        rule="CB305",
    )
    check_noop(
        f"""{PRINT}
        def main(partial):
            ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()]).invoke(1, stop=partial)
        """,
        "this file uses the name partial",
        rule="CB305",
    )
    check_noop(
        f"""{PRINT}
        async def main(x):
            ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()]).invoke(x)
        """,
        "the call blocked the event loop",
        rule="CB305",
        unsafe=False,
    )


def test_a_printing_handler_of_ones_own_becomes_the_body_of_the_loop() -> None:
    check_rewritten(
        """
        import sys
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Printer(BaseCallbackHandler):
            \"\"\"Prints.\"\"\"

            def on_llm_new_token(self, text: str, **kwargs) -> None:
                sys.stdout.write(
                    text,  # as it is
                )
                sys.stdout.flush()

        def main(x):
            chat = ChatOpenAI(callbacks=[Printer()], streaming=True)
            return chat.invoke(x)
        """,
        """
        import sys
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        def main(x):
            chat = ChatOpenAI(streaming=True)
            with stream_call(chat.invoke, x) as stream:
                for text in stream.text():
                    sys.stdout.write(
                        text,  # as it is
                    )
                    sys.stdout.flush()
            return stream.result
        """,
    )


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (
            "def on_llm_new_token(self, token, **kwargs):\n                self.text += token\n",
            "does not show where self.text comes from",
        ),
        ("def on_llm_new_token(self, token, **kwargs):\n                print(kwargs, token)\n", "reads kwargs"),
        ("def on_llm_new_token(self, token, **kwargs): print(token)\n", "on one line with its header"),
        (
            "def on_llm_new_token(self, token, **kwargs):\n                print(token)\n"
            "            def on_tool_end(self, output, **kwargs):\n                print(output)\n",
            "it also has on_tool_end",
        ),
        (
            "def on_llm_new_token(self, token, **kwargs):\n                self.show(token)\n",
            "does not show where self.show comes from",
        ),
        ("def on_llm_new_token(self, token, **kwargs):\n                return print(token)\n", "has a `return`"),
    ],
)
def test_handlers_whose_statements_have_no_place_in_a_loop_stay(hook: str, reason: str) -> None:
    check_noop(
        f"""
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Printer(BaseCallbackHandler):
            {hook}
        def main(x):
            return ChatOpenAI(callbacks=[Printer()]).invoke(x)
        """,
        reason,
    )
