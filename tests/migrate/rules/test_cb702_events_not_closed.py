"""CB702: streams that are not closed."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a break": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):  # CB702 adapter
        if event:
            break
""",
    "a return from a variable": """
async def read(chain):
    events = chain.astream_events('q', version='v2')  # CB702 adapter
    async for event in events:
        return event
""",
    "closed by hand is fine": """
async def read(chain):
    events = chain.astream_events('q', version='v2')
    async for event in events:
        break
    await events.aclose()
""",
    "aclosing is fine": """
async def read(chain):
    async with aclosing(chain.astream_events('q', version='v2')) as events:
        async for event in events:
            break
""",
    "the break of an inner loop is fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        for part in event:
            break
""",
    "to the end is fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        show(event)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb702(source: str) -> None:
    check("CB702", source)
