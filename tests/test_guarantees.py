"""The page of guarantees: the tests it names exist, its tables are complete, and its figures are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from callbridge.channel import memory
from callbridge.channel.statistics import ChannelStatistics, Overflow
from callbridge.observe.streams import OnExit

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: value.removeprefix("tests/"))
def test_the_tests_that_are_named_exist(path: str, name: str) -> None:
    """Under exactly this name, and not skipped as a whole."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert tests
    assert not name or name in {test.name for test in tests}


def test_all_twenty_behaviours_are_there() -> None:
    """Each with a test, or with the reason why it has none."""
    rows = re.findall(r"^\| (\d+)\. [^|]+ \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 21))
    for number, proof in rows:
        assert "::" in proof or ".py`" in proof or "not promised" in proof, number


def test_every_policy_and_every_exit_has_its_row() -> None:
    """As the code has them."""
    for overflow in get_args(Overflow):
        assert re.search(rf'^\| `"{overflow}"`', PAGE, flags=re.MULTILINE)
    for counter in ("waits", "merged", "dropped", "refused"):
        assert f"`{counter}`" in PAGE
        assert counter in ChannelStatistics.__dataclass_fields__
    assert set(get_args(OnExit)) == {"cancel", "detach"}


def test_the_waits_are_as_long_as_it_says() -> None:
    """A quarter of a second, and a second."""
    assert (memory.POOL_PATIENCE, memory.LOOP_PATIENCE) == (0.25, 1.0)
