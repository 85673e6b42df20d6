"""CB501: hooks that raise."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "to stop a run": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        if self.stopped:
            raise KeyboardInterrupt  # CB501 manual
""",
    "errors handed on are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_error(self, error, **kwargs):
        raise error
    def on_llm_end(self, response, **kwargs):
        try:
            self.save(response)
        except OSError as error:
            raise RuntimeError from error
""",
    "mistakes are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        raise NotImplementedError
    def on_llm_start(self, *args, **kwargs):
        raise ValueError('mode')
""",
    "other methods are fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        self.n += 1
    def close(self):
        raise StopIteration
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb501(source: str) -> None:
    check("CB501", source)
