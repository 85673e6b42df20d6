"""CB203: streaming handlers in constructors."""

from __future__ import annotations

import pytest

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import scan_source
from scanning import check

CASES = {
    "the call is in the same scope": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])  # CB203 auto-safe
print(llm.invoke("tea"))
""",
    "the call is elsewhere": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

def make():
    return ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB203 adapter
""",
    "through a chain made from the model": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

from langchain.chains import LLMChain
def answer(q):
    llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])  # CB203 auto-review
    chain = LLMChain(llm=llm, prompt=prompt)
    return chain.run(q)
""",
    "an alias of the class": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler as Out
from langchain_openai import ChatOpenAI as Chat
Printer = Out
llm = Chat(callbacks=[Printer()])  # CB203 adapter
""",
    "a handler in a variable": """
from langchain_openai import ChatOpenAI
from langchain_core.callbacks import StreamingStdOutCallbackHandler
def ask(q):
    handlers = [StreamingStdOutCallbackHandler()]
    llm = ChatOpenAI(callbacks=handlers)  # CB203 auto-review
    return llm.invoke(q)
""",
    "a handler that was handed in": """
from langchain_openai import ChatOpenAI
def ask(handler):
    return ChatOpenAI(callbacks=[handler])  # CB203 adapter
""",
    "through a factory of the project": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI

def get_llm(callbacks):
    return ChatOpenAI(callbacks=callbacks)
llm = get_llm(callbacks=[StreamingStdOutCallbackHandler()])  # CB203 adapter
""",
    "observers are fine": """
from langchain_openai import ChatOpenAI
from langchain_core.callbacks import StdOutCallbackHandler
from langfuse.callback import CallbackHandler
llm = ChatOpenAI(callbacks=[StdOutCallbackHandler(), CallbackHandler()])
""",
    "a handler that does nothing is fine": """
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[BaseCallbackHandler()])
""",
    "a bare parameter is plumbing": """
from langchain_openai import ChatOpenAI
def make(callbacks=None):
    return ChatOpenAI(callbacks=callbacks)
""",
    "keras and lightning are fine": """
import pytorch_lightning as pl
from keras.callbacks import EarlyStopping
from langchain_openai import ChatOpenAI
stop = EarlyStopping()
model.fit(x, y, callbacks=[stop])
trainer = pl.Trainer(callbacks=[EarlyStopping()])
model.fit(x, callbacks=[handler])
""",
    "what is only handed on is fine, cast or not": """
from typing import cast
from langchain_core.callbacks import BaseCallbackManager
from langchain_openai import ChatOpenAI
def make(settings, callbacks=None):
    ChatOpenAI(callbacks=callbacks)
    return ChatOpenAI(callbacks=cast(BaseCallbackManager, settings.callbacks))
""",
    "what a function makes of what it is given is handed on": """
from langchain_core.callbacks import Callbacks
from langchain_core.tools import load
from langchain_openai import ChatOpenAI
def joined(manager, callbacks):
    return callbacks if manager is None else manager
def make(names, callbacks: Callbacks = None, extra=None, **given):
    callbacks = joined(given.get("manager"), callbacks)
    one = ChatOpenAI(callbacks=callbacks)
    both = (callbacks or []) + extra
    return [load(name, callbacks=callbacks) for name in names], one, ChatOpenAI(callbacks=both)
""",
    "what a function adds is not": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
def make(callbacks=None):
    return ChatOpenAI(callbacks=(callbacks or []) + [StreamingStdOutCallbackHandler()])  # CB203 adapter
""",
}


def test_a_parameter_is_said_to_be_one() -> None:
    text = "from langchain_openai import ChatOpenAI\nfrom others import h\n"
    text += "def ask(handler):\n    ChatOpenAI(callbacks=[handler])\n    ChatOpenAI(callbacks=[h])\n"
    found = scan_source(text, "app.py", Project.build([("app.py", text)]))
    assert [finding.reason for finding in found if finding.rule == "CB203"] == [
        "the handler is a parameter: pass it to the run, in `config`, instead",
        "this file does not show where the handler is made",
    ]


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb203(source: str) -> None:
    check("CB203", source)
