"""Two records side by side: what differs, and which documented loss that is."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

__all__ = ["differences", "flat", "losses", "masked"]

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


def differences(
    reference: Counter[tuple[str, str]], again: Counter[tuple[str, str]], found: Counter[tuple[str, str]]
) -> list[tuple[str, str, str]]:
    """Return where two records differ, but for what differs from one reference to the next: place, there, here."""
    unstable = {place for place, _ in (reference - again) + (again - reference)}
    there, here = reference - found, found - reference
    places = sorted({place for place, _ in there + here} - unstable)
    said = [dict(one.keys()) for one in (there, here)]
    return [(place, said[0].get(place, "-"), said[1].get(place, "-")) for place in places]


def losses(cell: str, found: list[tuple[str, str, str]], rows: dict[str, str]) -> tuple[set[str], list[tuple[str, str, str]]]:
    """Return the documented losses that explain differences, and the differences that none explains.

    Args:
        cell: The way that was gone, and the run, as patterns name them.
        found: Of `differences`.
        rows: A pattern of "way [run]: place = there -> here" to the row of the page that the difference belongs to.
    """
    named: set[str] = set()
    left = []
    for difference in found:
        place, there, here = difference
        said = f"{cell}: {place} = {there} -> {here}"
        row = next((row for pattern, row in rows.items() if re.search(pattern, said)), None)
        if row is None:
            left.append(difference)
        else:
            named.add(row)
    return named, left
