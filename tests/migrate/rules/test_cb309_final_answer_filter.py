"""CB309: final answers found by text."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "the built in": """
from langchain.callbacks.streaming_stdout_final_only import FinalStreamingStdOutCallbackHandler
handler = FinalStreamingStdOutCallbackHandler(answer_prefix_tokens=["Final"])  # CB309 adapter
""",
    "a class of its own": """
from langchain_core.callbacks import BaseCallbackHandler
class OnlyAnswer(BaseCallbackHandler):  # CB309 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.buffer += token
        if "Final Answer:" in self.buffer:
            self.show(token)
""",
    "a plain handler is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Show(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
""",
    "a prompt with those words is fine": """
PROMPT = "Thought: ... Final Answer: ..."
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb309(source: str) -> None:
    check("CB309", source)
