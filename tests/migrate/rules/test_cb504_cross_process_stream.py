"""CB504: handlers that reach another process."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a task of celery": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB504 manual
        self.task.update_state(meta={"t": token})
""",
    "a multiprocessing queue": """
import multiprocessing
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self):
        self.queue = multiprocessing.Queue()
    def on_llm_new_token(self, token, **kwargs):  # CB504 manual
        self.queue.put(token)
""",
    "a thread queue is another rule": """
import queue
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb504(source: str) -> None:
    check("CB504", source)
