"""Two records side by side: what differs."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, TypeAlias

__all__ = ["differences", "flat", "masked"]

Record: TypeAlias = "Counter[tuple[str, str]]"
"""Where something is and what it is, with how often."""

_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"0x[0-9a-f]+"), "<address>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<server>"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<time>"),
    (re.compile(r"Traceback \(most recent call last\):.*", re.DOTALL), "<traceback>"),
)


def masked(value: Any) -> Any:
    """Return a value without ids, times and addresses; text that is JSON as what it says."""
    if isinstance(value, dict):
        return {str(key): masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                return masked(json.loads(value))
            except ValueError:
                pass
        for pattern, mask in _MASKS:
            value = pattern.sub(mask, value)
        return value
    return value if isinstance(value, (int, float, bool)) or value is None else masked(str(value))


def flat(entries: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Return the leaves of all entries, each as where it is and what it is.

    An entry has a `path`, the names of the runs from the root down to its own; entries are told apart by that alone, so that
    the order of branches does not matter.
    """
    leaves: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        path = " > ".join(map(str, entry["path"]))
        rest = masked({key: value for key, value in entry.items() if key != "path"})
        leaves[path, "is there"] += 1
        for key, value in _leaves(rest, ""):
            leaves[f"{path} | {key}", json.dumps(value, sort_keys=True, default=str)] += 1
    return leaves


def _leaves(value: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{prefix}.{key}" if prefix else key)]
    if isinstance(value, list) and value:
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, f"{prefix}[{number}]")]
    return [(prefix, value)]


def differences(reference: Record, again: Record, found: Record) -> list[tuple[str, str, str]]:
    """Return where two records differ, but for what differs from one reference to the next: place, there, here."""
    found, parents = _in_place(reference, found)
    unstable = {place for place, _ in (reference - again) + (again - reference)}
    there, here = reference - found, found - reference
    places = sorted({place for place, _ in there + here} - unstable)
    return [*parents, *((place, _at(place, there), _at(place, here)) for place in places)]


def _in_place(reference: Record, found: Record) -> tuple[Record, list[tuple[str, str, str]]]:
    """Put runs that stand below others than in the reference where the reference has them.

    Returns:
        The record with such runs moved, and a difference for each of them, which names what is above it. Runs below one that
        is moved go with it.
    """
    there, here = ({_path(place) for place, _ in record} for record in (reference, found))
    moved: dict[str, str] = {}
    parents = []
    for path in sorted(here - there):
        above, _, name = path.rpartition(" > ")
        wanted = [other for other in there - here if other.rpartition(" > ")[2] == name]
        if len(wanted) != 1:
            continue
        moved[path] = wanted[0]
        expected = wanted[0].rpartition(" > ")[0]
        if moved.get(above) != expected:
            parents.append((f"{wanted[0]} | parents", expected or "-", above or "-"))
    settled: Record = Counter()
    for (place, value), times in found.items():
        path, bar, key = place.partition(" | ")
        settled[moved.get(path, path) + bar + key, value] += times
    return settled, parents


def _path(place: str) -> str:
    return place.partition(" | ")[0]


def _at(place: str, leaves: Counter[tuple[str, str]]) -> str:
    """Return what is at a place: one value, several with bars between them, or a dash."""
    return " | ".join(sorted(value for where, value in leaves.elements() if where == place)) or "-"
