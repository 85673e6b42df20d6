"""CB202: `CallbackManager([...])` as a list."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a list in a manager": """
from langchain.callbacks.manager import AsyncCallbackManager, CallbackManager
from langchain_openai import ChatOpenAI
one = ChatOpenAI(callbacks=CallbackManager([handler]))  # CB202 auto-safe
two = ChatOpenAI(callback_manager=AsyncCallbackManager(handlers=[handler]))  # CB202 auto-safe
""",
    "a manager in a variable that is only passed on": """
from langchain.callbacks.manager import CallbackManager
from langchain_openai import ChatOpenAI
manager = CallbackManager([handler])  # CB202 auto-safe
llm = ChatOpenAI(callbacks=manager)
""",
    "a manager that is used is for a person": """
from langchain.callbacks.manager import CallbackManager
from langchain_openai import ChatOpenAI
manager = CallbackManager([])  # CB202 manual
manager.add_handler(handler)
""",
    "configuring is fine": """
from langchain_core.callbacks import CallbackManager
manager = CallbackManager.configure(inheritable, local)
""",
    "the manager of llama index is fine": """
from llama_index.core.callbacks import CallbackManager
manager = CallbackManager([handler])
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb202(source: str) -> None:
    check("CB202", source)
