"""CB604: methods that are never called."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "names that do not exist": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_chat_model_end(self, response, **kwargs):  # CB604 manual
        self.n += 1
    def handle_llm_new_token(self, token):  # CB604 manual
        self.n += 1
    def on_llm_end(self, response, **kwargs):
        self.n += 1
""",
    "called by hand is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_new_token(self, token):
        self.n += 1
    def on_llm_new_token(self, token, **kwargs):
        self.on_new_token(token)
""",
    "own names are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_click(self):
        pass
    def on_llm_end(self, response, **kwargs):
        self.n += 1
""",
    "other classes are fine": """
class Page:
    def on_new_token(self, token):
        pass
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb604(source: str) -> None:
    check("CB604", source)
