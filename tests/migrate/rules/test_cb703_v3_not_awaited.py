"""CB703: streams of version 3 that are read like v2's."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "no await": """
async def read(model):
    async for event in model.astream_events('q', version='v3'):  # CB703 auto-safe
        show(event)
""",
    "no await, held by a variable": """
async def read(model):
    events = model.astream_events('q', version='v3')  # CB703 auto-safe
    async for event in events:
        show(event)
""",
    "no await, in a comprehension": """
async def read(model):
    return [event async for event in model.astream_events('q', version='v3')]  # CB703 auto-safe
""",
    "names of v2 in an async loop": """
async def read(graph):
    async for event in await graph.astream_events('q', version='v3'):  # CB703 manual
        if event['event'] == 'on_chat_model_stream':
            show(event)
""",
    "names of v2 in a sync loop": """
def read(graph):
    for event in graph.stream_events('q', version='v3'):  # CB703 manual
        if 'on_tool_start' == event['event']:
            show(event)
""",
    "version 2 is fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if event['event'] == 'on_chat_model_stream':
            show(event)
""",
    "awaited and read as envelopes is fine": """
async def read(graph):
    async for event in await graph.astream_events('q', version='v3'):
        if event['method'] == 'messages':
            show(event)
""",
    "converted to v2 is fine": """
def read(graph):
    for one in graph.stream_events('q', version='v3'):
        for event in convert.feed(one):
            show(event)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb703(source: str) -> None:
    check("CB703", source)
