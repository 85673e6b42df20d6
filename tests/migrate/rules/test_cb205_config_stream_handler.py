"""CB205: streaming handlers in a config."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "in the call": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
chain.invoke("q", config={"callbacks": [StreamingStdOutCallbackHandler()]})  # CB205 auto-review
chain.invoke("q", {"callbacks": [StreamingStdOutCallbackHandler()]})  # CB205 auto-review
""",
    "in a config object": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_core.runnables import RunnableConfig
config = RunnableConfig(callbacks=[StreamingStdOutCallbackHandler()])  # CB205 adapter
bound = chain.with_config(callbacks=[StreamingStdOutCallbackHandler()])  # CB205 adapter
""",
    "in a dict that is used later": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
config = {"callbacks": [StreamingStdOutCallbackHandler()]}  # CB205 adapter
settings["callbacks"] = [StreamingStdOutCallbackHandler()]  # CB205 adapter
""",
    "observers are fine": """
from langfuse.langchain import CallbackHandler
chain.invoke("q", config={"callbacks": [CallbackHandler()]})
""",
    "keywords are no config": """
from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
options = {"callback_manager": CallbackManager([StreamingStdOutCallbackHandler()])}
""",
    "other dicts are fine": """
settings = {"callbacks": ["on_start", on_end]}
chain.invoke("q", config={"callbacks": callbacks})
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb205(source: str) -> None:
    check("CB205", source)
