"""CB204: `callbacks=` on calls."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a runnable raises": """
from langchain_openai import ChatOpenAI
from langchain_core.callbacks import StreamingStdOutCallbackHandler
llm = ChatOpenAI()
llm.invoke("q", callbacks=[StreamingStdOutCallbackHandler()])  # CB204 auto-safe
""",
    "legacy methods": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
def ask(chain):
    return chain.run("q", callbacks=[StreamingStdOutCallbackHandler()])  # CB204 auto-review
""",
    "a chain called as a function": """
from langchain.chains import LLMChain
from langchain_core.callbacks import StreamingStdOutCallbackHandler
chain = LLMChain(llm=llm, prompt=prompt)
chain({"q": 1}, callbacks=[StreamingStdOutCallbackHandler()])  # CB204 auto-review
""",
    "a call that is made later": """
from functools import partial
from langchain_core.callbacks import StreamingStdOutCallbackHandler
late = partial(chain.run, callbacks=[StreamingStdOutCallbackHandler()])  # CB204 adapter
other = partial(chain.invoke, callbacks=[StreamingStdOutCallbackHandler()])  # CB204 adapter
""",
    "a handler that does more": """
from langchain_community.callbacks import StreamlitCallbackHandler
agent.run("q", callbacks=[StreamlitCallbackHandler(box)])  # CB204 adapter
""",
    "observers on a legacy call are kept": """
from langchain_core.callbacks import StdOutCallbackHandler
chain.run("q", callbacks=[StdOutCallbackHandler()])  # CB204 keep
""",
    "producers are fine": """
from langchain.chains.base import Chain
class Mine(Chain):
    def _call(self, inputs, run_manager=None):
        callbacks = run_manager.get_child()
        self.inner.run(inputs, callbacks=run_manager.get_child())
        self.inner.run(inputs, callbacks=run_manager.get_child() if run_manager else None)
        return self.inner(inputs, callbacks=callbacks)
    def predict(self, text, callbacks=None):
        return self.llm.predict(text, callbacks=callbacks)
""",
    "other libraries are fine": """
import optuna
from langchain_openai import ChatOpenAI
study = optuna.create_study()
study.optimize(objective, callbacks=[callback])
model.fit(data, callbacks=[handler])
""",
    "the manager of a group of runs is fine": """
from langchain_core.callbacks.manager import trace_as_chain_group
from langchain_openai import ChatOpenAI
with trace_as_chain_group("batch") as group:
    ChatOpenAI().generate(prompts, callbacks=group)
""",
    "on what a function of the project makes": """
from langchain.agents import AgentExecutor
def get_agent():
    return AgentExecutor(agent=agent, tools=tools)
def get_handlers():
    return 1, 2
def ask(question):
    executor = get_agent()
    handler, other_handler = get_handlers()
    return executor.run(question, callbacks=[handler])  # CB204 adapter
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb204(source: str) -> None:
    check("CB204", source)
