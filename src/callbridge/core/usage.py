"""`Usage`: how many tokens the models of a run have used, and why the last one ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from callbridge.core.calls import Payload

__all__ = ["FinishReason", "Usage"]

FinishReason: TypeAlias = Literal["stop", "length", "content-filter", "tool-calls", "other"]

_REASONS: Final[Mapping[str, FinishReason]] = MappingProxyType(
    {
        "stop": "stop",
        "end_turn": "stop",
        "stop_sequence": "stop",
        "completed": "stop",
        "length": "length",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "model_context_window_exceeded": "length",
        "incomplete": "length",
        "content_filter": "content-filter",
        "safety": "content-filter",
        "refusal": "content-filter",
        "tool_calls": "tool-calls",
        "tool_use": "tool-calls",
        "function_call": "tool-calls",
    }
)
"""The values of `finish_reason`, `stop_reason`, `done_reason` or `status`, in lower case."""


class Usage:
    """The tokens of all models, and why the last one ended."""

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.reason: FinishReason = "stop"
        """Why the last model ended. If it was cut off, its answer is not complete, even if the run succeeded."""

    @property
    def total_tokens(self) -> int:
        """Tokens in both directions."""
        return self.input_tokens + self.output_tokens

    def add(self, output: Payload, *, last: bool) -> None:
        """Count the tokens that a model's output reports.

        Args:
            output: A message. Anything else is ignored.
            last: Whether to take its reason for that of the run.
        """
        counted = getattr(output, "usage_metadata", None)
        if isinstance(counted, Mapping):
            self.input_tokens += _count(counted.get("input_tokens"))
            self.output_tokens += _count(counted.get("output_tokens"))
        if last:
            self.reason = _reason(getattr(output, "response_metadata", None))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _reason(said: Payload) -> FinishReason:
    if not isinstance(said, Mapping):
        return "stop"
    details = said.get("incomplete_details")
    found = details.get("reason") if isinstance(details, Mapping) else None
    for name in ("finish_reason", "stop_reason", "done_reason", "status"):
        found = found or said.get(name)
    return _REASONS.get(found.lower(), "other") if isinstance(found, str) and found else "stop"
