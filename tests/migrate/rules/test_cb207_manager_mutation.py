"""CB207: managers that are changed."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "adding to a manager": """
from langchain_core.callbacks import StreamingStdOutCallbackHandler
agent.callback_manager.add_handler(StreamingStdOutCallbackHandler())  # CB207 manual
""",
    "an unknown handler on a callback manager": """
from langchain.callbacks.manager import CallbackManager
manager = CallbackManager([])
chain.callback_manager.add_handler(handler)  # CB207 manual
""",
    "telegram and logging are fine": """
from telegram.ext import Application, CommandHandler
from langchain_openai import ChatOpenAI
application = Application.builder().build()
application.add_handler(CommandHandler("start", start))
logger.addHandler(handler)
""",
    "producers are fine": """
from langchain_core.callbacks import CallbackManager
def run(run_manager, callback_manager, callbacks):
    run_manager.add_handler(tracer)
    callback_manager.add_handler(tracer)
    manager = CallbackManager.configure(callbacks)
    manager.add_handler(tracer)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb207(source: str) -> None:
    check("CB207", source)
