"""CB201: `callback_manager=`."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "on a model": """
from langchain.chat_models import ChatOpenAI
from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
llm = ChatOpenAI(callback_manager=CallbackManager([StreamingStdOutCallbackHandler()]))  # CB201 auto-safe
""",
    "on a model even if it is only handed on": """
from langchain_openai import ChatOpenAI
def make(callback_manager):
    return ChatOpenAI(callback_manager=callback_manager)  # CB201 auto-safe
""",
    "on a chain": """
from langchain.chains import LLMChain
from langchain_core.callbacks import CallbackManager, StdOutCallbackHandler
manager = CallbackManager([StdOutCallbackHandler()])
chain = LLMChain(llm=llm, prompt=prompt, callback_manager=manager)  # CB201 auto-safe
""",
    "a function of the project has to change too": """
from langchain_core.callbacks import CallbackManager, StdOutCallbackHandler
def get_llm(callback_manager): ...
llm = get_llm(callback_manager=CallbackManager([StdOutCallbackHandler()]))  # CB201 manual
""",
    "plumbing of producers is fine": """
from langchain.agents import AgentExecutor
from langchain_core.callbacks import BaseCallbackManager
def build(agent, tools, callback_manager: BaseCallbackManager | None = None):
    return AgentExecutor.from_agent_and_tools(agent=agent, tools=tools, callback_manager=callback_manager)
""",
    "llama index is fine": """
from llama_index.core import ServiceContext
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
context = ServiceContext.from_defaults(callback_manager=CallbackManager([LlamaDebugHandler()]))
manager = CallbackManager([])
other = ServiceContext.from_defaults(llm=llm, callback_manager=manager)
""",
    "none is fine": """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callback_manager=None)
""",
    "on a class of the project, with a manager of LangChain": """
from langchain_core.callbacks import CallbackManager
from langchain_openai import ChatOpenAI
class Trimmed(ChatOpenAI): ...
def make(handlers, streaming):
    return Trimmed(callback_manager=CallbackManager(handlers=handlers) if streaming else None)  # CB201 manual
""",
    "among keywords that are collected first": """
from langchain_core.callbacks import CallbackManager
from langchain_openai import ChatOpenAI
def make(handler):
    given = {"model": "gpt", "callback_manager": CallbackManager([handler])}  # CB201 auto-safe
    return ChatOpenAI(**given)
""",
    "among keywords of nobody that is seen": """
from langchain_core.callbacks import CallbackManager
def make(handler, factory):
    return factory(**settings({"callback_manager": CallbackManager([handler])}))  # CB201 manual
""",
    "another library's are fine": """
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
def make():
    given = {"callback_manager": CallbackManager([])}
    return Settings(**given)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb201(source: str) -> None:
    check("CB201", source)
