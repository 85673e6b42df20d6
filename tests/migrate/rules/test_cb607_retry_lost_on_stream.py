"""CB607: retries that a stream loses."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "in one expression": """
from langchain_openai import ChatOpenAI
model = ChatOpenAI()
for chunk in model.with_retry().stream('q'):  # CB607 adapter
    pass
""",
    "through a variable": """
from langchain_openai import ChatOpenAI
safe = ChatOpenAI().with_retry()
async def read():
    async for event in safe.astream_events('q', version='v2'):  # CB607 adapter
        pass
""",
    "through callbridge": """
import callbridge
safe = chain.with_retry()
events = callbridge.astream_events(safe, 'q')  # CB607 adapter
""",
    "invoked is fine": """
from langchain_openai import ChatOpenAI
ChatOpenAI().with_retry().invoke('q')
""",
    "other libraries are fine": """
import httpx
client.with_retry().stream('GET', url)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb607(source: str) -> None:
    check("CB607", source)
