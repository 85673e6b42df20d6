"""The model of both examples. It speaks OpenAI's protocol over real HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from fake_openai import FakeOpenAI

__all__ = ["make_model", "open_model"]


def make_model(name: str, base_url: str, api_key: str = "none") -> ChatOpenAI:
    """Return the model `name` behind `base_url`."""
    return ChatOpenAI(model=name, base_url=base_url, api_key=SecretStr(api_key), max_retries=0, stream_usage=True)


@contextmanager
def open_model(name: str, *, delay: float = 0.05) -> Iterator[ChatOpenAI]:
    """Yield the model behind `OPENAI_BASE_URL`; without that, the model of a fake server that runs during the block.

    Args:
        name: Name of the model.
        delay: Seconds between two pieces of the fake server's answers.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    if base_url:
        yield make_model(name, base_url, os.environ.get("OPENAI_API_KEY", "none"))
    else:
        with FakeOpenAI(delay=delay) as server:
            yield make_model(name, server.base_url)
