"""The registry: what a scenario is, and how a module adds one."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeAlias

import pytest
from packaging.requirements import Requirement

Mode: TypeAlias = Literal["invoke", "ainvoke", "stream", "astream", "batch", "abatch", "astream_events"]
Made: TypeAlias = "tuple[Any, Any]"
"""A runnable and its input."""

SYNC: tuple[Mode, ...] = ("invoke", "stream", "batch")
ASYNC: tuple[Mode, ...] = ("ainvoke", "astream", "abatch", "astream_events")
ASYNC_UNBATCHED: tuple[Mode, ...] = ("ainvoke", "astream", "astream_events")
ALL: tuple[Mode, ...] = SYNC + ASYNC
UNBATCHED: tuple[Mode, ...] = ("invoke", "stream", "ainvoke", "astream", "astream_events")
"""For what keeps state between two calls, a checkpointer, a chat history, a memory, and for what fails."""

LEGACY = "langchain-classic | langchain<1"
"""The package that holds the old chains and agents."""


@dataclass(frozen=True)
class Scenario:
    """One runnable with its input, made afresh for every run.

    Attributes:
        name: Unique; the id of the test.
        kind: Which kind of the contract it belongs to.
        make: Builds new objects at every call, so that two runs have nothing in common.
        config: Builds the config of the call; `None` for an empty one.
        raises: What the call raises; `None` if it succeeds.
        modes: The ways to call it that make sense.
        needs: Requirements, comma separated, alternatives with `|`: "langgraph>=0.6", "langchain-classic | langchain<1".
        concurrent: Runs overlap, so that only the order within each run is determined (compare with `oracle.per_run`).
        filtered: Run it under every one of `FILTERS` too.
        self_reporting: What a model at the root reports as tokens is not what its iterator yields.
    """

    name: str
    kind: str
    make: Callable[[], Made]
    config: Callable[[], dict[str, Any]] | None = None
    raises: type[BaseException] | None = None
    modes: tuple[Mode, ...] = ALL
    needs: str = ""
    concurrent: bool = False
    filtered: bool = False
    self_reporting: bool = False

    def __str__(self) -> str:
        return self.name

    def new_config(self) -> dict[str, Any]:
        """A new config for one call."""
        return self.config() if self.config is not None else {}

    @property
    def missing(self) -> str | None:
        """The first requirement that the installed packages do not meet, or `None`."""
        for need in filter(None, (part.strip() for part in self.needs.split(","))):
            if not any(_installed(alternative) for alternative in need.split("|")):
                return need
        return None


@lru_cache
def _installed(requirement: str) -> bool:
    wanted = Requirement(requirement.strip())
    if wanted.name == "python":
        return wanted.specifier.contains(platform.python_version())
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


SCENARIOS: list[Scenario] = []

WARNINGS: list[str] = [
    # langchain-core 0.3.0 reads `model_fields` of instances in every prompt; pydantic 2.11 deprecates that.
    "ignore:Accessing the 'model_fields' attribute on the instance:DeprecationWarning",
    # The legacy router chain calls a method that its own package deprecates.
    "ignore:The a?predict_and_parse method is deprecated:UserWarning",
]
"""What third parties warn about while a scenario runs, as `pytest.mark.filterwarnings` takes it."""


def scenario(kind: str, **options: Any) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Register the decorated maker under its own name.

    Raises:
        ValueError: The name is taken.
    """

    def register(make: Callable[[], Made]) -> Callable[[], Made]:
        name = make.__name__
        if any(known.name == name for known in SCENARIOS):
            raise ValueError(f"two scenarios are called {name!r}")
        if options.get("raises"):
            # Whether a batch starts its second call before the first one's error is known is a matter of luck.
            options.setdefault("modes", UNBATCHED)
        SCENARIOS.append(Scenario(name=name, kind=kind, make=make, **options))
        return make

    return register


def as_params(scenarios: list[Scenario]) -> list[Any]:
    """One pytest parameter per scenario, with `WARNINGS` filtered; skipped are those whose parts are not installed."""
    filtered = pytest.mark.filterwarnings(*WARNINGS)
    return [pytest.param(one, id=one.name, marks=[filtered, *_skipped(one)]) for one in scenarios]


def _skipped(one: Scenario) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(reason=f"needs {one.missing}")] if one.missing else []
