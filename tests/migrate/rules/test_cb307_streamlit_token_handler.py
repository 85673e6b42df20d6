"""CB307: handlers that write into a Streamlit container."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a container": """
import streamlit as st
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB307 adapter
        self.text += token; self.container.markdown(self.text)
""",
    "a placeholder in a module without streamlit": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB307 adapter
        self.placeholder.write(token)
""",
    "gradio is another rule": """
import gradio
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.container.write(token)
""",
    "a file is fine": """
import streamlit as st
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.file.write(token)
""",
    "a file with the name of an output is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, output_file=None):
        self._output_file = output_file
    def on_llm_new_token(self, token, **kwargs):
        if self._output_file:
            self._output_file.write(token)
        else:
            print(token, end="")
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb307(source: str) -> None:
    check("CB307", source)
