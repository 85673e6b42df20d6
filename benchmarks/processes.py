"""Runs each scenario in its own process, so that none inherits the garbage, threads or warm caches of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import ScenarioResult

__all__ = ["ROOT", "ScenarioFailedError", "environment", "imported_from", "measure_once", "measure_scenario"]

ROOT = Path(__file__).resolve().parent.parent
"""The directory that `benchmarks` is in."""


class ScenarioFailedError(Exception):
    """The process of a scenario ended without a result. The message is its output."""


def measure_scenario(
    name: str, *, quick: bool, progress: Callable[[int, int], None], source: Path | None = None
) -> ScenarioResult:
    """Measure a scenario in its own process.

    Args:
        name: The scenario's name.
        quick: Whether a rough figure is enough.
        progress: Called with the number of rounds done and their total.
        source: The source tree whose callbridge is measured; `None`: the one that is installed.

    Raises:
        ScenarioFailedError: Measuring it failed.
    """
    command = [sys.executable, "-m", "benchmarks.measuring", name, *(["--quick"] if quick else [])]
    result: ScenarioResult | None = None
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(source), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "result" in said:
                result = ScenarioResult.from_json(said["result"])
            else:
                progress(said["round"], said["of"])
        status = process.wait()
        errors.seek(0)
        if result is None:
            raise ScenarioFailedError(errors.read().strip() or f"exit status {status}")
    return result


def environment(source: Path | None) -> dict[str, str] | None:
    """Return the variables of a process that imports callbridge out of a source tree; `None`: those of this one."""
    if source is None:
        return None
    path = [str(source / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def imported_from(source: Path) -> Path:
    """Return where such a process imports callbridge from."""
    command = [sys.executable, "-c", "import callbridge; print(callbridge.__file__)"]
    done = subprocess.run(command, cwd=ROOT, env=environment(source), capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def measure_once(python: str, scenario: str, contender: str, items: int) -> float:
    """Run one contender once in another interpreter. Return the cost.

    Raises:
        ScenarioFailedError: It did not run.
    """
    command = [python, "-m", "benchmarks.measuring", scenario, "--contender", contender, "--items", str(items)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScenarioFailedError(f"{python}: {done.stderr.strip()}")
    cost: float = json.loads(done.stdout)["cost"]
    return cost
