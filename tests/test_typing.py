"""The events as type checkers see them: mypy and pyright read `tests/typing`, nothing runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

import callbridge.events

pytestmark = pytest.mark.thorough

SOURCE = Path(callbridge.events.__file__).parents[1]
FILES = Path(__file__).parent / "typing"

WRONG = """\
from callbridge.events import Event

def text(event: Event) -> str:
    if event["event"] == "on_chat_model_stream":
        return event["data"]["chunk"]
    if event["event"] == "on_tool_start":
        return str(event["data"]["output"])
    return ""  # type: ignore[return-value]  # pyright: ignore
"""

REASONS = {
    "mypy": ("[return-value]", "[typeddict-item]", "[unused-ignore]"),
    "pyright": ("reportReturnType", "reportGeneralTypeIssues", "reportUnnecessaryTypeIgnoreComment"),
}
"""Checker to what it calls the mistakes in `WRONG`."""

Check: TypeAlias = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> str:
    """Name of a type checker."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; the `lint` extra has it")
    return name


@pytest.fixture
def check(checker: str, tmp_path: Path, cache: pytest.Cache) -> Check:
    """Run the type checker over a file or folder, as strictly as it can, whatever the project's own settings are."""
    environment = dict(os.environ)
    if checker == "mypy":
        options = ["--strict", "--config-file=", f"--cache-dir={cache.mkdir('mypy')}"]
        # Errors of callbridge itself are told by the run over `src`; here the question is what its users see.
        options += ["--follow-imports=silent"]
        if "site-packages" not in SOURCE.parts:  # where mypy finds it, and refuses to be told
            environment["MYPYPATH"] = str(SOURCE)
    else:
        options = ["--pythonpath", sys.executable]
        environment["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"  # or it asks the network for a newer version
        settings = {
            "extraPaths": [str(SOURCE)],
            "typeCheckingMode": "strict",
            "enableTypeIgnoreComments": False,  # those are mypy's
            "reportUnnecessaryTypeIgnoreComment": "error",
            # LangChain 0.3 has generics without arguments.
            "reportUnknownArgumentType": "none",
            "reportUnknownMemberType": "none",
            "reportUnknownVariableType": "none",
        }
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")

    def run(path: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", checker, *options, str(path)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_events_are_typed(check: Check) -> None:
    """Every name narrows to its class, loops check as they are, and mistakes are reported."""
    result = check(FILES)
    assert result.returncode == 0, result.stdout + result.stderr


def test_wrong_code_is_reported(checker: str, check: Check, tmp_path: Path) -> None:
    """The checkers would tell: of a value of the wrong type, of a key of another event and of a comment without need."""
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, encoding="utf-8")
    result = check(file)
    errors = [line for line in result.stdout.splitlines() if "wrong.py:" in line and "error:" in line]
    assert result.returncode == 1, result.stdout + result.stderr
    assert {int(line.split("wrong.py:")[1].split(":")[0]) for line in errors} == {5, 7, 8}
    for reason in REASONS[checker]:
        assert reason in result.stdout
