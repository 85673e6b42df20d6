"""CB709: v2 events around version 3."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a function made a runnable": """
from langchain_core.runnables import RunnableLambda
def ask(x):
    return graph.stream_events(x, version='v3').output
async def read():
    async for event in RunnableLambda(ask).astream_events('q', version='v2'):  # CB709 adapter
        show(event)
""",
    "in a sequence, by default": """
from langchain_core.runnables import RunnableLambda
def ask(x):
    return graph.stream_events(x, version='v3').output
async def read(prompt):
    chain = prompt | RunnableLambda(ask)
    async for event in chain.astream_events('q'):  # CB709 adapter
        show(event)
""",
    "another function is fine": """
from langchain_core.runnables import RunnableLambda
def ask(x):
    return graph.stream_events(x, version='v3').output
def other(x):
    return x
async def read():
    async for event in RunnableLambda(other).astream_events('q', version='v2'):
        show(event)
""",
    "callbridge's own is fine": """
import callbridge
from langchain_core.runnables import RunnableLambda
def ask(x):
    return graph.stream_events(x, version='v3').output
async def read():
    async for event in callbridge.astream_events(RunnableLambda(ask), 'q'):
        show(event)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb709(source: str) -> None:
    check("CB709", source)
