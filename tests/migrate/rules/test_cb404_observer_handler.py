"""CB404: observers."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "built in": """
from langchain_community.callbacks import get_openai_callback
from langchain_core.tracers import LangChainTracer
with get_openai_callback() as usage:  # CB404 keep
    chain.invoke("q", config={"callbacks": [LangChainTracer()]})  # CB404 keep
""",
    "of vendors": """
import chainlit as cl
from langfuse.callback import CallbackHandler
one = CallbackHandler()  # CB404 keep
two = cl.AsyncLangchainCallbackHandler()  # CB404 keep
""",
    "a class without tokens": """
from langchain_core.callbacks import BaseCallbackHandler
class Audit(BaseCallbackHandler):  # CB404 keep
    def on_llm_end(self, response, **kwargs):
        self.db.add(response)
""",
    "tokens that are ignored": """
from langchain_core.callbacks import BaseCallbackHandler
class Audit(BaseCallbackHandler):  # CB404 keep
    def on_llm_new_token(self, token, **kwargs):
        pass
    def on_llm_end(self, response, **kwargs):
        self.db.add(response)
""",
    "a handler with tokens is none": """
from langchain_core.callbacks import BaseCallbackHandler
class Show(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.show(token)
""",
    "other names of such packages are fine": """
from langfuse import Langfuse
client = Langfuse()
""",
    "context managers that collect": """
from langchain.callbacks.manager import collect_runs, tracing_v2_enabled
with collect_runs() as runs:  # CB404 keep
    chain.invoke("q")
with tracing_v2_enabled():  # CB404 keep
    chain.invoke("q")
""",
    "a tracer fills in what its base calls": """
from langchain_core.tracers import BaseTracer
class Store(BaseTracer):  # CB404 keep
    def _persist_run(self, run):
        self.db.add(run)
""",
    "known by the name of what makes it, once attached": """
from app.services import langfuse_service
from langchain_openai import ChatOpenAI
handler = langfuse_service.get_handler()  # CB404 keep
other = langfuse_service.get_handler()
ChatOpenAI().invoke("q", config={"callbacks": [handler]})
""",
    "what else such packages make is fine": """
import chainlit as cl
from langfuse import get_client, observe
from langsmith import trace, traceable
from openinference.instrumentation import OITracer
from opik.integrations.llama_index import LlamaIndexCallbackHandler
from wandb.keras import WandbCallback
tracer = OITracer(get_client())
handler = LlamaIndexCallbackHandler()
callback = WandbCallback()
@cl.action_callback("send")
@traceable()
async def send(action):
    with trace("send"):
        pass
""",
    "tokens that are only counted": """
from langchain_core.callbacks import BaseCallbackHandler
class Count(BaseCallbackHandler):  # CB404 keep
    def on_llm_new_token(self, token, **kwargs):
        self.tokens += 1
""",
    "a class without LangChain's base, attached": """
from langchain_openai import ChatOpenAI
class Prompts:
    def on_chat_model_start(self, serialized, messages, **kwargs):
        print(messages)
model = ChatOpenAI(callbacks=[Prompts()])  # CB404 keep
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb404(source: str) -> None:
    check("CB404", source)
