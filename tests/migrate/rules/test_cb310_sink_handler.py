"""CB310: handlers with a sink of their own."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a function that was handed in": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB310 adapter
        self.target(token)
""",
    "redis": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB310 adapter
        self.redis.publish("c", token)
""",
    "slack": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB310 adapter
        self.client.chat_update(text=token)
""",
    "speech": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB310 adapter
        self.engine.say(token)
""",
    "a logger is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.logger.info(token)
""",
    "counting is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.count += 1
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb310(source: str) -> None:
    check("CB310", source)
