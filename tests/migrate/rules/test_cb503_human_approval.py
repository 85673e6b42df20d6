"""CB503: approval."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "the built in": """
from langchain.callbacks import HumanApprovalCallbackHandler
handler = HumanApprovalCallbackHandler()  # CB503 manual
""",
    "a look alike": """
from langchain_core.callbacks import BaseCallbackHandler
class Ask(BaseCallbackHandler):  # CB503 manual
    raise_error = True
    def on_tool_start(self, serialized, input_str, **kwargs):
        if input('ok? ') != 'y':
            raise PermissionError
""",
    "asking elsewhere is fine": """
from langchain_core.callbacks import BaseCallbackHandler
class Log(BaseCallbackHandler):
    def on_tool_start(self, serialized, input_str, **kwargs):
        self.log(input_str)
name = input('name? ')
""",
    "a look alike of the project, attached": """
from langchain_core.callbacks import BaseCallbackHandler
from langchain_community.tools import ShellTool
class Gate(BaseCallbackHandler):  # CB503 manual
    def on_tool_start(self, serialized, input_str, **kwargs):
        if not self._approve(input_str):
            raise PermissionError(input_str)
tool = ShellTool(callbacks=[Gate()])  # CB503 manual
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb503(source: str) -> None:
    check("CB503", source)
