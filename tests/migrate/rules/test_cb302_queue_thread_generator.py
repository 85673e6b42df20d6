"""CB302: handlers that fill a queue for a thread."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a queue": """
from queue import Queue
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB302 adapter
        self.queue.put(token)
""",
    "a threaded generator": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB302 adapter
        self.gen.send(token)
""",
    "through a helper": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB302 adapter
        self._emit(token)
    def _emit(self, token):
        self.q.put_nowait(token)
""",
    "with tools too": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB302 adapter
        self.queue.put(token)
    def on_tool_end(self, output, **kwargs):
        self.queue.put(output)
""",
    "an asyncio queue is another rule": """
import asyncio
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    def __init__(self, target):
        self.target = target
    async def on_llm_new_token(self, token, **kwargs):
        await self.queue.put(token)
""",
    "no handler at all": """
class Worker:
    def on_message(self, token):
        self.queue.put(token)
""",
    "a hook that does nothing": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        pass
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb302(source: str) -> None:
    check("CB302", source)
