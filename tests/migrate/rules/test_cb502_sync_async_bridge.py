"""CB502: bridges in hooks."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "asyncio run": """
import asyncio
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        asyncio.run(self.ws.send_text(token))  # CB502 manual
""",
    "asgiref": """
from asgiref.sync import async_to_sync
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        async_to_sync(self.layer.group_send)('g', token)  # CB502 manual
""",
    "outside of hooks it is fine": """
import asyncio
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        self.n += 1
asyncio.run(main())
""",
    "subprocess run is fine": """
import subprocess
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        subprocess.run(['say', 'done'])
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb502(source: str) -> None:
    check("CB502", source)
