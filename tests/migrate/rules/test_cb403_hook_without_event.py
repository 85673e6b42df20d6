"""CB403: hooks without an event."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "of a streaming handler": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
    def on_text(self, text, **kwargs):  # CB403 manual
        self.show(text)
    def on_agent_finish(self, finish, **kwargs):  # CB403 adapter
        self.show(finish)
    def on_llm_error(self, error, **kwargs):  # CB403 adapter
        self.show(error)
    def on_tool_error(self, error, **kwargs):
        self.show(error)
""",
    "idle ones are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
    def on_text(self, text, **kwargs):
        pass
""",
    "of observers they are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_text(self, text, **kwargs):
        self.log(text)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb403(source: str) -> None:
    check("CB403", source)
