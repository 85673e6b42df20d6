"""CB305, CB307: a call runs one model or another, and each has an equal handler of its own."""

from __future__ import annotations

import pytest
from fixing import ask, check_noop, check_rewritten, code
from test_fix_inlining import Box

from callbridge.migrate.edits.rewriting import Options, rewrite

pytest.importorskip("libcst")

SHOW = """
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_fakes import FakeChatModel

    class Show(BaseCallbackHandler):
        def __init__(self, box):
            self.box = box
            self.text = ""

        def on_llm_new_token(self, token, **kwargs):
            self.text += token
            self.box.markdown(self.text)
"""


@pytest.mark.parametrize("kind", ["loud", "soft"])
def test_each_model_of_a_switch_has_the_handler(kind: str) -> None:
    before = code(f"""{SHOW}
    def ask(box, kind):
        if kind == "loud":
            llm = FakeChatModel(streaming=True, responses=["LOUD"], callbacks=[Show(box)])
        else:
            llm = FakeChatModel(streaming=True, responses=["soft"], callbacks=[Show(box)])
        return llm.invoke("x").content
    """)
    rewritten = rewrite(before, Options())
    assert rewritten.text == code("""
    from callbridge import stream_call
    from langchain_fakes import FakeChatModel

    def ask(box, kind):
        if kind == "loud":
            llm = FakeChatModel(streaming=True, responses=["LOUD"])
        else:
            llm = FakeChatModel(streaming=True, responses=["soft"])
        text = ""
        with stream_call(llm.invoke, "x") as stream:
            for token in stream.text():
                text += token
                box.markdown(text)
        return stream.result.content
    """)
    boxes = Box(), Box()
    assert [ask(text)(box, kind).lower() for text, box in zip((before, rewritten.text), boxes, strict=True)] == [kind, kind]
    assert boxes[0].shown == boxes[1].shown
    assert boxes[0].shown


def test_models_of_a_conditional_expression_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    before = code("""
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_fakes import FakeChatModel

    def ask(loud):
        one = FakeChatModel(streaming=True, responses=["LOUD"], callbacks=[StreamingStdOutCallbackHandler()])
        two = FakeChatModel(streaming=True, responses=["soft"], callbacks=[StreamingStdOutCallbackHandler()])
        llm = one if loud else two
        return llm.invoke("x").content
    """)
    rewritten = rewrite(before, Options())
    assert "CallbackHandler" not in rewritten.text
    assert [ask(text)(loud) for text in (before, rewritten.text) for loud in (True, False)] == ["LOUD", "soft"] * 2
    assert capsys.readouterr().out == "LOUDsoft" * 2


@pytest.mark.parametrize("test", ["self.llm is None", "not self.llm", "None == self.llm"])
def test_a_model_that_an_object_makes_when_it_is_first_asked_is_followed(test: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = code(f"""
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_fakes import FakeChatModel

    class Bot:
        def __init__(self):
            self.llm = None

        def answer(self, x):
            if {test}:
                self.llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return self.llm.invoke(x).content

    def ask(x):
        return Bot().answer(x)
    """)
    rewritten = rewrite(before, Options())
    assert "CallbackHandler" not in rewritten.text
    assert [ask(text)("x") for text in (before, rewritten.text)] == ["tea", "tea"]
    assert capsys.readouterr().out == "tea" * 2


def test_every_model_of_one_call_prints(capsys: pytest.CaptureFixture[str]) -> None:
    before = code("""
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_core.prompts import PromptTemplate
    from langchain_fakes import FakeChatModel

    first = FakeChatModel(streaming=True, responses=["one "], callbacks=[StreamingStdOutCallbackHandler()])

    def ask(x):
        second = FakeChatModel(streaming=True, responses=["two"], callbacks=[StreamingStdOutCallbackHandler()])
        chain = {"x": first} | PromptTemplate.from_template("{x}") | second
        return chain.invoke(x).content
    """)
    rewritten = rewrite(before, Options())
    assert rewritten.text.count("stream_call(") == 1
    assert "CallbackHandler" not in rewritten.text
    assert [ask(text)("x") for text in (before, rewritten.text)] == ["two", "two"]
    assert capsys.readouterr().out == "one two" * 2


def test_handlers_of_models_that_run_one_after_the_other_keep_their_texts_apart() -> None:
    check_noop(
        f"""{SHOW}
    from langchain_core.prompts import PromptTemplate

    def ask(box, x):
        first = FakeChatModel(streaming=True, callbacks=[Show(box)])
        second = FakeChatModel(streaming=True, callbacks=[Show(box)])
        chain = {{"x": first}} | PromptTemplate.from_template("{{x}}") | second
        return chain.invoke(x)
    """,
        "each handler keeps a text of its own",
    )


@pytest.mark.parametrize("other", ["callbacks=[Show(other)]", "callbacks=[]"])
def test_handlers_that_differ_stay(other: str) -> None:
    check_noop(
        f"""{SHOW}
    def ask(box, other, x):
        if x:
            llm = FakeChatModel(streaming=True, callbacks=[Show(box)])
        else:
            llm = FakeChatModel(streaming=True, {other})
        return llm.invoke(x)
    """,
        "the call may run another model, the FakeChatModel of line",
    )


@pytest.mark.parametrize("keeps", ["self.text", "token"])
def test_the_same_name_of_another_value_is_another_handler(keeps: str) -> None:
    show = SHOW.replace("            self.text += token\n", "") if keeps == "token" else SHOW
    check_noop(
        f"""{show.replace("markdown(self.text)", f"markdown({keeps})")}
    def ask(box, x):
        if x:
            llm = FakeChatModel(streaming=True, callbacks=[Show(box)])
        else:
            box = box.other
            llm = FakeChatModel(streaming=True, callbacks=[Show(box)])
        return llm.invoke(x)
    """,
        "its arguments may be different at the call",
    )


def test_places_in_a_page_that_the_handlers_make_are_made_once_with_unsafe() -> None:
    before = """
    import streamlit as st
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_openai import ChatOpenAI

    class Show(BaseCallbackHandler):
        def __init__(self):
            self.box = st.empty()
            self.text = ""

        def on_llm_new_token(self, token, **kwargs):
            self.text += token
            self.box.markdown(self.text)

    def main(loud):
        if loud:
            llm = ChatOpenAI(streaming=True, temperature=1, callbacks=[Show()])
        else:
            llm = ChatOpenAI(streaming=True, temperature=0, callbacks=[Show()])
        llm.invoke("x")
    """
    check_noop(before, "what making the handler does was done for each model", unsafe=False)
    assert "            box = st.empty()\n" not in rewrite(code(before), Options(unsafe=True)).text
    assert "    box = st.empty()\n" in rewrite(code(before), Options(unsafe=True)).text


def test_a_handler_that_is_equal_but_belongs_to_another_call_is_another_one() -> None:
    check_rewritten(
        """
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_openai import ChatOpenAI

    def ask(x):
        return ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()]).invoke(x)

    def keep():
        return [StreamingStdOutCallbackHandler()]
    """,
        """
    from callbridge import stream_call
    from langchain_core.callbacks import StreamingStdOutCallbackHandler
    from langchain_openai import ChatOpenAI

    def ask(x):
        with stream_call(ChatOpenAI(streaming=True).invoke, x) as stream:
            for token in stream.text():
                print(token, end="", flush=True)
        return stream.result

    def keep():
        return [StreamingStdOutCallbackHandler()]
    """,
        unsafe=True,
    )
