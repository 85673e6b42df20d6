"""CB606: models that are not told to stream."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "no flag": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB606 adapter
llm.invoke('q')
""",
    "the flag": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
""",
    "a flag that cannot be seen": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(**settings, callbacks=[StreamingStdOutCallbackHandler()])
""",
    "a call that streams": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])
for chunk in llm.stream('q'): pass
""",
    "a model that always streams": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_community.llms import LlamaCpp
llm = LlamaCpp(callbacks=[StreamingStdOutCallbackHandler()])
""",
    "an observer": """
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[StdOutCallbackHandler()])
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb606(source: str) -> None:
    check("CB606", source)
