"""The old code of this application, from before event streams. It does not know callbridge."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate

try:
    from langchain_classic.chains import LLMChain
except ImportError:  # before langchain 1.0
    from langchain.chains import LLMChain

__all__ = ["TranscriptHandler", "build_chain"]


def build_chain(model: BaseChatModel) -> LLMChain:
    """Return the chain that answers `{"question": ...}` with `{"text": ...}`."""
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("human", "{question}")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # LLMChain is legacy
        return LLMChain(llm=model, prompt=prompt)


class TranscriptHandler(BaseCallbackHandler):
    """Appends questions, answers, tool calls and failures to a file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Write the question."""
        self._write(f"[model] {prompts[0].splitlines()[-1]}\n[answer] ")

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Write a piece of the answer."""
        self._write(token)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Write what the answer cost."""
        message = getattr(response.generations[0][0], "message", None)
        usage = getattr(message, "usage_metadata", None) or {}
        self._write(f"\n[tokens] {usage.get('total_tokens', 'unknown')}\n")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """Write why there is no answer."""
        self._write(f"\n[failed] {type(error).__name__}: {error}\n")

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        """Write the input of a tool."""
        self._write(f"[tool] {serialized['name']} {input_str}\n")

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        """Write the answer of a tool."""
        self._write(f"[tool said] {getattr(output, 'content', output)}\n")

    def on_chain_error(self, error: BaseException, *, parent_run_id: object = None, **kwargs: Any) -> None:
        """Write that the run has failed."""
        if parent_run_id is None:
            self._write(f"[gave up] {type(error).__name__}\n")

    def _write(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
