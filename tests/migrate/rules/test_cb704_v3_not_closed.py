"""CB704: streams of version 3 that are not closed."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "an async stream that is read and never closed": """
async def read(model):
    message = await model.astream_events('q', version='v3')  # CB704 auto-review
    async for text in message.text:
        show(text)
""",
    "read where it is made": """
async def read(graph):
    async for event in await graph.astream_events('q', version='v3'):  # CB704 auto-review
        show(event)
""",
    "a sync stream that is left": """
def read(model):
    message = model.stream_events('q', version='v3')  # CB704 adapter
    for text in message.text:
        if stop(text):
            break
""",
    "a sync stream that a return leaves": """
def read(model):
    for event in model.stream_events('q', version='v3'):  # CB704 adapter
        return event
""",
    "entered is fine": """
async def read(model):
    async with await model.astream_events('q', version='v3') as message:
        async for text in message.text:
            break
""",
    "entered later is fine": """
async def read(model):
    message = await model.astream_events('q', version='v3')
    async with message:
        async for text in message.text:
            break
""",
    "closed by hand is fine": """
async def read(model):
    message = await model.astream_events('q', version='v3')
    try:
        async for text in message.text:
            break
    finally:
        await message.aclose()
""",
    "a graph that is aborted is fine": """
def read(graph):
    run = graph.stream_events('q', version='v3')
    for value in run.values:
        break
    run.abort()
""",
    "a sync stream to its end is fine": """
def read(model):
    for text in model.stream_events('q', version='v3').text:
        show(text)
""",
    "handed on is fine": """
async def read(model):
    return await consume(await model.astream_events('q', version='v3'))
""",
    "version 2 is another rule's": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        break
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb704(source: str) -> None:
    check("CB704", source)
