"""The runnables of the differential suites: small, deterministic, of every kind that the contract names.

`SCENARIOS` holds them all; those whose parts the installed packages lack are skipped by `as_params` and named by `missing`.
"""

from __future__ import annotations

# Imported for what they register.
from . import agents, chats, errors, graphs, lcel, legacy, nesting, retrieval, tools  # noqa: F401
from .models import Flaw
from .registry import ALL, ASYNC, SCENARIOS, SYNC, UNBATCHED, WARNINGS, Mode, Scenario, as_params

__all__ = [
    "ALL",
    "ASYNC",
    "AVAILABLE",
    "FILTERS",
    "SCENARIOS",
    "SYNC",
    "UNBATCHED",
    "WARNINGS",
    "Flaw",
    "Mode",
    "Scenario",
    "as_params",
    "by_name",
]

AVAILABLE: list[Scenario] = [one for one in SCENARIOS if one.missing is None]
"""Those that can run here."""

FILTERS: list[dict[str, list[str]]] = [
    {"include_types": ["chain"]},
    {"include_types": ["chat_model", "llm", "tool", "retriever"]},
    {"include_names": ["add_one", "both", "agent", "named call", "dict_event", "RunnableLambda"]},
    {"include_tags": ["seq:step:2", "shared", "graph:step:1"]},
    {"exclude_types": ["prompt", "chain"]},
    {"exclude_names": ["RunnableSequence", "RunnableParallel", "LangGraph", "double"]},
    {"exclude_tags": ["seq:step:1", "step", "outer"]},
    {"include_types": ["chain", "parser"], "include_tags": ["seq:step:1"], "exclude_names": ["add_one", "StrOutputParser"]},
    {"include_names": ["no run has this name"]},
]
"""What to pass as filters, to each scenario that is marked `filtered`."""


def by_name(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        KeyError: There is none.
    """
    for one in SCENARIOS:
        if one.name == name:
            return one
    raise KeyError(name)
