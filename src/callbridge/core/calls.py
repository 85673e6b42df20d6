"""`Call`: one invocation of a callback method, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

__all__ = ["Call", "CallParts", "Payload", "Scope"]

Payload: TypeAlias = Any
"""Any object that a run passes around. callbridge passes it on and never writes to it."""


class Scope:
    """Holds the context in which all calls of one run are made.

    It is empty until the first call. Then the caller fills it, from a copy of the context of the scope above. Only the run and
    its calls refer to it, so it goes with them.
    """

    __slots__ = ("above", "context")

    def __init__(self, above: Scope | None) -> None:
        self.above = above
        """The scope of the parent run; `None` for a root, and once the context is set."""
        self.context: Any = None


CallParts: TypeAlias = "tuple[str, tuple[Payload, ...], dict[str, Payload], Scope]"
"""The parts of a `Call`, in order, and the scope to make it in: `Call(*parts[:3])`. Making the object takes as long as
translating a token, and the dispatcher needs it only for errors. If the method's name is empty, there is no call to make: the
parts only say that a run has begun whose start no handler receives."""


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation of a callback method.

    The arguments are split as LangChain's callback managers split them: what they pass by position is in `args`.

    Example:
        ```python
        call = callbridge.Call("on_text", ("Thinking",), {"run_id": UUID(int=1)})
        print(call.method, call.args)
        #> on_text ('Thinking',)
        ```
    """

    method: str
    """Name of the callback method: `on_llm_start`, ..."""

    args: tuple[Payload, ...] = ()
    """Positional arguments, without the handler itself."""

    kwargs: Mapping[str, Payload] = field(default_factory=dict)
    """Keyword arguments: `run_id` and `parent_run_id` (UUIDs), `tags`, `metadata`, `name`, ..."""

    @property
    def run_id(self) -> UUID | None:
        """The run that the call belongs to; `None` if it names none."""
        run_id: UUID | None = self.kwargs.get("run_id")
        return run_id
