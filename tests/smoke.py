"""Both directions with nothing but the required dependencies; `.ci/run` runs it on the installed wheel."""

from __future__ import annotations

import asyncio
from importlib.metadata import requires
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import PromptTemplate

import callbridge


class Tokens(BaseCallbackHandler):
    """Keeps the tokens."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Keep it."""
        self.tokens.append(token)


async def both_directions() -> None:
    """Read a call as events, and drive a handler from them."""
    chain = PromptTemplate.from_template("{x}") | FakeListChatModel(responses=["tea"])
    events: list[Any] = []
    async with callbridge.astream_call(chain.ainvoke, {"x": "?"}) as stream:
        events.extend([event async for event in stream])
    assert stream.result.content == "tea", stream.result
    handler = Tokens()
    callbridge.drive(events, [handler])
    assert "".join(handler.tokens) == "tea", handler.tokens


def main() -> None:
    """Run it."""
    required = [need for need in requires("callbridge") or () if "extra ==" not in need]
    assert len(required) == 2, required
    for name in callbridge.__all__:
        getattr(callbridge, name)
    asyncio.run(both_directions())
    chain = PromptTemplate.from_template("{x}") | FakeListChatModel(responses=["tea"])
    with callbridge.stream_call(chain.invoke, {"x": "?"}) as stream:
        assert "".join(stream.text()) == "tea"
    print(f"callbridge {callbridge.__version__} works with {', '.join(required)} alone")


if __name__ == "__main__":
    main()
