"""CB208: calls that models no longer have."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "predict and call": """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[handler])
text = llm.predict("q")  # CB208 manual
reply = llm([message])  # CB208 manual
""",
    "invoke is fine": """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(callbacks=[handler])
llm.invoke("q")
""",
    "chains and models without callbacks are fine": """
from langchain.chains import LLMChain
from langchain_openai import ChatOpenAI
llm = ChatOpenAI()
chain = LLMChain(llm=llm, callbacks=[handler])
llm.predict("q")
chain.predict(q=1)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb208(source: str) -> None:
    check("CB208", source)
