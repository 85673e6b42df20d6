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
    "the model is told to stream": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

def ask(q):
    llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])  # CB305 auto-safe
    return llm.invoke(q)
""",
    "in the config of the call": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler

def ask(chain):
    chain.invoke("q", config={"callbacks": [StreamingStdOutCallbackHandler()]})  # CB305 auto-review
""",
    "the code already streams this run": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])  # CB305 adapter
for chunk in llm.stream("q"):
    pass
""",
    "on a chain, which may have several models": """
from langchain.chains import LLMChain
from langchain_core.callbacks import StreamingStdOutCallbackHandler

chain = LLMChain(llm=llm, prompt=prompt, callbacks=[StreamingStdOutCallbackHandler()])  # CB305 adapter
chain.run("q")
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

llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB305 auto-review
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
