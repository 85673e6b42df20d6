"""CB401: handler classes with tokens alone."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "canonical": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):  # CB401 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
""",
    "another sink": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):  # CB401 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.websocket.send_text(token)
""",
    "by a base of the project": """
from langchain_core.callbacks import BaseCallbackHandler
class Base(BaseCallbackHandler):
    pass
class H(Base):  # CB401 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.keep(token)
""",
    "without a base": """
class H:  # CB401 adapter
    def on_llm_new_token(self, token, **kwargs):
        self.keep(token)
""",
    "a hook that does nothing": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        '''Nothing.'''
        ...
    def on_llm_end(self, response, **kwargs):
        self.log(response)
""",
    "with tools it is another rule": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.keep(token)
    def on_tool_end(self, output, **kwargs):
        self.keep(output)
""",
    "keras is fine": """
from keras.callbacks import Callback
class H(Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(epoch)
""",
    "a manager is no handler": """
from langchain_core.callbacks import BaseCallbackManager
class M(BaseCallbackManager):
    def on_llm_new_token(self, token, **kwargs):
        self.handlers[0].on_llm_new_token(token)
""",
    "nor is what stands in for one": """
class FakeRunManager:
    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb401(source: str) -> None:
    check("CB401", source)
