"""CB306: handlers that print."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "print alone": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB306 adapter
        print(token, end="")
""",
    "standard output": """
import sys

from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB306 adapter
        sys.stdout.write(token)
""",
    "printing beside a queue": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        print(token); self.queue.put(token)
""",
    "printing at the end only": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        pass
    def on_llm_end(self, response, **kwargs):
        print(response)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb306(source: str) -> None:
    check("CB306", source)
