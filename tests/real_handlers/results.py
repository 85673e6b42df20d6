"""What has been found out about each cell, in a file that grows by a line with each run, so that nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Cell", "Difference", "Results", "add", "begin", "stamp"]

ROOT = Path(__file__).parents[2]
_SHARED = ("comparing.py", "provider.py", "runs.py", "subject.py", "ways.py", "results.py", "cells.py")
_NAMED = ("langchain", "langchain-core", "langgraph", "langchain-openai")

Difference: TypeAlias = tuple[str, str, str]
"""Where, what is there attached, what is here dispatched."""


@dataclass(frozen=True)
class Cell:
    """One handler, run and way."""

    differences: tuple[Difference, ...] = ()
    is_new: bool = False
    """Whether the handler records nothing attached, and does when it is dispatched to."""


@dataclass
class Results:
    """All that one file says."""

    stamp: str
    versions: dict[str, str]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    """By run and way."""

    @classmethod
    def read(cls, path: Path) -> Results | None:
        """Return what a file says; None if there is none."""
        if not path.exists():
            return None
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not lines:
            return None
        results = cls(**lines[0])
        for line in lines[1:]:
            results.cells[line["run"]] = {way: _cell(told) for way, told in line["cells"].items()}
        return results


def _cell(told: dict[str, Any]) -> Cell:
    return Cell(tuple((where, there, here) for where, there, here in told["differences"]), told["is_new"])


def stamp(module: Path) -> str:
    """Return what tells one state of callbridge and of this command from another, and one of a handler's own module."""
    here = Path(__file__).parent
    files = [*sorted((ROOT / "src").rglob("*.py")), *(here / name for name in _SHARED)]
    return " ".join(_digest(path.read_bytes() for path in group) for group in (files, [module]))


def _digest(parts: Iterable[bytes]) -> str:
    known = hashlib.sha256()
    for part in parts:
        known.update(part)
    return known.hexdigest()[:16]


def begin(path: Path, mark: str, distribution: str) -> Results:
    """Open a file to go on with it, or begin it anew if it is of another state of things."""
    versions = {name: version(name) for name in (*_NAMED, distribution)} | {"python": platform.python_version()}
    known = Results.read(path)
    if known is not None and (known.stamp, known.versions) == (mark, versions):
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stamp": mark, "versions": versions}) + "\n", encoding="utf-8")
    return Results(mark, versions)


def add(path: Path, run: str, cells: dict[str, Cell]) -> None:
    """Write down one run."""
    told = {way: {"differences": cell.differences, "is_new": cell.is_new} for way, cell in cells.items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"run": run, "cells": told}) + "\n")
