"""What it costs: counts tokens as models report them."""

from typing import Any

from langchain_classic.chains import LLMChain
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_openai import ChatOpenAI

from helpdesk.settings import QUESTION, model_name


class CostHandler(BaseCallbackHandler):
    """Adds up the tokens of all calls that it hears of."""

    def __init__(self) -> None:
        self.calls = 0
        self.tokens = 0

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Add the tokens of one call."""
        self.calls += 1
        self.tokens += ((response.llm_output or {}).get("token_usage") or {}).get("total_tokens", 0)


def answer_with_costs(question: str) -> tuple[str, int]:
    """Return the answer, and how many tokens it took."""
    costs = CostHandler()
    chain = LLMChain(llm=ChatOpenAI(model=model_name()), prompt=QUESTION)
    result = chain.invoke({"question": question}, config={"callbacks": [costs]})
    return result["text"], costs.tokens
