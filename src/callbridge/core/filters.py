"""`EventFilter`: decides which runs a reader wants to hear of.

Source: `_RootEventFilter.include_event` (`langchain_core/runnables/utils.py`, 0.3.0 to 1.8.1). Name, type and tags of a run
never change, so the filter decides once, at its start, and not for each chunk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypedDict

from callbridge.core.calls import Payload
from callbridge.errors import ArgumentError

__all__ = ["EventFilter", "Filters"]


class Filters(TypedDict, total=False):
    """The filters of `astream_events`, as keyword arguments; see `EventFilter`."""

    include_names: Sequence[str] | None
    include_types: Sequence[str] | None
    include_tags: Sequence[str] | None
    exclude_names: Sequence[str] | None
    exclude_types: Sequence[str] | None
    exclude_tags: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The six filters of `astream_events`.

    An event passes if it matches any of the `include_*` filters (or none is given) and none of the `exclude_*` filters.

    Raises:
        ArgumentError: One of them is not a sequence of strings (D17 in `docs/divergences.md`).
    """

    include_names: Sequence[str] | None = None
    """Names of runs, or of custom events."""

    include_types: Sequence[str] | None = None
    """Run types: `chat_model`, `llm`, `chain`, `tool`, ...; for custom events, their names."""

    include_tags: Sequence[str] | None = None
    """Tags. One of them is enough."""

    exclude_names: Sequence[str] | None = None
    """As `include_names`."""

    exclude_types: Sequence[str] | None = None
    """As `include_types`."""

    exclude_tags: Sequence[str] | None = None
    """As `include_tags`."""

    def __post_init__(self) -> None:
        for field in fields(EventFilter):
            _check_names(field.name, getattr(self, field.name))

    def includes(self, name: str, run_type: str, tags: Sequence[str]) -> bool:
        """Return whether the events of such a run pass."""
        return self._included(name, run_type, tags) and not self._excluded(name, run_type, tags)

    def _included(self, name: str, run_type: str, tags: Sequence[str]) -> bool:
        names, types, wanted = self.include_names, self.include_types, self.include_tags
        if names is None and types is None and wanted is None:
            return True
        return (
            (names is not None and name in names)
            or (types is not None and run_type in types)
            or (wanted is not None and any(tag in wanted for tag in tags))
        )

    def _excluded(self, name: str, run_type: str, tags: Sequence[str]) -> bool:
        names, types, unwanted = self.exclude_names, self.exclude_types, self.exclude_tags
        return (
            (names is not None and name in names)
            or (types is not None and run_type in types)
            or (unwanted is not None and any(tag in unwanted for tag in tags))
        )


def _check_names(name: str, value: Payload) -> None:
    if value is None:
        return
    if isinstance(value, str):
        raise ArgumentError(name, value, f"None or a sequence of strings; put it in a list: {name}=[{value!r}]")
    # A set is not a Sequence, but LangChain accepts it.
    is_list = isinstance(value, Collection) and not isinstance(value, Mapping)
    if not is_list or not all(isinstance(one, str) for one in value):
        raise ArgumentError(name, value, "None or a sequence of strings")
