"""A handler under test, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Entries", "Subject", "tree"]

Entries: TypeAlias = "list[dict[str, Any]]"


@dataclass
class Subject:
    """A handler, and what to ask for its record when the run is over."""

    handler: Any
    record: Callable[[], Entries]


def tree(nodes: dict[Any, tuple[Any, str]], entries: dict[Any, dict[str, Any]]) -> Entries:
    """Give entries the path of their nodes: a node has a parent and a name."""

    def path(node: Any) -> tuple[str, ...]:
        if node not in nodes:
            return ()
        parent, name = nodes[node]
        return (*path(parent), name)

    return [{"path": path(node), **entry} for node, entry in entries.items()]
