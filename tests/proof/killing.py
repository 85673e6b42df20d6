"""Runs models against whatever `callbridge` is on the path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import hypothesis.core
import pytest
from test_model import MACHINES, check

ASSERTIONS = (AssertionError, pytest.fail.Exception)
"""How a model says no. `pytest.raises` does it in its own way."""


def run(model: str, seed: int, examples: int) -> dict[str, Any]:
    """Run one model until it fails, or for so many examples."""
    counted = 0

    class Counted(MACHINES[model]):  # type: ignore[misc]
        def __init__(self) -> None:
            nonlocal counted
            counted += 1
            super().__init__()

    hypothesis.core.global_force_seed = seed
    try:
        check(Counted, examples)
    except ASSERTIONS:
        outcome = "killed"
    except Exception as error:
        outcome = repr(error)
    else:
        outcome = "passed"
    return {"model": model, "seed": seed, "outcome": outcome, "examples": counted}


def main(models: Sequence[str], seeds: int, examples: int) -> None:
    """Run models, each with so many seeds, and print what came of them as JSON."""
    found = [run(model, seed, examples) for model in models for seed in range(seeds)]
    print(json.dumps(found))  # noqa: T201 - for the process that waits for this one
