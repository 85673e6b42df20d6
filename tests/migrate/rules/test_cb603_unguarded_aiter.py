"""CB603: iterations that nobody ends."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a bare task": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler
async def stream(chain):
    handler = AsyncIteratorCallbackHandler()
    task = asyncio.create_task(chain.acall(1))
    async for token in handler.aiter():  # CB603 adapter
        yield token
""",
    "guarded by a wrapper is fine": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler
async def wrap(call, event):
    try:
        await call
    finally:
        event.set()
async def stream(chain):
    handler = AsyncIteratorCallbackHandler()
    task = asyncio.create_task(wrap(chain.acall(1), handler.done))
    async for token in handler.aiter():
        yield token
""",
    "guarded by a finally is fine": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler
async def stream(chain):
    handler = AsyncIteratorCallbackHandler()
    async def run():
        try:
            await chain.acall(1)
        finally:
            handler.done.set()
    task = asyncio.create_task(run())
    async for token in handler.aiter():
        yield token
""",
    "a done callback is fine": """
import asyncio
from langchain.callbacks import AsyncIteratorCallbackHandler
async def stream(chain):
    handler = AsyncIteratorCallbackHandler()
    task = asyncio.create_task(chain.acall(1))
    task.add_done_callback(lambda _: handler.done.set())
    async for token in handler.aiter():
        yield token
""",
    "a coroutine that is awaited after the loop is never begun": """
from langchain_classic.callbacks import AsyncIteratorCallbackHandler

async def stream(model):
    handler = AsyncIteratorCallbackHandler()
    answer = model.ainvoke("q", config={"callbacks": [handler]})
    async for token in handler.aiter():  # CB603 adapter
        yield token
    await answer
""",
    "so it is if the handler is a parameter": """
from langchain_classic.callbacks import AsyncIteratorCallbackHandler

async def stream(model, handler: AsyncIteratorCallbackHandler):
    answer = model.ainvoke("q", config={"callbacks": [handler]})
    async for token in handler.aiter():  # CB603 adapter
        yield token
    print(await answer)
""",
    "what is gathered with the loop is begun": """
import asyncio
from langchain_classic.callbacks import AsyncIteratorCallbackHandler

async def show(model):
    handler = AsyncIteratorCallbackHandler()
    async def read():
        async for token in handler.aiter():
            print(token)
    answer = model.ainvoke("q", config={"callbacks": [handler]})
    await asyncio.gather(read(), answer)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb603(source: str) -> None:
    check("CB603", source)
