"""CB601: handlers shared by the users of a server."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "at module level": """
from fastapi import FastAPI
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
handler = Q()  # CB601 adapter
""",
    "assigned to an object of the module": """
from flask import Flask
from langchain_openai import ChatOpenAI
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
llm = ChatOpenAI()
def view():
    llm.callbacks = [Q()]  # CB601 adapter
""",
    "one for each request is fine": """
from fastapi import FastAPI
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
def view():
    handler = Q()
""",
    "in a script it is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
handler = Q()
""",
    "what keeps nothing is fine": """
from fastapi import FastAPI
from langchain_core.callbacks import StdOutCallbackHandler, StreamingStdOutCallbackHandler
one, two = StdOutCallbackHandler(), StreamingStdOutCallbackHandler()
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb601(source: str) -> None:
    check("CB601", source)
