"""How programs of today keep a handler, its list, its config and its model on the way to the call."""

from __future__ import annotations

import pytest
from fixing import both, check_rewritten

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
