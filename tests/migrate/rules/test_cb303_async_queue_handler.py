"""CB303: handlers that fill an asyncio queue."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "an awaited put": """
import asyncio
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    def __init__(self, target):
        self.target = target
    async def on_llm_new_token(self, token, **kwargs):  # CB303 adapter
        await self.queue.put(token)
""",
    "from another thread": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB303 adapter
        self.loop.call_soon_threadsafe(self.queue.put_nowait, token)
""",
    "by the annotation": """
import asyncio
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, queue: asyncio.Queue[str]):
        self.queue = queue
    def on_llm_new_token(self, token, **kwargs):  # CB303 adapter
        self.queue.put_nowait(token)
""",
    "a thread queue is another rule": """
import queue
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
""",
    "the built in class is another rule": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler

class H(AsyncIteratorCallbackHandler):
    async def on_llm_new_token(self, token, **kwargs):
        self.queue.put_nowait(token)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb303(source: str) -> None:
    check("CB303", source)
