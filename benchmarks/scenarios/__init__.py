"""All scenarios, with a file for each family."""

from __future__ import annotations

from benchmarks.scenario import Scenario
from benchmarks.scenarios import (
    dispatching,
    full,
    growth,
    json_text,
    latency,
    memory,
    platforms,
    reading,
    relaying,
    same_loop,
    sync_calls,
    threads,
    wire_formats,
)

__all__ = ["HIDDEN", "SCENARIOS"]

_FAMILIES = (
    reading,
    same_loop,
    threads,
    latency,
    dispatching,
    sync_calls,
    memory,
    growth,
    json_text,
    wire_formats,
    full,
    platforms,
    relaying,
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for family in _FAMILIES for scenario in family.SCENARIOS}
"""Name to scenario, in the order in which they run."""

HIDDEN: dict[str, Scenario] = {memory.INSIDE.name: memory.INSIDE}
"""Parts of other scenarios, which you cannot run by name."""
