"""CB602: streams that end with a model."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a sentinel": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
    def on_llm_end(self, response, **kwargs):  # CB602 adapter
        self.queue.put(None)
""",
    "an event": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
    def on_llm_end(self, response, **kwargs):  # CB602 adapter
        self.done.set()
""",
    "at the end of the root it is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
    def on_chain_end(self, outputs, *, parent_run_id=None, **kwargs):
        if parent_run_id is None:
            self.queue.put(None)
""",
    "asking which run is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
    def on_llm_end(self, response, *, parent_run_id=None, **kwargs):
        if parent_run_id is None:
            self.queue.put(None)
""",
    "counting is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Q(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
    def on_llm_end(self, response, **kwargs):
        self.calls += 1
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb602(source: str) -> None:
    check("CB602", source)
