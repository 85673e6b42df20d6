"""CB104: imports of names without a successor."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "removed names": """
from langchain import set_handler  # CB104 manual
from langchain.callbacks import get_callback_manager, tracing_enabled  # CB104 manual # CB104 manual
from langchain.callbacks.tracers.schemas import TracerSession  # CB104 manual
""",
    "own functions of that name are fine": """
from myapp.callbacks import get_callback_manager
from langchain import LLMChain
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb104(source: str) -> None:
    check("CB104", source)
