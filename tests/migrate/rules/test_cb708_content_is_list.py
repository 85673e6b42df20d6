"""CB708: content of version 3 that is taken for a string."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a method of strings": """
def ask(model):
    return model.stream_events('q', version='v3').output.content.strip()  # CB708 auto-safe
""",
    "through variables": """
def ask(model):
    stream = model.stream_events('q', version='v3')
    message = stream.output
    return 'Answer: ' + message.content  # CB708 auto-safe
""",
    "async": """
async def ask(model):
    message = await (await model.astream_events('q', version='v3'))
    text = ''
    text += message.content  # CB708 auto-safe
    return text
""",
    "a graph's state": """
def ask(graph):
    run = graph.stream_events('q', version='v3')
    state = run.output
    return state['messages'][-1].content.upper()  # CB708 auto-safe
""",
    "messages of a state": """
async def ask(graph):
    run = await graph.astream_events('q', version='v3')
    state = await run.output()
    for message in state['messages']:
        show(message.content.strip())  # CB708 auto-safe
""",
    "text is fine": """
def ask(model):
    return model.stream_events('q', version='v3').output.text.strip()
""",
    "a list is fine": """
def ask(model):
    return [block for block in model.stream_events('q', version='v3').output.content]
""",
    "other messages are fine": """
def ask(model):
    stream = model.stream_events('q', version='v3')
    return model.invoke('q').content.strip()
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb708(source: str) -> None:
    check("CB708", source)
