"""CB206: attributes assigned."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "on a model": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
agent.agent.llm_chain.llm.callbacks = [StreamingStdOutCallbackHandler()]  # CB206 adapter
""",
    "with a handler that was handed in": """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI()
def ask(handler):
    llm.callbacks = [handler]  # CB206 adapter
""",
    "the own field is fine": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
class Service:
    def __init__(self, callbacks=None):
        self.callbacks = callbacks
        self.callbacks = [StreamingStdOutCallbackHandler()]
""",
    "other libraries and plumbing are fine": """
from keras.callbacks import EarlyStopping
from langchain_openai import ChatOpenAI
import pytorch_lightning as pl
trainer = pl.Trainer()
trainer.callbacks = [progress]
model.callbacks = [EarlyStopping()]
tool.callbacks = callbacks
llm.callbacks = []
""",
    "llama index is fine": """
from langchain_openai import ChatOpenAI
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
from opik.integrations.llama_index import LlamaIndexCallbackHandler
Settings.callback_manager = CallbackManager([LlamaIndexCallbackHandler()])
""",
    "observers are kept": """
import chainlit as cl
from langchain.agents import AgentExecutor
agent = AgentExecutor(agent=agent, tools=tools)
agent.callbacks = [cl.LangchainCallbackHandler()]  # CB206 keep
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb206(source: str) -> None:
    check("CB206", source)
