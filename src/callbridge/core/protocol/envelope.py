"""Envelopes of protocol events: recognizes them, opens them, and finds out where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from callbridge.core.calls import Payload
from callbridge.core.protocol.table import MESSAGE_EVENTS
from callbridge.errors import EventFormatError

__all__ = ["Opened", "check_namespace", "is_answer", "is_protocol_event", "namespace_of", "opened"]

_SEPARATOR = "|"
"""Separates the parts of LangGraph's `langgraph_checkpoint_ns`. Each part is a node and a task: `child:7d1d`."""


class Opened(NamedTuple):
    """The contents of an envelope."""

    method: str
    namespace: tuple[str, ...]
    data: Payload
    metadata: Mapping[str, Any]
    """Metadata of the run: in process it is beside the data, on the wire in the params. Mostly empty."""


def is_protocol_event(value: object) -> bool:
    """Return whether a value looks like an envelope or a message event, and not like a v2 event."""
    if not isinstance(value, Mapping):
        return False
    if ("method" in value and "params" in value) or is_answer(value):
        return True
    name = value.get("event")
    return "run_id" not in value and isinstance(name, str) and name in MESSAGE_EVENTS


def is_answer(value: Mapping[str, Any]) -> bool:
    """Return whether a value is a reply to a command. On a WebSocket, servers send these among the events."""
    return value.get("type") == "success" and "result" in value and "method" not in value


def opened(value: Mapping[str, Any]) -> Opened:
    """Return the contents of an envelope. A bare message event counts as one of the channel `messages`.

    Raises:
        EventFormatError: It is neither.
    """
    if "method" not in value and "params" not in value:
        if not isinstance(value.get("event"), str) or "run_id" in value:
            raise EventFormatError(value, "neither an envelope nor a message event", kind="protocol")
        return Opened("messages", (), value, {})
    method, params = value.get("method"), value.get("params")
    if not isinstance(method, str):
        raise EventFormatError(value, f"method is {type(method).__name__}, not str", kind="protocol")
    if not isinstance(params, Mapping):
        raise EventFormatError(value, f"params is {type(params).__name__}, not a mapping", kind="protocol")
    namespace = check_namespace(value, params.get("namespace", []))
    if "data" not in params:
        raise EventFormatError(value, "params have no data", kind="protocol")
    data, metadata = params["data"], {key: params[key] for key in ("run_id", "node") if key in params}
    if method == "messages" and isinstance(data, (list, tuple)):
        if len(data) != 2 or not isinstance(data[1], Mapping):
            raise EventFormatError(value, "data is not a pair of a message event and its metadata", kind="protocol")
        data, metadata = data[0], {**metadata, **data[1]}
    return Opened(method, namespace, data, metadata)


def check_namespace(value: Mapping[str, Any], namespace: Payload) -> tuple[str, ...]:
    """Return a namespace.

    Args:
        value: The event that has it.
        namespace: The value to check.

    Raises:
        EventFormatError: It is not a namespace.
    """
    if not isinstance(namespace, (list, tuple)) or not all(isinstance(part, str) for part in namespace):
        raise EventFormatError(value, "it has no namespace that is a list of strings", kind="protocol")
    return tuple(namespace)


def namespace_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the namespace of a run: the graphs around it, as LangGraph writes them into its metadata."""
    told = metadata.get("langgraph_checkpoint_ns")
    return tuple(told.split(_SEPARATOR)[:-1]) if isinstance(told, str) and told else ()
