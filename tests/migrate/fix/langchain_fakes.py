"""A chat model that streams when it is told to, in a module whose name says LangChain, as those of its partners do."""

from __future__ import annotations

from langchain_core.language_models import FakeListChatModel

__all__ = ["FakeChatModel"]


class FakeChatModel(FakeListChatModel):
    """Answers from a list, one character at a time."""

    responses: list[str] = ["tea"]  # noqa: RUF012 - pydantic copies it
    streaming: bool = False
