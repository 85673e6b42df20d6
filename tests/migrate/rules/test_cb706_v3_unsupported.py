"""CB706: runnables that do not speak version 3."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a sequence": """
from langchain_core.runnables import RunnableLambda
def run(prompt, model):
    (prompt | model).stream_events('q', version='v3')  # CB706 adapter
""",
    "a sequence in a variable": """
def run(prompt, model):
    chain = prompt | model
    chain.astream_events('q', version='v3')  # CB706 adapter
""",
    "fallbacks": """
def run(model, other):
    model.with_fallbacks([other]).stream_events('q', version='v3')  # CB706 adapter
""",
    "a function": """
from langchain_core.runnables import RunnableLambda
RunnableLambda(str).stream_events('q', version='v3')  # CB706 adapter
""",
    "a string model": """
from langchain_openai import OpenAI
OpenAI().stream_events('q', version='v3')  # CB706 adapter
""",
    "a chat model is fine": """
from langchain_openai import ChatOpenAI
ChatOpenAI().bind_tools([]).stream_events('q', version='v3')
""",
    "a graph is fine": """
def run(builder):
    graph = builder.compile()
    graph.stream_events('q', version='v3')
""",
    "version 2 is fine": """
def run(prompt, model):
    (prompt | model).astream_events('q', version='v2')
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb706(source: str) -> None:
    check("CB706", source)
