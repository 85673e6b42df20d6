"""The client code of docs/web-clients.md, run under node against the server code beside it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from web.node_clients import Clients
from web.serving import serving

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Sample:
    """A section's server and client."""

    heading: str
    server: str
    client: str
    prints: str


def samples() -> list[Sample]:
    """Return the sections of the page that have a client in JavaScript and say what it prints."""
    found = []
    for section in re.split(r"^## ", (ROOT / "docs" / "web-clients.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        prints = re.search(r"<!-- prints: (.*?) -->", section, re.DOTALL)
        if prints is not None:
            server = re.search(r"```python\n(.*?)```", section, re.DOTALL)
            client = re.search(r"```js\n(.*?)```", section, re.DOTALL)
            assert server is not None
            assert client is not None
            found.append(Sample(section.partition("\n")[0], server[1], client[1], prints[1]))
    return found


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.heading)
async def test_the_client_reads_what_the_server_sends(sample: Sample, clients: Clients) -> None:
    """As they stand in the documentation; the address alone is another one."""
    model = GenericFakeChatModel(messages=iter([AIMessage("Green tea")] * 9))
    chain = ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()
    namespace: dict[str, Any] = {"agent": chain}
    exec(compile(sample.server, f"docs/web-clients.md: {sample.heading}", "exec"), namespace)
    async with serving(namespace["app"]) as site:
        printed = await asyncio.to_thread(clients.run, sample.client.replace("http://127.0.0.1:8000", site.http))
    assert printed.strip() == sample.prints


def test_every_client_has_a_sample() -> None:
    assert len(samples()) == 3


def test_the_hooks_of_the_page_are_those_of_the_example() -> None:
    """The page of the example runs in a browser test; what the documentation shows of React is a part of it."""
    text = (ROOT / "docs" / "web-clients.md").read_text(encoding="utf-8")
    shown = re.search(r"```jsx\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    page = (ROOT / "examples" / "web_chat" / "ai_sdk" / "page.jsx").read_text(encoding="utf-8")
    assert all(line.strip() in page for line in shown[1].splitlines())
