"""CB609: loops that count text twice."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "any stream": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if "stream" in event["event"]:  # CB609 manual
            show(event)
""",
    "two streams": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if event["event"] in ("on_chain_stream", "on_chat_model_stream"):  # CB609 manual
            show(event)
""",
    "by the end of the name": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if event["event"].endswith("_stream"):  # CB609 manual
            show(event)
""",
    "one stream is fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if event["event"] == "on_chat_model_stream":
            show(event)
""",
    "both kinds of models are fine": """
async def read(chain):
    async for event in chain.astream_events('q', version='v2'):
        if event["event"] in ("on_llm_stream", "on_chat_model_stream"):
            show(event)
""",
    "outside of such loops it is fine": """
for event in log:
    if 'stream' in event['event']:
        show(event)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb609(source: str) -> None:
    check("CB609", source)
