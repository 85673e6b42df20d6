"""CB101: imports from `langchain.callbacks` of names that langchain-core has."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "core names": """
from langchain.callbacks.base import BaseCallbackHandler  # CB101 auto-safe
from langchain.callbacks import StdOutCallbackHandler as Out  # CB101 auto-safe
from langchain.callbacks.tracers import LangChainTracer  # CB101 auto-safe
""",
    "several names are one finding each": """
from langchain.callbacks.base import (
    AsyncCallbackHandler,  # CB101 auto-safe
    BaseCallbackHandler,  # CB101 auto-safe
)
""",
    "whole modules are for a person": """
import langchain.callbacks  # CB101 manual
from langchain import callbacks  # CB101 manual
from langchain.callbacks.somewhere import Unheard  # CB101 manual
""",
    "new homes are fine": """
from langchain_core.callbacks import BaseCallbackHandler
from langchain_community.callbacks import get_openai_callback
from langchain.chains import LLMChain
""",
    "names of producers are fine": """
from langchain.callbacks.manager import AsyncCallbackManagerForToolRun, CallbackManagerForLLMRun, Callbacks
""",
    "a manager that only annotates a producer is fine": """
from langchain.callbacks.base import BaseCallbackManager
from langchain.callbacks.manager import CallbackManagerForChainRun

def build(callback_manager: BaseCallbackManager | None = None): ...
def _call(inputs, run_manager: CallbackManagerForChainRun | None = None): ...
""",
    "an import with an alternative is fine": """
try:
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError:
    from langchain.callbacks.base import BaseCallbackHandler
""",
    "other packages with such a module are fine": """
from llama_index.callbacks import CallbackManager
from keras.callbacks import EarlyStopping
from .callbacks import BaseCallbackHandler
from mylangchain.callbacks import BaseCallbackHandler as Mine
""",
    "a manager whose class is chosen to be configured is fine": """
from langchain.callbacks.manager import AsyncCallbackManager, CallbackManager, CallbackManagerForChainRun
def start(run_manager: CallbackManagerForChainRun, run_async: bool):
    kind = AsyncCallbackManager if run_async else CallbackManager
    return kind.configure(run_manager.get_child())
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb101(source: str) -> None:
    check("CB101", source)
