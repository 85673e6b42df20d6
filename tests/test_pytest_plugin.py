"""The pytest plugin: a fixture that fails a test with the report, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import callbridge
from callbridge.pytest_plugin import ParityCheck

USER_TESTS = """
import sys
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel

MODEL = FakeListChatModel(responses=["tea"])

class Sender(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs): ...

def test_same(callbridge_parity):
    callbridge_parity(MODEL.invoke, "x", handler=Sender(), new=lambda events: events.text())

def test_other(callbridge_parity):
    callbridge_parity(MODEL.invoke, "x", handler=Sender(), new=lambda events: ["t", "e"])
"""

IDLE = """
import sys

def test_nothing_is_loaded():
    assert "callbridge.testing" not in sys.modules
"""


def run_pytest(directory: Path, content: str) -> subprocess.CompletedProcess[str]:
    path = directory / "test_of_a_user.py"
    path.write_text(content)
    plugins = ["-p", "callbridge.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "-c", str(directory / "none.ini"), str(path)]
    (directory / "none.ini").write_text("[pytest]\n")
    # Named on the command line, not found through its entry point, so that a tree that is not installed will do.
    home = str(Path(callbridge.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": home}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    declared = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\ncallbridge = "callbridge.pytest_plugin"\n' in declared


@pytest.mark.thorough
def test_a_test_fails_with_the_report(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USER_TESTS)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "missing at 2 (regression): old 'a'" in done.stdout


def test_an_unused_plugin_loads_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, IDLE)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.anyio
async def test_async_code_is_checked_too() -> None:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import FakeListChatModel

    class Sender(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: object) -> None: ...

    async def nothing(events: object) -> list[str]:
        return []

    check = ParityCheck()
    model = FakeListChatModel(responses=["tea"])
    assert (await check.run(model.ainvoke, "x", handler=Sender(), new=lambda events: events.text())).identical
    with pytest.raises(pytest.fail.Exception, match="missing"):
        await check.run(model.ainvoke, "x", handler=Sender(), new=nothing)
    assert check.report is not None
    assert not check.report.ok
