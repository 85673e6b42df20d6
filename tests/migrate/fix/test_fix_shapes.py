"""How programs of today keep a handler, its list, its config and its model on the way to the call."""

from __future__ import annotations

import pytest
from fixing import both, check_noop, check_rewritten

pytest.importorskip("libcst")

HEAD = """
        from typing import Any, List

        from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import PromptTemplate
        from langchain_core.runnables import RunnableConfig, RunnableLambda
        from langchain_fakes import FakeChatModel

        prompt = PromptTemplate.from_template("{q}")

"""


def check_same(text: str, capsys: pytest.CaptureFixture[str], *, unsafe: bool = False) -> None:
    """What is printed and returned is the same before and after, for two calls in a row."""
    shown = []
    for function in both(HEAD + text, unsafe=unsafe):
        shown.append((function("q"), function("r"), capsys.readouterr().out))
    assert shown[0] == shown[1]
    assert shown[0][2]


# -- annotations


@pytest.mark.parametrize(
    "text",
    [
        """
        def ask(x: str) -> str:
            handlers: List[BaseCallbackHandler] = [StreamingStdOutCallbackHandler()]
            llm: FakeChatModel = FakeChatModel(streaming=True, callbacks=handlers)
            answer: str = llm.invoke(x).content
            return answer
        """,
        """
        handler: BaseCallbackHandler = StreamingStdOutCallbackHandler()
        llm: FakeChatModel = FakeChatModel(streaming=True)

        def ask(x: str) -> str:
            config: RunnableConfig = {"callbacks": [handler]}
            return llm.invoke(x, config=config).content
        """,
    ],
)
def test_a_variable_with_an_annotation_is_followed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_same(text, capsys)


def test_what_only_an_annotation_named_goes_with_its_variable() -> None:
    check_rewritten(
        """
        from typing import List

        from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        handlers: List[BaseCallbackHandler] = [StreamingStdOutCallbackHandler()]
        llm: ChatOpenAI = ChatOpenAI(streaming=True, callbacks=handlers)
        answer: str = llm.invoke("x").content
        """,
        """
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        llm: ChatOpenAI = ChatOpenAI(streaming=True)
        with stream_call(llm.invoke, "x") as stream:
            for token in stream.text():
                print(token, end="", flush=True)
        answer: str = stream.result.content
        """,
    )


def test_an_annotation_alone_assigns_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    check_same(
        """
        def ask(x):
            llm: FakeChatModel
            llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return llm.invoke(x).content
        """,
        capsys,
    )


# -- handlers that do something when a model starts and ends

UPPER = """
        import json

        from langchain_core.output_parsers import BaseOutputParser

        class Upper(BaseOutputParser[str]):
            def parse(self, text):
                return json.dumps(text.upper())

"""

SHOW = f"""{UPPER}
        class Show(BaseCallbackHandler):
            message = ""

            def on_llm_start(self, *args, **kwargs):
                self.parts = []

            def on_llm_end(self, *args, **kwargs):
                print("[", self.message, len(self.parts), "]")

            def on_llm_new_token(self, token, *args, **kwargs):
                self.message += token
                self.parts += token

        def shortened(text):
            return text.strip()

"""


@pytest.mark.parametrize("pipe", ["prompt | llm | StrOutputParser()", '{"q": RunnableLambda(shortened)} | prompt | llm'])
def test_what_is_done_around_the_one_model_of_a_pipe_is_done_around_the_call(
    pipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"""
        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[Show()])
            if x:
                chain = {pipe}
                return str(chain.invoke(x))[:3]
        """
    if pipe.startswith("prompt"):
        text = text.replace("chain.invoke(x)", 'chain.invoke({"q": x})')
    check_same(SHOW + text, capsys)


def test_a_parser_of_the_file_that_only_handles_text_runs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    check_same(
        UPPER
        + """
        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            return (llm | Upper()).invoke(x)
        """,
        capsys,
    )


@pytest.mark.parametrize(
    ("pipe", "reason"),
    [
        ("prompt | llm | Upper()", "acts once for the call now"),
        ("prompt | llm.with_retry()", "acts once for the call now"),
        ("{'q': lambda _: st.session_state['q']} | prompt | llm", "does not show which models the call runs"),
    ],
)
def test_what_may_run_the_model_again_or_fail_after_it_takes_a_review(pipe: str, reason: str) -> None:
    check_noop(
        HEAD
        + SHOW
        + f"""
        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[Show()])
            if x:
                chain = {pipe}
                return chain.invoke(x)
        """,
        reason,
        unsafe=False,
    )


def test_what_is_kept_between_tokens_goes_on_in_a_loop_of_calls() -> None:
    check_noop(
        HEAD
        + SHOW
        + """
        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[Show()])
            for each in x:
                llm.invoke(each)
        """,
        "starts afresh with each call",
        unsafe=False,
    )


# -- lists and configs that are put together


@pytest.mark.parametrize(
    "text",
    [
        """
        def ask(x):
            callbacks = []
            callbacks.append(StreamingStdOutCallbackHandler())
            llm = FakeChatModel(streaming=True, callbacks=callbacks)
            return llm.invoke(x).content
        """,
        """
        def ask(x, loud=True):
            callbacks = []
            if loud:
                callbacks.append(StreamingStdOutCallbackHandler())
            llm = FakeChatModel(streaming=True, callbacks=callbacks or None)
            return llm.invoke(x).content
        """,
        """
        def ask(x):
            callbacks: list = []
            handler = StreamingStdOutCallbackHandler()
            callbacks.extend([handler])
            llm = FakeChatModel(streaming=True)
            return llm.invoke(x, config={"callbacks": callbacks}).content
        """,
        """
        def ask(x):
            callbacks = []
            callbacks.extend([StreamingStdOutCallbackHandler()])
            llm = FakeChatModel(streaming=True)
            return llm.invoke(x, RunnableConfig(callbacks=callbacks, tags=["a"])).content
        """,
        """
        llm = FakeChatModel(streaming=True)

        def ask(x):
            config = {"tags": ["a"]}
            return llm.invoke(x, {**config, "callbacks": [StreamingStdOutCallbackHandler()]}).content
        """,
        """
        llm = FakeChatModel(streaming=True)

        def ask(x):
            loud = llm.with_config(callbacks=[StreamingStdOutCallbackHandler()])
            return loud.invoke(x).content
        """,
        """
        llm = FakeChatModel(streaming=True)
        chain = (prompt | llm).with_config({"callbacks": [StreamingStdOutCallbackHandler()], "tags": ["a"]})

        def ask(x):
            return chain.invoke({"q": x}).content
        """,
        """
        llm = FakeChatModel(streaming=True)
        chain = prompt | llm.with_config(callbacks=[StreamingStdOutCallbackHandler()]) | StrOutputParser()

        def ask(x):
            return chain.invoke({"q": x})
        """,
    ],
)
def test_a_list_or_config_that_is_put_together_is_followed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_same(text, capsys)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            """
        def ask(x, callbacks):
            callbacks.append(StreamingStdOutCallbackHandler())
            return FakeChatModel(streaming=True, callbacks=callbacks).invoke(x)
        """,
            "adds the handler to callbacks",
        ),
        (
            """
        def ask(x):
            callbacks = []
            llm = FakeChatModel(streaming=True, callbacks=callbacks)
            callbacks.append(StreamingStdOutCallbackHandler())
            return llm.invoke(x)
        """,
            "may read callbacks before it adds the handler",
        ),
        (
            """
        def ask(x):
            callbacks = []
            for each in x:
                callbacks.append(StreamingStdOutCallbackHandler())
            return FakeChatModel(streaming=True, callbacks=callbacks).invoke(x)
        """,
            "adds the handler to callbacks",
        ),
        (
            """
        other = FakeChatModel(streaming=True)
        chain = other | FakeChatModel(streaming=True).with_config(callbacks=[StreamingStdOutCallbackHandler()])

        def ask(x):
            return chain.invoke(x)
        """,
            "the call may run another model",
        ),
    ],
)
def test_a_list_or_config_that_may_hold_something_else_says_so(text: str, reason: str) -> None:
    check_noop(HEAD + text, reason, rule="CB305")


def test_a_list_that_a_handler_was_added_to_reads_as_if_it_had_not_been(capsys: pytest.CaptureFixture[str]) -> None:
    check_rewritten(
        """
        from langchain_core.callbacks import StdOutCallbackHandler, StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        def ask(x, loud):
            callbacks = [Cost()]
            if loud:
                callbacks.append(StreamingStdOutCallbackHandler())
            llm = ChatOpenAI(streaming=True)
            config = {**CONFIG, "callbacks": callbacks}
            return llm.invoke(x, config)
        """,
        """
        from callbridge import stream_call
        from langchain_core.callbacks import StdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        def ask(x, loud):
            callbacks = [Cost()]
            llm = ChatOpenAI(streaming=True)
            config = {**CONFIG, "callbacks": callbacks}
            with stream_call(llm.invoke, x, config) as stream:
                for token in stream.text():
                    if loud:
                        print(token, end="", flush=True)
            return stream.result
        """,
        unsafe=True,
    )


# -- where the model is kept

OBJECTS = """
        def ask(x):
            return Bot().ask(x)
"""


@pytest.mark.parametrize(
    "text",
    [
        """
        class Bot:
            def __init__(self):
                self.llm = None
                self.llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            def ask(self, x):
                return self.llm.invoke(x).content
        """,
        """
        class Bot:
            def _llm(self) -> FakeChatModel:
                return FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            def ask(self, x):
                chain = prompt | self._llm()
                return chain.invoke({"q": x}).content
        """,
        """
        class Bot:
            @property
            def llm(self):
                return FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            @property
            def chain(self):
                return prompt | self.llm

            def ask(self, x):
                return self.chain.invoke({"q": x}).content
        """,
        """
        class Bot:
            llm = FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            def ask(self, x):
                return self.llm.invoke(x).content
        """,
        """
        class Other:
            def __init__(self):
                self.llm = "another"

        class Bot:
            def __init__(self):
                self.llm = self._make()
                self.chain = self._chain()

            def _make(self):
                return FakeChatModel(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])

            def _chain(self):
                return prompt | self.llm | StrOutputParser()

            def ask(self, x):
                return self.chain.invoke({"q": x})
        """,
    ],
)
def test_a_model_that_an_object_keeps_or_makes_is_followed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_same(text + OBJECTS, capsys)
    check_noop(HEAD + text + OBJECTS, "an object holds the model", rule="CB305", unsafe=False, foreign="Bot")


def test_a_model_in_the_session_of_a_page_is_followed() -> None:
    check_rewritten(
        """
        import chainlit as cl
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        @cl.on_chat_start
        async def start():
            model = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
            cl.user_session.set("chain", PROMPT | model)

        @cl.on_message
        async def main(message):
            chain = cl.user_session.get("chain")
            answer = await chain.ainvoke({"q": message.content})
            await cl.Message(content=answer.content).send()
        """,
        """
        import chainlit as cl
        from callbridge import astream_call
        from langchain_openai import ChatOpenAI

        @cl.on_chat_start
        async def start():
            model = ChatOpenAI(streaming=True)
            cl.user_session.set("chain", PROMPT | model)

        @cl.on_message
        async def main(message):
            chain = cl.user_session.get("chain")
            async with astream_call(chain.ainvoke, {"q": message.content}) as stream:
                async for token in stream.text():
                    print(token, end="", flush=True)
            answer = stream.result
            await cl.Message(content=answer.content).send()
        """,
        unsafe=True,
    )
    check_rewritten(
        """
        import streamlit as st
        from langchain_core.callbacks import StreamingStdOutCallbackHandler
        from langchain_openai import ChatOpenAI

        if "chain" not in st.session_state:
            st.session_state.chain = PROMPT | ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
        if question := st.chat_input():
            answer = st.session_state["chain"].invoke({"q": question})
        """,
        """
        import streamlit as st
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        if "chain" not in st.session_state:
            st.session_state.chain = PROMPT | ChatOpenAI(streaming=True)
        if question := st.chat_input():
            with stream_call(st.session_state["chain"].invoke, {"q": question}) as stream:
                for token in stream.text():
                    print(token, end="", flush=True)
            answer = stream.result
        """,
        unsafe=True,
    )


def test_a_flag_of_an_object_that_decides_whether_its_model_streams_decides_whether_it_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_same(
        """
        class Bot:
            def __init__(self, loud):
                self.loud = loud
                self.llm = self._llm()

            def _llm(self):
                callbacks = [StreamingStdOutCallbackHandler()] if self.loud else []
                return FakeChatModel(streaming=self.loud, callbacks=callbacks)

            def ask(self, x):
                return self.llm.invoke(x).content

        def ask(x):
            return Bot(x == "q").ask(x) + Bot(x != "q").ask(x)
        """,
        capsys,
    )


def test_a_hook_may_print_the_end_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    check_same(
        """
        class Show(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                print(token, end="")

            def on_llm_end(self, response, **kwargs):
                print("\\n---")

        def ask(x):
            llm = FakeChatModel(streaming=True, callbacks=[Show()])
            return llm.invoke(x).content
        """,
        capsys,
    )


# -- one handler at several places


@pytest.mark.parametrize(
    "text",
    [
        """
        def ask(x):
            handler = StreamingStdOutCallbackHandler()
            if x == "q":
                llm = FakeChatModel(streaming=True, callbacks=[handler])
            else:
                llm = FakeChatModel(streaming=True, responses=["milk"], callbacks=[handler])
            return (prompt | llm).invoke({"q": x}).content
        """,
        """
        llm = FakeChatModel(streaming=True)

        def ask(x):
            handler = StreamingStdOutCallbackHandler()
            config = {"callbacks": [handler]}
            if x == "q":
                return llm.invoke(x, config).content
            return llm.invoke(x, config={"callbacks": [handler]}).content
        """,
        """
        def ask(x):
            handler = StreamingStdOutCallbackHandler()
            llm = FakeChatModel(streaming=True, callbacks=[handler])
            return llm.invoke(x, config={"callbacks": [handler]}).content
        """,
    ],
)
def test_a_handler_that_is_attached_at_several_places_is_taken_off_all_of_them(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_same(text, capsys)


def test_what_is_kept_between_tokens_goes_on_from_one_call_of_a_handler_to_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_same(
        """
        class Show(BaseCallbackHandler):
            def __init__(self):
                self.text = ""

            def on_llm_new_token(self, token, **kwargs):
                self.text += token
                print(token, end="")

        def ask(x):
            handler = Show()
            llm = FakeChatModel(streaming=True)
            llm.invoke(x, config={"callbacks": [handler]})
            llm.invoke(x, config={"callbacks": [handler]})
            return handler.text
        """,
        capsys,
    )


# -- what a handler does when it is made, and how a model is called


def test_what_making_a_handler_does_stays_in_its_order() -> None:
    check_rewritten(
        """
        import streamlit as st
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_openai import ChatOpenAI

        class Shown(BaseCallbackHandler):
            def __init__(self, *args, **kwargs):
                self.bubble = st.chat_message("ai")
                self.box = st.empty()
                self.text = ""

            def on_llm_new_token(self, token, **kwargs):
                self.text += token
                self.box.markdown(self.text)

        def ask(q):
            chat = ChatOpenAI(streaming=True, callbacks=[Shown()])
            return chat([q])
        """,
        """
        import streamlit as st
        from callbridge import stream_call
        from langchain_openai import ChatOpenAI

        def ask(q):
            st.chat_message("ai")
            box = st.empty()
            text = ""
            chat = ChatOpenAI(streaming=True)
            with stream_call(chat.invoke, [q]) as stream:
                for token in stream.text():
                    text += token
                    box.markdown(text)
            return stream.result
        """,
    )


def test_what_a_handler_is_given_and_does_not_use_is_still_made() -> None:
    check_noop(
        HEAD
        + """
        class Show(BaseCallbackHandler):
            def __init__(self, page):
                self.page = page

            def on_llm_new_token(self, token, **kwargs):
                print(token, end="")

        def ask(x):
            return FakeChatModel(streaming=True, callbacks=[Show(new_page())]).invoke(x)
        """,
        "would drop `new_page()`",
    )


def test_a_hook_that_raises_takes_a_review() -> None:
    check_noop(
        HEAD
        + """
        class Show(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                if not token.isprintable():
                    raise ValueError(token)
                print(token, end="")

        def ask(x):
            return FakeChatModel(streaming=True, callbacks=[Show()]).invoke(x)
        """,
        "needs --unsafe",
        unsafe=False,
    )


@pytest.mark.parametrize(
    "text",
    [
        """
        def ask(x):
            handlers = [StreamingStdOutCallbackHandler()]
            one = FakeChatModel(streaming=True, callbacks=handlers)
            two = FakeChatModel(streaming=True, responses=["milk"], callbacks=handlers)
            models = {"q": one, "r": two}
            llm = models[x]
            return llm.invoke(x).content
        """,
        """
        def build(tone, callbacks=None):
            model = FakeChatModel(streaming=True, callbacks=callbacks)
            return prompt | model

        def ask(x):
            chain = build("polite", callbacks=[StreamingStdOutCallbackHandler()])
            return chain.invoke({"q": x}).content
        """,
    ],
)
def test_a_model_out_of_a_dict_and_a_list_through_a_parameter_are_followed(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_same(text, capsys)
