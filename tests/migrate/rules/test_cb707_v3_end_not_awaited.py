"""CB707: async streams of version 3 whose end is not awaited."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "only the text is read": """
async def ask(model, config):
    message = await model.astream_events('q', config, version='v3')  # CB707 auto-review
    return [text async for text in message.text]
""",
    "the config by name": """
async def ask(model, config):
    message = await model.astream_events('q', config=config, version='v3')  # CB707 auto-review
    return await message.text
""",
    "awaited is fine": """
async def ask(model, config):
    message = await model.astream_events('q', config, version='v3')
    show([text async for text in message.text])
    return await message
""",
    "entered is fine": """
async def ask(model, config):
    async with await model.astream_events('q', config, version='v3') as message:
        return [text async for text in message.text]
""",
    "nobody listens, fine": """
async def ask(model):
    message = await model.astream_events('q', version='v3')
    return [text async for text in message.text]
""",
    "a graph is fine": """
async def ask(graph, config):
    run = await graph.astream_events('q', config, version='v3')
    return [value async for value in run.values]
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb707(source: str) -> None:
    check("CB707", source)
