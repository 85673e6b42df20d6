"""CB608: custom models that do not stream."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "as the root": """
from langchain_core.language_models.llms import LLM
class Mine(LLM):
    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return prompt
async def read():
    async for event in Mine().astream_events('q', version='v2'):  # CB608 adapter
        pass
""",
    "through callbridge": """
import callbridge
from langchain_core.language_models.llms import LLM
class Mine(LLM):
    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return prompt
model = Mine()
events = callbridge.astream_events(model, 'q')  # CB608 adapter
""",
    "with a stream it is fine": """
from langchain_core.language_models.llms import LLM
class Mine(LLM):
    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return prompt
    def _stream(self, prompt, **kwargs):
        yield prompt
async def read():
    async for event in Mine().astream_events('q', version='v2'):
        pass
""",
    "inside a chain it is fine": """
from langchain_core.language_models.llms import LLM
class Mine(LLM):
    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return prompt
async def read():
    async for event in (prompt | Mine()).astream_events('q', version='v2'):
        pass
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb608(source: str) -> None:
    check("CB608", source)
