"""The terminal: answers are printed as they come."""

import sys
from typing import Any

from langchain_classic.chains import LLMChain
from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from helpdesk.settings import QUESTION, model_name


class LoudHandler(BaseCallbackHandler):
    """Prints tokens for those at the back."""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Print a token."""
        print(token.upper(), end="", flush=True)  # no newline: the next one follows


def ask(question: str) -> str:
    """Print the answer, and return it."""
    llm = ChatOpenAI(model=model_name(), streaming=True, callbacks=[StreamingStdOutCallbackHandler()])
    chain = LLMChain(llm=llm, prompt=QUESTION)
    answer = chain.run(question)
    print()
    return answer


def shout(question: str) -> str:
    """Print the answer in capitals, and return it as it was."""
    llm = ChatOpenAI(model=model_name(), streaming=True, callbacks=[LoudHandler()])
    prompt = ChatPromptTemplate.from_template("{question}")
    return (prompt | llm).invoke({"question": question}).content


if __name__ == "__main__":
    ask(" ".join(sys.argv[1:]))
