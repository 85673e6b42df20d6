"""CB308: `StreamlitCallbackHandler`."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "made": """
from langchain.callbacks import StreamlitCallbackHandler
import streamlit as st
handler = StreamlitCallbackHandler(st.container())  # CB308 adapter
agent.run(q, callbacks=[StreamlitCallbackHandler(st.container())])  # CB308 adapter
""",
    "of community": """
from langchain_community.callbacks.streamlit import StreamlitCallbackHandler as Steps
handler = Steps(box)  # CB308 adapter
""",
    "an own class of that name is fine": """
class StreamlitCallbackHandler:
    pass
handler = StreamlitCallbackHandler()
""",
    "a handler of one's own": """
import streamlit as st
from langchain_core.callbacks import BaseCallbackHandler
class Thoughts(BaseCallbackHandler):
    def __init__(self, container):
        self.container = container
    def on_agent_action(self, action, **kwargs):  # CB308 adapter
        self.container.markdown(action.log)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb308(source: str) -> None:
    check("CB308", source)
