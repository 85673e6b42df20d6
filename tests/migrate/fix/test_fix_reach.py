"""Calls in larger statements, in coroutines, and of variables that are assigned several times."""

from __future__ import annotations

import asyncio

import pytest
from fixing import ask, both, check_noop, check_rewritten, code

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

HEAD = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        llm = FakeChatModel(streaming=True, responses=["tea", "milk"], callbacks=[StreamingStdOutCallbackHandler()])
"""

LOOP = """stream_call(llm.invoke, x) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)"""


@pytest.mark.parametrize(
    "statement",
    [
        "said.append(llm.invoke(x).content)",
        "said += [x, llm.invoke(x).content]",
        "return {'question': x, 'answer': llm.invoke(x).content}",
        "return dict(question=x, answer=llm.invoke(x).content), said",
        "return f'{llm.invoke(x).content}!'",
        "return x if llm.invoke(x).content else ''",
        "return 'tea' in llm.invoke(x).content",
        "if llm.invoke(x).content == 'tea':\n                return 'tea'",
        "for letter in llm.invoke(x).content:\n                said.append(letter)",
        "return llm.invoke(x).content.endswith('a') and x",
        "print('answer:', llm.invoke(x).content)",
        "box.text = llm.invoke(x).content\n            return box.text",
        "return [*llm.invoke(x).content, x][box.index]",
    ],
)
def test_a_call_inside_a_statement_is_made_before_it(statement: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"""{HEAD}
        class Box:
            def __init__(self):
                self.text, self.index = "", 0

        box = Box()

        def ask(x):
            said = [0]
            {statement}
            return said
        """
    shown = []
    for function in both(text):
        shown.append((function("q"), function("r"), capsys.readouterr().out))
    assert shown[0] == shown[1]
    assert "tea" in shown[0][2]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("return f(g(x), llm.invoke(x))", "larger expression"),
        ("return f'{said}' + llm.invoke(x).content", "larger expression"),
        ("return x and llm.invoke(x)", "may skip or repeat it"),
        ("return [llm.invoke(each) for each in x]", "may skip or repeat it"),
        ("return llm.invoke(x) if x else 0", "may skip or repeat it"),
        ("return f(state.count, llm.invoke(x))", "larger expression"),
        ("return f(items['a'], llm.invoke(x))", "larger expression"),
        ("return f(total, llm.invoke(x))", "larger expression"),
        ("while llm.invoke(x): pass", "a statement's header"),
        ("if x:\n                pass\n            elif llm.invoke(x):\n                pass", "a statement's header"),
    ],
)
def test_a_call_stays_if_what_is_computed_before_it_may_change(statement: str, reason: str) -> None:
    check_noop(
        f"""{HEAD}
        total = 0
        def tool(x):
            global total
            state.count = total = items["a"] = 1

        def ask(x):
            said = []
            {statement}
        """,
        reason,
        rule="CB305",
    )


def test_a_call_in_a_dict_reads_as_if_somebody_had_written_it() -> None:
    check_rewritten(
        f"""{HEAD}
        def ask(x):
            # what the page shows
            return {{"question": x, "answer": llm.invoke(x).content}}  # and no more
        """,
        f"""
        from callbridge import stream_call
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        llm = FakeChatModel(streaming=True, responses=["tea", "milk"])

        def ask(x):
            # what the page shows
            with {LOOP}
            return {{"question": x, "answer": stream.result.content}}  # and no more
        """,
    )


def test_a_variable_that_is_assigned_again_is_followed_to_where_each_value_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        def ask(x):
            handler = StreamingStdOutCallbackHandler()
            llm = FakeChatModel(streaming=True, callbacks=[handler])
            chain = PromptTemplate.from_template("{x}") | llm
            first = chain.invoke(x).content
            chain = chain.with_config(tags=["again"])
            second = chain.invoke(x).content
            llm = FakeChatModel(responses=["quiet"])
            chain = PromptTemplate.from_template("{x}!") | llm
            return first, second, chain.invoke(x).content
    """
    before, after = both(text)
    assert before({"x": 1}) == after({"x": 1}) == ("tea", "tea", "quiet")
    assert capsys.readouterr().out == "tea" * 4


@pytest.mark.parametrize("kind", ["loud", "soft"])
def test_one_of_several_models_that_have_the_handler_is_wrapped(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel

        def ask(kind):
            callbacks = [StreamingStdOutCallbackHandler()]
            if kind == "loud":
                llm = FakeChatModel(streaming=True, responses=["LOUD"], callbacks=callbacks)
            else:
                llm = FakeChatModel(streaming=True, responses=["soft"], callbacks=callbacks)
            return llm.invoke("x").content
    """
    results = [function(kind) for function in both(text)]
    assert [each.lower() for each in results] == [kind, kind]
    assert capsys.readouterr().out == results[0] * 2


def test_one_of_several_models_without_the_handler_keeps_its_call() -> None:
    check_noop(
        f"""{HEAD}
        def ask(quiet, x):
            chat = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            if quiet:
                chat = FakeChatModel()
            return chat.invoke(x)
        """,
        "the call may run another model",
        rule="CB305",
    )


def test_a_variable_that_a_loop_makes_of_itself_is_not_followed_for_ever() -> None:
    text = f"""{HEAD}
        chain = llm
        for part in range(2):
            chain = chain | (lambda message: message)
        chain.invoke("x")
        """
    assert rewrite(code(text), Options()).text == code(text)
    assert "stream_call(chain.invoke" in rewrite(code(text), Options(unsafe=True)).text


def test_a_call_that_blocks_the_loop_is_made_in_a_thread_with_unsafe(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"""{HEAD}
        async def ask(x):
            return {{"answer": llm.invoke(x).content}}
        """
    check_noop(text, "the call blocked the event loop", rule="CB305", unsafe=False)
    check_rewritten(
        text,
        f"""
        from callbridge import astream_call
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        llm = FakeChatModel(streaming=True, responses=["tea", "milk"])

        async def ask(x):
            async with a{LOOP.replace("for token", "async for token")}
            return {{"answer": stream.result.content}}
        """,
        unsafe=True,
    )
    before, after = both(text, unsafe=True)
    assert asyncio.run(before("x")) == asyncio.run(after("x")) == {"answer": "tea"}
    assert capsys.readouterr().out == "teatea"


def test_models_and_chains_are_followed_through_functions_and_classes_that_are_given_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = """
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        def build(model, text="{x}?"):
            return PromptTemplate.from_template(text) | model

        def run(chain, x):
            return chain.invoke({"x": x}).content

        class Bot:
            def __init__(self, llm, *, name):
                self.llm = llm
                self.name = name

            def talk(self, x):
                return self.name, self.llm.invoke(x).content

        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            chain = build(llm)
            return run(chain, x), run(chain, "y"), Bot(llm, name="b").talk(x)
    """
    check_noop(text, "an object holds the model", rule="CB305", unsafe=False, foreign="ask")
    before, after = both(text, unsafe=True)
    assert before("q") == after("q") == ("tea", "tea", ("b", "tea"))
    assert capsys.readouterr().out == "tea" * 6


@pytest.mark.parametrize(
    "other",
    [
        "run(FakeChatModel(), 'x')",
        "list(map(run, [1], [2]))",
        "run(*[1, 2])",
        "def other(x):\n            run = 3",
    ],
)
def test_a_function_that_may_be_given_another_model_keeps_its_call(other: str) -> None:
    check_noop(
        f"""{HEAD}
        def run(model, x):
            return model.invoke(x)

        run(llm, "x")
        {other}
        """,
        "passed to run()",
        rule="CB305",
    )


def test_a_factory_that_is_given_the_handler_takes_it_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel


        def make(
            name,
            handler: BaseCallbackHandler,
        ):
            return FakeChatModel(responses=[name], streaming=True, callbacks=[handler])


        def also(name, *, callbacks=None):
            return FakeChatModel(responses=[name], streaming=True, callbacks=callbacks)


        def ask(x):
            first = make(x, StreamingStdOutCallbackHandler()).invoke(x)
            handler = StreamingStdOutCallbackHandler()
            return first.content + also(x, callbacks=[handler]).invoke(x).content
    """
    check_rewritten(
        text,
        """
        from callbridge import stream_call
        from langchain_fakes import FakeChatModel


        def make(
            name,
        ):
            return FakeChatModel(responses=[name], streaming=True)


        def also(name):
            return FakeChatModel(responses=[name], streaming=True)


        def ask(x):
            with stream_call(make(x).invoke, x) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            first = stream.result
            with stream_call(also(x).invoke, x) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            return first.content + stream.result.content
        """,
    )
    before, after = both(text)
    assert before("ab") == after("ab") == "abab"
    assert capsys.readouterr().out == "abababab"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ('def make(handler):\n            """Attach handler."""\n            MADE', "a docstring mentions the parameter"),
        ("def make(\n            handler,  # prints\n        ):\n            MADE", "have comments: remove"),
        ("def make(handler):\n            print(handler)\n            MADE", "reads it 2 times"),
        ("@cache\n        def make(handler):\n            MADE", "for something other than a list of `callbacks`"),
        (
            "def make(handler):\n            handler = handler\n            MADE",
            "for something other than a list of `callbacks`",
        ),
    ],
)
def test_a_factory_that_does_more_with_the_handler_keeps_it(function: str, reason: str) -> None:
    made = "return FakeChatModel(streaming=True, callbacks=[handler])"
    check_noop(
        f"""
        from functools import cache
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel

        {function.replace("MADE", made)}

        make(StreamingStdOutCallbackHandler()).invoke("x")
        """,
        reason,
        rule="CB305",
        unsafe=False,
    )


def test_an_iterator_that_goes_through_a_factory_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        import asyncio

        from langchain_classic.callbacks import AsyncIteratorCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel


        def chain_for(callback: AsyncIteratorCallbackHandler):
            return PromptTemplate.from_template("{x}") | FakeChatModel(streaming=True, callbacks=[callback])


        async def ask(x):
            shown = []
            callback = AsyncIteratorCallbackHandler()
            chain = chain_for(callback)
            task = asyncio.create_task(chain.ainvoke({"x": x}))
            try:
                async for token in callback.aiter():
                    shown.append(token)
            finally:
                callback.done.set()
            return shown, (await task).content
    """
    pytest.importorskip("langchain_classic")
    rewritten = rewrite(code(text), Options(unsafe=True)).text
    assert "def chain_for():" in rewritten
    assert "chain = chain_for()" in rewritten
    before, after = both(text, unsafe=True)
    assert asyncio.run(before("q")) == asyncio.run(after("q")) == (["t", "e", "a"], "tea")


@pytest.mark.parametrize(
    ("choice", "condition"),
    [
        ("[StreamingStdOutCallbackHandler()] if loud else []", "if loud:"),
        ("None if quiet else [StreamingStdOutCallbackHandler()]", "if not quiet:"),
        ("[] if not loud else [StreamingStdOutCallbackHandler()]", "if loud:"),
        ("[] if quiet or not loud else [StreamingStdOutCallbackHandler()]", "if not (quiet or not loud):"),
        ("CallbackManager([StreamingStdOutCallbackHandler()] if loud else [])", "if loud:"),
    ],
)
def test_a_handler_that_a_condition_attaches_prints_on_that_condition(
    choice: str, condition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"""
        from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel

        def ask(loud, quiet):
            llm = FakeChatModel(streaming=True, callbacks={choice})
            return llm.invoke("x").content
    """
    rewritten = rewrite(code(text), Options()).text
    assert f"                {condition}\n".removeprefix("    ") in rewritten
    before, after = ask(code(text)), ask(rewritten)
    for loud in (True, False):
        assert before(loud, not loud) == after(loud, not loud) == "tea"
    assert capsys.readouterr().out == "teatea"


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("[StreamingStdOutCallbackHandler()] if is_loud() else []", "may change before the call"),
        ("[StreamingStdOutCallbackHandler()] if state.loud else []", "may change before the call"),
        ("[StreamingStdOutCallbackHandler()] if loud else other", "chooses between this handler and others"),
        ("[StreamingStdOutCallbackHandler(), other] if loud else []", "between several handlers and none"),
        ("[StreamingStdOutCallbackHandler()] if changed else []", "may have changed by the time of the call"),
    ],
)
def test_a_handler_that_is_attached_on_what_may_change_stays(choice: str, reason: str) -> None:
    check_noop(
        f"""
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_fakes import FakeChatModel

        def ask(loud, state, other):
            changed = True
            llm = FakeChatModel(streaming=True, callbacks={choice})
            state.loud = changed = False
            return llm.invoke("x").content
        """,
        reason,
        rule="CB305",
    )


ANEW = """
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_fakes import FakeChatModel

        shown = []


        class Show(BaseCallbackHandler):
            def __init__(self, box, text=""):
                self.box = box
                self.text = text

            def on_llm_new_token(self, token, **kwargs):
                self.text += token
                self.box.append(self.text)


        llm = FakeChatModel(streaming=True, callbacks=[Show(shown)])
"""


def test_what_a_handler_at_module_level_keeps_begins_with_each_call_with_unsafe() -> None:
    text = f"""{ANEW}

        def ask(x):
            return llm.invoke(x).content, list(shown)
        """
    check_noop(text, "starts afresh with each call", rule="CB401", unsafe=False)
    check_rewritten(
        text,
        """
        from callbridge import stream_call
        from langchain_fakes import FakeChatModel

        shown = []


        llm = FakeChatModel(streaming=True)


        def ask(x):
            text = ""
            with stream_call(llm.invoke, x) as stream:
                for token in stream.text():
                    text += token
                    shown.append(text)
            return stream.result.content, list(shown)
        """,
        unsafe=True,
    )
    before, after = both(text, unsafe=True)
    assert before("q") == after("q") == ("tea", ["t", "te", "tea"])


def test_what_a_handler_keeps_and_others_read_stays_with_it() -> None:
    check_noop(
        f"""{ANEW.replace("llm =", "handler = Show(shown)" + chr(10) + "        llm =").replace("[Show(shown)]", "[handler]")}

        def ask(x):
            return llm.invoke(x).content + handler.text
        """,
        "that other code reads",
        rule="CB401",
    )


@pytest.mark.filterwarnings("ignore:.*MessageHistory")
def test_a_history_of_messages_runs_no_model() -> None:
    text = f"""
        from langchain_core.chat_history import InMemoryChatMessageHistory
        from langchain_core.runnables import RunnableLambda
        from langchain_core.runnables.history import RunnableWithMessageHistory
        {HEAD}
        store = {{}}

        def history_of(session):
            if session not in store:
                store[session] = InMemoryChatMessageHistory()
            return store[session]

        def ask(x):
            chat = RunnableWithMessageHistory(llm, history_of)
            config = {{"configurable": {{"session_id": "1"}}}}
            return chat.invoke(x, config).content
        """
    before, after = both(text)
    assert before("q") == after("q") == "tea"


def test_a_model_of_a_cached_function_and_of_a_step_in_a_dict_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        from functools import lru_cache
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_core.prompts import PromptTemplate
        from langchain_fakes import FakeChatModel

        @lru_cache(maxsize=None)
        def load():
            return FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

        llm = load()

        def ask(x):
            first = PromptTemplate.from_template("{x}") | llm
            chain = {"text": first} | PromptTemplate.from_template("{text}")
            text = chain.invoke({"x": x}).text
            return text, load().invoke(x).content
    """
    before, after = both(text)
    assert before("q")[1] == after("q")[1] == "tea"
    assert capsys.readouterr().out == "tea" * 4
