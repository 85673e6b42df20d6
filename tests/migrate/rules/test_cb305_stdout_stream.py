"""CB305: `StreamingStdOutCallbackHandler` attached."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "the call is in the same scope": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB305 auto-review
llm.invoke("q")
""",
    "on the call itself": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

def ask(chain):
    chain.run("q", callbacks=[StreamingStdOutCallbackHandler()])  # CB305 auto-review
""",
    "the call is elsewhere": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB305 adapter
def ask(q):
    return llm.invoke(q)
""",
    "through a re export under another name": """
from langchain_core import callbacks
llm = make(callbacks=[callbacks.StreamingStdOutCallbackHandler()])  # CB305 adapter
""",
    "the verbose handler is no stream": """
from langchain_core.callbacks import StdOutCallbackHandler
handler = StdOutCallbackHandler()
""",
    "a class of that name elsewhere is fine": """
from myapp.output import StreamingStdOutCallbackHandler
handler = StreamingStdOutCallbackHandler()
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb305(source: str) -> None:
    check("CB305", source)
