"""`Call`: one invocation of a callback method, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

__all__ = ["Call", "CallParts", "Payload"]

Payload: TypeAlias = Any
"""Whatever a run hands around: callbridge passes it on and never writes to it."""

CallParts: TypeAlias = "tuple[str, tuple[Payload, ...], dict[str, Payload]]"
"""What a `Call` is made of, in order: `Call(*parts)`. The object takes as long to make as the translation of a token, and the
dispatcher needs it for errors alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation of a callback method.

    The arguments are split as LangChain's callback managers split them: what they pass by position is in `args`.
    """

    method: str
    """Name of the callback method: `on_llm_start`, ..."""

    args: tuple[Payload, ...] = ()
    """Positional arguments, without the handler itself."""

    kwargs: Mapping[str, Payload] = field(default_factory=dict)
    """Keyword arguments: `run_id` and `parent_run_id` (UUIDs), `tags`, `metadata`, `name`, ..."""

    @property
    def run_id(self) -> UUID | None:
        """The run that reports; `None` if the call names none."""
        run_id: UUID | None = self.kwargs.get("run_id")
        return run_id
