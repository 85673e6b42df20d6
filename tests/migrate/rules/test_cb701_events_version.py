"""CB701: versions of events."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "no version": """
async def read(chain):
    async for event in chain.astream_events('q'):  # CB701 auto-safe
        pass
""",
    "the first": """
async def read(chain):
    async for event in chain.astream_events('q', version='v1'):  # CB701 auto-review
        pass
""",
    "the log": """
async def read(chain):
    async for patch in chain.astream_log('q'):  # CB701 manual
        pass
""",
    "the second is fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        pass
""",
    "unseen arguments are fine": """
async def read(chain, **given):
    async for event in chain.astream_events('q', **given):
        pass
""",
    "callbridge is fine": """
import callbridge
import callbridge as cb
async def read(chain):
    async for event in callbridge.astream_events(chain, 'q'):
        pass
    async for event in cb.astream_events(chain, 'q'):
        pass
""",
    "handing on is fine": """
class Mine:
    def astream_events(self, *args):
        return self.inner.astream_events(*args)
    def astream_log(self, *args):
        return self.inner.astream_log(*args)
""",
    "other libraries are fine": """
import openai
async def tune(run):
    async for event in await openai.FineTune.astream_events(run):
        print(event)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb701(source: str) -> None:
    check("CB701", source)
