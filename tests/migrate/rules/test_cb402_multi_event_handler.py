"""CB402: handler classes with several kinds of events."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "tokens and tools": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):  # CB402 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
    def on_tool_start(self, serialized, input_str, **kwargs):
        self.show(input_str)
""",
    "one of them is idle": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
    def on_tool_start(self, serialized, input_str, **kwargs):
        pass
""",
    "tools alone observe": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_tool_start(self, serialized, input_str, **kwargs):
        self.show(input_str)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb402(source: str) -> None:
    check("CB402", source)
