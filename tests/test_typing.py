"""The events as type checkers see them: mypy and pyright read `tests/typing`, nothing runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture(params=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> str:
    """Name of a type checker."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed; the `lint` extra has it")
    return name


def checked(checker: str, home: Path, cache: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run the type checker over files and folders, as strictly as it can, whatever the project's own settings are."""
    environment = dict(os.environ)
    if checker == "mypy":
        options = ["--strict", "--config-file=", f"--cache-dir={cache}"]
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
        (home / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")

    command = [sys.executable, "-m", checker, *options, *map(str, paths)]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def test_the_events_are_typed_and_wrong_code_is_reported(checker: str, tmp_path: Path, cache: pytest.Cache) -> None:
    """Every name narrows to its class, and loops check as they are.

    The checkers would tell: of a value of the wrong type, of a key of another event and of a comment without need.
    """
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG, encoding="utf-8")
    result = checked(checker, tmp_path, cache.mkdir("mypy"), FILES, wrong)
    assert result.returncode == 1, result.stdout + result.stderr
    errors = [line for line in result.stdout.splitlines() if "error:" in line]
    assert all("wrong.py:" in line for line in errors), result.stdout
    assert {int(line.split("wrong.py:")[1].split(":")[0]) for line in errors} == {5, 7, 8}
    for reason in REASONS[checker]:
        assert reason in result.stdout
