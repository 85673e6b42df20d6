"""The page for colleagues, in Streamlit: a handler writes what has come so far into a container."""

from typing import Any, Protocol

from langchain_classic.chains import LLMChain
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI

from helpdesk.settings import QUESTION, model_name


class Container(Protocol):
    """What `st.empty()` returns, as far as it is used here."""

    def markdown(self, body: str) -> object:
        """Show a text in place of what was there."""


class StreamHandler(BaseCallbackHandler):
    """Shows tokens in a container."""

    def __init__(self, container: Container, initial_text: str = "") -> None:
        self.container = container
        self.text = initial_text

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Show one token more."""
        self.text += token
        self.container.markdown(self.text)


def show_answer(container: Container, question: str) -> str:
    """Answer in a container, and return the answer."""
    stream_handler = StreamHandler(container)
    llm = ChatOpenAI(model=model_name(), streaming=True, callbacks=[stream_handler])
    chain = LLMChain(llm=llm, prompt=QUESTION)
    return chain.run(question)
