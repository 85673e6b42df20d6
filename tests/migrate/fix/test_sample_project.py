"""The sample project: what a scan finds in it, and that it works as before when it has been rewritten."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import callbridge
from callbridge.migrate.analysis.files import find_files
from callbridge.migrate.commands.fix import FileOutcome, fix_files
from callbridge.migrate.commands.scan import scan_files
from callbridge.migrate.edits.patch import unified_patch
from callbridge.migrate.edits.rewriting import Options

pytest.importorskip("libcst")

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "examples" / "legacy_project"
EXPECTED = Path(__file__).with_name("sample_findings.txt")
SAFE = {"helpdesk/api.py", "helpdesk/cli.py", "helpdesk/ui.py", "scripts/digest.py"}
VARIANTS = [Options(), Options(unsafe=True), Options(level=2), Options(unsafe=True, level=2)]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Give a copy of the project."""
    copy = tmp_path / "project"
    shutil.copytree(SAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def outcomes(directory: Path, options: Options) -> list[FileOutcome]:
    """Work out what the command would do."""
    files = find_files([str(directory)], directory)
    return fix_files(files, dict(files), options)


@cache
def first_outcomes(options: Options) -> list[FileOutcome]:
    """Work out what the command would do to the project as it is."""
    return outcomes(SAMPLE, options)


def apply(directory: Path, found: list[FileOutcome]) -> set[str]:
    """Rewrite a copy of the project, and return which files have changed."""
    changed = {outcome.path: outcome.after for outcome in found if outcome.changed}
    for path, data in changed.items():
        (directory / path).write_bytes(data)
    return set(changed)


def findings(directory: Path) -> list[str]:
    """Return what a scan finds, a line each: the rule, the verdict, and where."""
    results = scan_files(find_files([str(directory)], directory))
    return [
        f"{finding.path} {finding.qualname} {finding.rule} {finding.verdict}"
        for result in results
        for finding in result.findings
    ]


RUNNER = """
import os, sys
import pytest
import flask, httpx, langchain_classic.agents, langchain_classic.chains, langchain_openai, starlette.testclient

for place in sys.argv[1:]:
    pid = os.fork()
    if not pid:
        os.chdir(place)
        for number in (1, 2):
            os.dup2(os.open(place + ".txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        status = pytest.main(["-q", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning", "."])
        sys.stdout.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Runs the tests of several projects. Each has a process of its own; what all of them import is imported once."""


def run_tests(*projects: Path) -> list[str]:
    """Run the projects' own tests, and return what pytest says at the end of each."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTEST_"))}
    env["PYTHONPATH"] = str(Path(callbridge.__file__).parents[1])
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the project needs none, and loading ours takes as long as its tests
    command = [sys.executable, "-c", RUNNER, *map(str, projects)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    said = [Path(f"{project}.txt").read_text(encoding="utf-8") for project in projects]
    assert done.stdout.split() == ["0"] * len(projects), "\n".join([*said, done.stdout, done.stderr])
    return [each.splitlines()[-1] for each in said]


def test_a_scan_finds_what_is_there_and_nothing_else() -> None:
    """Compared with a list that has been read by eye."""
    expected = EXPECTED.read_text(encoding="utf-8").splitlines()
    assert findings(SAMPLE) == [line for line in expected if line and not line.startswith("#")]


def test_the_safe_edits_are_these() -> None:
    """Places of all kinds that can be proved are rewritten; what stays has a reason."""
    found = first_outcomes(Options())
    assert {outcome.path for outcome in found if outcome.changed} == SAFE
    rules = [change.rule for outcome in found if outcome.rewritten for change in outcome.rewritten.changes]
    assert sorted(rules) == ["CB101", "CB101", "CB201", "CB202", "CB204", "CB301", "CB301", "CB305", "CB306", "CB307", "CB701"]
    assert all(refusal.reason for outcome in found if outcome.rewritten for refusal in outcome.rewritten.refusals)


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: f"level {options.level}{' unsafe' if options.unsafe else ''}")
def test_rewriting_twice_is_rewriting_once(sample: Path, options: Options) -> None:
    """Files that have been rewritten parse, are not rewritten again, and have none of what was rewritten."""
    found = first_outcomes(options)
    rewritten = {(one.path, change.rule) for one in found if one.rewritten for change in one.rewritten.changes}
    assert apply(sample, found) >= SAFE
    for path in sample.rglob("*.py"):
        ast.parse(path.read_bytes())
    assert apply(sample, outcomes(sample, options)) == set()
    left = {(line.split()[0], line.split()[2]) for line in findings(sample)}
    assert not rewritten & left


def test_the_patch_is_one_that_git_applies(sample: Path) -> None:
    """A patch of the whole project, applied to a copy that was not rewritten."""
    patch = b"".join(unified_patch(each.path, each.before, each.after) for each in first_outcomes(Options()))
    for command in (["git", "init", "-q"], ["git", "apply", "-"]):
        done = subprocess.run(command, cwd=sample, input=patch, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert apply(sample, outcomes(sample, Options())) == set()


@pytest.mark.skipif(importlib.util.find_spec("langchain_classic") is None, reason="the project needs langchain-classic")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.timeout(400)
def test_the_tests_of_the_project_pass_before_and_after(tmp_path: Path) -> None:
    """Before, what is broken on langchain 1.x is skipped; after, everything runs."""
    variants = {"before": None, "safe": VARIANTS[0], "unsafe": VARIANTS[1], "level 2": VARIANTS[3]}
    for name, options in variants.items():
        shutil.copytree(SAMPLE, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        if options is not None:
            assert apply(tmp_path / name, first_outcomes(options)) >= SAFE
    before, *after = run_tests(*(tmp_path / name for name in variants))
    assert "11 passed, 3 skipped" in before
    assert all("14 passed" in said for said in after), after
