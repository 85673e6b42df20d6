"""CB102: imports of handlers that only langchain-classic has."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "streaming handlers": """
from langchain.callbacks import AsyncIteratorCallbackHandler  # CB102 auto-review
from langchain.callbacks.streaming_aiter import AsyncIteratorCallbackHandler as Again  # CB102 auto-review
from langchain.callbacks.streaming_stdout_final_only import FinalStreamingStdOutCallbackHandler  # CB102 auto-review
""",
    "classic itself is fine": """
from langchain_classic.callbacks import AsyncIteratorCallbackHandler
""",
    "names of core are another rule": """
from langchain.callbacks import StreamingStdOutCallbackHandler
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb102(source: str) -> None:
    check("CB102", source)
