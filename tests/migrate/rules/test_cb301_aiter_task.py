"""CB301: `AsyncIteratorCallbackHandler` with a task and a loop."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "all in one function": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler

async def stream(chain):
    handler = AsyncIteratorCallbackHandler()  # CB301 auto-review
    task = asyncio.create_task(chain.acall({"q": 1}, callbacks=[handler]))
    async for token in handler.aiter():
        yield token
    await task
""",
    "parts elsewhere": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler

def make():
    return AsyncIteratorCallbackHandler()  # CB301 adapter
async def stream(handler):
    async for token in handler.aiter():
        yield token
""",
    "a class built on it": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler

class Mine(AsyncIteratorCallbackHandler):
    async def on_tool_start(self, *args, **kwargs):
        self.queue.put_nowait("tool")
async def stream(chain):
    handler = Mine()  # CB301 adapter
    task = asyncio.create_task(chain.acall(1))
    async for token in handler.aiter():
        yield token
""",
    "two tasks are not clear": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler

async def stream(chain):
    handler = AsyncIteratorCallbackHandler()  # CB301 adapter
    first = asyncio.create_task(chain.acall(1))
    second = asyncio.create_task(other())
    async for token in handler.aiter():
        yield token
""",
    "another aiter is fine": """
async def read(response):
    async for line in response.aiter():
        yield line
""",
    "a parameter of that type": """
import asyncio
from typing import Optional
from langchain_classic.callbacks import AsyncIteratorCallbackHandler

async def stream(chain, given: Optional[AsyncIteratorCallbackHandler] = None):
    task = asyncio.create_task(chain.acall({"q": 1}))
    async for token in given.aiter():  # CB301 adapter
        yield token
    await task
""",
    "a parameter that is attached": """
import asyncio

async def stream(chain, given):
    task = asyncio.create_task(chain.ainvoke("q", config={"callbacks": [given]}))
    async for token in given.aiter():  # CB301 adapter
        yield token
    await task
""",
    "another iterator that is a parameter is fine": """
async def stream(response):
    async for line in response.aiter():
        yield line
""",
    "two loops of which one is run": """
import asyncio
from langchain_classic.callbacks import AsyncIteratorCallbackHandler
from langchain_openai import ChatOpenAI

async def stream(question, whole):
    handler = AsyncIteratorCallbackHandler()  # CB301 auto-review
    model = ChatOpenAI(streaming=True, callbacks=[handler])
    task = asyncio.create_task(model.ainvoke(question))
    if whole:
        text = ""
        async for token in handler.aiter():
            text += token
        yield text
    else:
        async for token in handler.aiter():
            yield token
    await task
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb301(source: str) -> None:
    check("CB301", source)
