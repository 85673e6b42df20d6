"""A model and a tool of our own, which report to whoever listens."""

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun, CallbackManagerForToolRun
from langchain_core.language_models import LLM
from langchain_core.outputs import GenerationChunk
from langchain_core.tools import BaseTool
from pydantic import Field


class CannedLLM(LLM):
    """Answers from a list of canned sentences."""

    sentences: dict[str, str] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "canned"

    def _call(
        self, prompt: str, stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> str:
        return "".join(chunk.text for chunk in self._stream(prompt, stop, run_manager, **kwargs))

    def _stream(
        self, prompt: str, stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        for word in self.sentences.get(prompt, "Please call us.").split():
            chunk = GenerationChunk(text=f"{word} ")
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class CannedTool(BaseTool):
    """Looks an answer up with the canned model."""

    name: str = "canned"
    description: str = "Answers common questions."
    llm: CannedLLM

    def _run(self, question: str, run_manager: CallbackManagerForToolRun | None = None) -> str:
        callbacks = run_manager.get_child() if run_manager else None
        return self.llm.invoke(question, config={"callbacks": callbacks})
