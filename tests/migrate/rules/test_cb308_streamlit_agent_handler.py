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
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb308(source: str) -> None:
    check("CB308", source)
