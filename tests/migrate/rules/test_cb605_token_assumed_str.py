"""CB605: tokens taken for strings."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "added": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.text += token  # CB605 adapter
""",
    "written": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.file.write(token)  # CB605 adapter
""",
    "asked": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        if "Final" in token: self.stop()  # CB605 adapter
""",
    "stripped": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token.strip())  # CB605 adapter
""",
    "only the first is reported": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.text += token  # CB605 adapter
        self.file.write(token)
""",
    "handed on is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
""",
    "printed is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        print(token, end="")
""",
    "checked is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        if isinstance(token, str): self.text += token
""",
    "converted is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.text += str(token)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb605(source: str) -> None:
    check("CB605", source)
