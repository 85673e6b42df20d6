"""CB404: observers."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "built in": """
from langchain_community.callbacks import get_openai_callback
from langchain_core.tracers import LangChainTracer
with get_openai_callback() as usage:  # CB404 keep
    chain.invoke("q", config={"callbacks": [LangChainTracer()]})  # CB404 keep
""",
    "of vendors": """
import chainlit as cl
from langfuse.callback import CallbackHandler
one = CallbackHandler()  # CB404 keep
two = cl.AsyncLangchainCallbackHandler()  # CB404 keep
""",
    "a class without tokens": """
from langchain_core.callbacks import BaseCallbackHandler
class Audit(BaseCallbackHandler):  # CB404 keep
    def on_llm_end(self, response, **kwargs):
        self.db.add(response)
""",
    "tokens that are ignored": """
from langchain_core.callbacks import BaseCallbackHandler
class Audit(BaseCallbackHandler):  # CB404 keep
    def on_llm_new_token(self, token, **kwargs):
        pass
    def on_llm_end(self, response, **kwargs):
        self.db.add(response)
""",
    "a handler with tokens is none": """
from langchain_core.callbacks import BaseCallbackHandler
class Show(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
""",
    "other names of such packages are fine": """
from langfuse import Langfuse
client = Langfuse()
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb404(source: str) -> None:
    check("CB404", source)
