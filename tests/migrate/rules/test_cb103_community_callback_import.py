"""CB103: imports of names that langchain-community has."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "community names": """
from langchain.callbacks import get_openai_callback, StreamlitCallbackHandler  # CB103 auto-review # CB103 auto-review
from langchain.callbacks.human import HumanApprovalCallbackHandler  # CB103 auto-review
""",
    "community itself is fine": """
from langchain_community.callbacks import get_openai_callback
""",
    "a relative module is fine": """
from .langchain.callbacks import get_openai_callback
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb103(source: str) -> None:
    check("CB103", source)
