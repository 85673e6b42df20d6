"""CB705: handlers that wait for tokens on call sites of version 3."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a built-in handler": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
def run(graph):
    graph.stream_events('q', {'callbacks': [StreamingStdOutCallbackHandler()]}, version='v3')  # CB705 auto-review
""",
    "a class of the file": """
from langchain_core.callbacks import BaseCallbackHandler
class Shows(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        print(token)
def run(graph):
    graph.stream_events('q', config={'callbacks': [Shows()]}, version='v3')  # CB705 auto-review
""",
    "one that hears the protocol is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Shows(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        print(token)
    def on_stream_event(self, event, **kwargs):
        print(event)
def run(graph):
    graph.stream_events('q', config={'callbacks': [Shows()]}, version='v3')
""",
    "with_tokens is fine": """
import callbridge
from langchain_core.callbacks import StreamingStdOutCallbackHandler
def run(graph):
    graph.stream_events('q', {'callbacks': [callbridge.with_tokens(StreamingStdOutCallbackHandler())]}, version='v3')
""",
    "version 2 is fine": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
def run(chain):
    chain.astream_events('q', {'callbacks': [StreamingStdOutCallbackHandler()]}, version='v2')
""",
    "an observer is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Counts(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        self.ends += 1
def run(graph):
    graph.stream_events('q', {'callbacks': [Counts()]}, version='v3')
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb705(source: str) -> None:
    check("CB705", source)


def test_a_handler_of_another_file_is_shown_where_it_is_attached() -> None:
    source = """
from shared import handler
def ask(graph):
    return graph.stream_events('q', {'callbacks': [handler]}, version='v3').output  # CB705 adapter
"""
    shared = "from langchain_core.callbacks import StreamingStdOutCallbackHandler\nhandler = StreamingStdOutCallbackHandler()\n"
    check("CB705", source, {"shared.py": shared})
