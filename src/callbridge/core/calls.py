"""`Call`: one invocation of a callback method, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

__all__ = ["Call", "CallParts", "Payload", "Scope"]

Payload: TypeAlias = Any
"""Whatever a run hands around: callbridge passes it on and never writes to it."""


class Scope:
    """What the calls of one run have in common, for whoever makes them: the context that they are made in.

    It is empty until the first of these calls is made, and then filled by the caller, with what goes on from the scope above.
    Nothing but the run and its calls hold it, so it goes with them.
    """

    __slots__ = ("above", "context")

    def __init__(self, above: Scope | None) -> None:
        self.above = above
        """That of the run above; `None` for a root, and as soon as the context is there."""
        self.context: Any = None


CallParts: TypeAlias = "tuple[str, tuple[Payload, ...], dict[str, Payload], Scope]"
"""What a `Call` is made of, in order, and the scope to make it in: `Call(*parts[:3])`. The object takes as long to make as the
translation of a token, and the dispatcher needs it for errors alone. Parts without a method's name make no call: they say that
a run has begun whose start nobody wants to hear of."""


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
        """The run that reports; `None` if the call names none."""
        run_id: UUID | None = self.kwargs.get("run_id")
        return run_id
