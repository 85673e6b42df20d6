"""Make two runs of one scenario comparable with `==`.

What differs between two equal runs is replaced: ids by labels in order of first appearance (so that equal ids stay equal and
different ones different), times by a constant, exceptions by type and arguments, functions by their names. Nothing else is.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.callbacks.manager import BaseRunManager
from pydantic import BaseModel

_UUID = r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])"
_HASH = r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
_ID = re.compile(f"{_UUID}|{_HASH}")
_FIXED = "00000000-"
"""How the ids begin that a scenario sets by hand: those are data."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_SHORTEST_ID, _SHORTEST_TIME = 32, 19
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_COMMON = frozenset([str, bool, int, float, type(None)])
_PLAIN = (bool, int, float, complex, bytes, type(None), Enum)


def normalise(value: Any) -> Any:
    """`value` (events, calls, anything inside them) with labels for ids and constants for times.

    Run ids, parent ids, message ids made of run ids (`run-…`, `run--…`, `lc_run--…`: the prefix stays), LangGraph's checkpoint
    namespaces and interrupt ids all hold a UUID or a 32-digit hash, and are labelled wherever they stand.
    Objects become dicts of their class and fields; the input is never written to.
    """
    return _Normaliser().convert(value)


class _Normaliser:
    def __init__(self, *, blind: bool = False) -> None:
        self._labels: dict[str, str] = {}
        self._blind = blind
        self._open: set[int] = set()

    def convert(self, value: Any) -> Any:
        kind = type(value)
        if kind in _COMMON:  # nearly all of it
            return value if kind is not str or (len(value) < _SHORTEST_TIME and " at 0x" not in value) else self._text(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, UUID):
            return f"UUID({self._text(str(value))})"
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, date):
            return "<time>"
        if id(value) in self._open:
            return "<itself>"
        self._open.add(id(value))
        try:
            return self._compound(value)
        finally:
            self._open.discard(id(value))

    def _compound(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            # Sorted, as `==` on dicts takes no notice of the order and the labels must not either.
            return {self.convert(key): self.convert(value[key]) for key in sorted(value, key=repr)}
        if isinstance(value, tuple):
            return tuple(self.convert(item) for item in value)
        if isinstance(value, (list, deque)):
            return [self.convert(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return ("set", [self.convert(item) for item in sorted(value, key=repr)])
        if isinstance(value, BaseException):
            return self._exception(value)
        if isinstance(value, (BaseCallbackHandler, BaseCallbackManager, BaseRunManager)):
            # Some runs have their manager among their inputs; it holds the handler that observes them.
            return "<callbacks>"
        if isinstance(value, type) or hasattr(value, "__qualname__"):
            return f"<{getattr(value, '__module__', '')}.{value.__qualname__}>"
        if type(value).__name__ == "RetryCallState":
            return self._retry_state(value)
        return self._object(value)

    def _text(self, text: str) -> str:
        text = str(text)
        # Most texts are short keys and names, in which nothing can be.
        if len(text) >= _SHORTEST_TIME:
            text = _TIME.sub("<time>", text)
        if " at 0x" in text:
            text = _ADDRESS.sub("", text)
        return _ID.sub(lambda found: self._label(found[0]), text) if len(text) >= _SHORTEST_ID else text

    def _label(self, identifier: str) -> str:
        if identifier.startswith(_FIXED):
            return identifier
        if self._blind:
            return "<id>"
        return self._labels.setdefault(identifier, f"<id {len(self._labels) + 1}>")

    def _exception(self, error: BaseException) -> dict[str, Any]:
        # Some (pydantic's ValidationError) keep everything outside `args`.
        told = self.convert(error.args) if error.args else self._text(str(error))
        return {"exception": f"{type(error).__module__}.{type(error).__qualname__}", "args": told}

    def _retry_state(self, state: Any) -> dict[str, Any]:
        outcome = state.outcome
        raised = outcome.exception() if outcome is not None and outcome.failed else None
        return {"__class__": "RetryCallState", "attempt": state.attempt_number, "raised": self.convert(raised)}

    def _object(self, value: Any) -> Any:
        fields = {"__class__": f"{type(value).__module__}.{type(value).__qualname__}"}
        for name, field in _fields(value).items():
            fields[name] = self.convert(field)
        return fields


def _fields(value: Any) -> dict[str, Any]:
    """The state of an object, by name; what pydantic's own `==` compares, for its models."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {}), **(value.__pydantic_private__ or {})}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    state = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                state[slot] = getattr(value, slot)
    return dict(sorted(state.items()))


# -- runs that overlap


def per_run(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events as a forest of runs, for scenarios whose runs overlap: the order between runs is no property of them.

    Kept: every event, the order within each run, who is whose child, that a parent's first event comes before its children's.
    Given up: the order between runs, and, within one run, that between stream chunks that are dicts with different keys
    (a parallel's or a graph's chunks come as its branches finish).

    Raises:
        AssertionError: A child was seen before its parent, or the events of one run disagree about its parents.
    """
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        runs.setdefault(event["run_id"], []).append(event)
    order = {run_id: position for position, run_id in enumerate(runs)}
    children: dict[str | None, list[str]] = {}
    for run_id, own in runs.items():
        parents = {tuple(event["parent_ids"]) for event in own}
        assert len(parents) == 1, f"run {run_id} has the parents {parents}"
        known = [parent for parent in next(iter(parents)) if parent in runs]
        for parent in known:
            assert order[parent] < order[run_id], f"{own[0]['event']} of {own[0]['name']} came before its parent's first event"
        children.setdefault(known[-1] if known else None, []).append(run_id)
    forest: list[dict[str, Any]] = normalise([tree for _, tree in _grown(None, runs, children)])
    return forest


def _grown(
    parent: str | None, runs: Mapping[str, list[Mapping[str, Any]]], children: Mapping[str | None, list[str]]
) -> list[tuple[str, dict[str, Any]]]:
    """The subtrees below a run, each with its shape (what it is, ids aside), ordered by shape."""
    grown = []
    for run_id in children.get(parent, ()):
        below = _grown(run_id, runs, children)
        own = _in_key_order(runs[run_id])
        shape = repr((_Normaliser(blind=True).convert(own), [inner for inner, _ in below]))
        grown.append((shape, {"events": own, "runs": [tree for _, tree in below]}))
    return sorted(grown, key=lambda item: item[0])


def _in_key_order(own: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Neighbouring stream events with dict chunks, stably ordered by the chunks' keys."""
    ordered: list[Mapping[str, Any]] = []
    group: list[Mapping[str, Any]] = []
    for event in own:
        chunk = event["data"].get("chunk") if event["event"].endswith("_stream") else None
        if isinstance(chunk, Mapping):
            group.append(event)
            continue
        ordered += sorted(group, key=_chunk_keys)
        group = []
        ordered.append(event)
    return ordered + sorted(group, key=_chunk_keys)


def _chunk_keys(event: Mapping[str, Any]) -> str:
    return repr(_keys(event["data"]["chunk"]))


def _keys(value: Any) -> Any:
    return sorted((str(key), _keys(item)) for key, item in value.items()) if isinstance(value, Mapping) else ()
