"""Checks whether a value is an event: `callbridge.events.is_event` and `check_event`, without the types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from callbridge.core.protocol.envelope import is_protocol_event
from callbridge.errors import EventFormatError

__all__ = ["EVENT_NAMES", "EXTENDED_EVENT_NAMES", "NOTES", "completed", "is_whole"]

_RUN_TYPES: Final = ("chain", "prompt", "parser", "chat_model", "llm", "tool", "retriever")

_PAYLOADS: Final = MappingProxyType({"start": "", "stream": "chunk", "end": "output", "error": "error"})
"""The key that the data of an event always has, by phase; `""` if there is none."""

NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {"on_agent_action": "action", "on_agent_finish": "finish", "on_text": "text", "on_retry": "retry_state"}
)
"""The same for the extended events that neither begin nor end a run, by event name."""

_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {**{f"on_{run_type}_{phase}": key for run_type in _RUN_TYPES for phase, key in _PAYLOADS.items()}, **NOTES}
)
"""The same for all events, by name. `on_custom_event` is missing, because its data may be anything."""

_NAME: Final = re.compile(rf"on_.+_({'|'.join(_PAYLOADS)})", re.DOTALL)
"""Matches the name of a run's event. LangChain accepts any string as a run type."""

_OPTIONAL: Final[Mapping[str, type]] = MappingProxyType({"tags": list, "metadata": dict, "parent_ids": list})
"""Fields that servers omit when they are empty, and their types."""

_FIELDS: Final[Mapping[str, type]] = MappingProxyType({"event": str, "name": str, "run_id": str, **_OPTIONAL, "data": object})
"""All fields and their types."""

EXTENDED_EVENT_NAMES: Final[frozenset[str]] = frozenset(_KEYS) | {"on_custom_event"}
"""The names in `Event`: all that `extended=True` yields, including those of v2."""

EVENT_NAMES: Final[frozenset[str]] = frozenset(
    {name for name in _KEYS if name.endswith(("_start", "_stream", "_end"))} | {"on_custom_event", "on_tool_error"}
)
"""The names in `V2Event`."""


def is_whole(value: object) -> bool:
    """Return whether a value is a complete event in the shape that LangChain yields."""
    if not isinstance(value, dict):
        return False
    try:
        name, parent_ids = value["event"], value["parent_ids"]
        if not (
            isinstance(name, str)
            and isinstance(value["name"], str)
            and isinstance(value["run_id"], str)
            and isinstance(value["tags"], list)
            and isinstance(value["metadata"], dict)
            and isinstance(parent_ids, list)
        ):
            return False
        data = value["data"]
    except KeyError:
        return False
    for parent_id in parent_ids:
        if not isinstance(parent_id, str):
            return False
    key = _KEYS.get(name)
    if key is None:
        return _data_problem(name, data) is None
    return isinstance(data, dict) and (not key or key in data)


def completed(value: object) -> dict[str, Any]:
    """Return an incomplete event as a complete one, in a new dict.

    Raises:
        EventFormatError: It is not an event. The message says why.
    """
    if not isinstance(value, Mapping):
        hint = "; callbridge.loads reads JSON" if isinstance(value, (str, bytes)) else ""
        raise EventFormatError(value, f"{type(value).__name__} is not a mapping{hint}")
    if is_protocol_event(value):
        raise EventFormatError(value, "it is an event of version 3; callbridge.ProtocolToEvents turns those into v2 events")
    event = dict(value)
    for field, kind in _OPTIONAL.items():
        if event.get(field) is None:
            event[field] = kind()
    problem = _problem(event)
    if problem is not None:
        raise EventFormatError(value, problem)
    return event


def _problem(event: dict[Any, Any]) -> str | None:
    """Return why a dict is not an event; `None` if it is one."""
    for field, kind in _FIELDS.items():
        if field not in event:
            return f"{field} is missing"
        if not isinstance(event[field], kind):
            return f"{field} is {type(event[field]).__name__}, not {kind.__name__}"
    for parent_id in event["parent_ids"]:
        if not isinstance(parent_id, str):
            return f"parent_ids has {type(parent_id).__name__}, not str"
    return _data_problem(event["event"], event["data"])


def _data_problem(name: str, data: object) -> str | None:
    """Return what is wrong with an event's name or data; `None` if nothing is."""
    if name == "on_custom_event":
        return None
    key = _KEYS.get(name)
    if key is None:
        match = _NAME.fullmatch(name)
        if match is None:
            return f"no event is named {name!r}"
        key = _PAYLOADS[match[1]]
    if not isinstance(data, dict):
        return f"data of {name} is {type(data).__name__}, not dict"
    return f"data of {name} has no {key}" if key and key not in data else None
