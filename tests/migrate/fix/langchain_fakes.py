"""A chat model that streams when it is told to, in a module whose name says LangChain, as those of its partners do."""

from __future__ import annotations

from functools import cache
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel

__all__ = ["FakeChatModel", "invoke_streams"]


class FakeChatModel(FakeListChatModel):
    """Answers from a list, one character at a time."""

    responses: list[str] = ["tea"]  # noqa: RUF012 - pydantic copies it
    streaming: bool = False


@cache
def invoke_streams() -> bool:
    """Return whether `invoke` asks a model to stream that is told to, as the newest LangChain does."""
    tokens: list[str] = []

    class Tokens(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **_: Any) -> None:
            tokens.append(token)

    FakeChatModel(streaming=True).invoke("tea", {"callbacks": [Tokens()]})
    return bool(tokens)
