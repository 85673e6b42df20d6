"""`RepeatedCalls`: tells a call from its copies.

A callback manager keeps each handler once, but LangChain joins lists of handlers as they are. So if a handler is in the list of
`with_config` and in that of the call, it is called twice for everything about that run, and once for the runs below.
"""

from __future__ import annotations

from uuid import UUID

from callbridge.core.calls import Payload
from callbridge.core.encode import CallsToEvents
from callbridge.core.methods import METHODS

__all__ = ["STARTS", "RepeatedCalls"]

STARTS = frozenset(row.name for row in METHODS.values() if row.phase == "start")
_LAST = frozenset(row.name for row in METHODS.values() if row.phase in ("end", "error"))


class RepeatedCalls:
    """Counts how often the start of a run is repeated; every later call of that run is repeated as often.

    Args:
        encoder: The translator, which knows the runs.

    Threads: the calls of one run come one after the other.
    """

    def __init__(self, encoder: CallsToEvents) -> None:
        self._encoder = encoder
        # For each run: how many copies of each call come, and how many of the last call are still to come. Removed by the last
        # copy of the run's end.
        self.copies: dict[UUID, tuple[int, int]] = {}

    def has(self, method: str, kwargs: dict[str, Payload]) -> bool:
        """Return whether this call is a copy of one that was reported."""
        if method in STARTS:
            return self._has_start(method, kwargs)
        # The managers of children dispatch custom events, and they keep each handler once.
        if not self.copies or method == "on_custom_event":
            return False
        run_id: UUID = kwargs["run_id"]
        if run_id not in self.copies:
            return False
        copies, coming = self.copies[run_id]
        if not coming:
            self.copies[run_id] = copies, copies
            return False
        if coming == 1 and method in _LAST:
            del self.copies[run_id]
        else:
            self.copies[run_id] = copies, coming - 1
        return True

    def _has_start(self, method: str, kwargs: dict[str, Payload]) -> bool:
        run_id: UUID = kwargs["run_id"]
        run = self._encoder.open_run(run_id)
        # A run below a run with the same id, which the user's code passed down, is not a copy.
        if run is None or run.parent_run_id != kwargs.get("parent_run_id"):
            return False
        if run.run_type == "chat_model" and method == "on_llm_start":
            # Not a copy, but LangChain's second attempt at a handler without `on_chat_model_start`.
            return True
        self.copies[run_id] = (self.copies.get(run_id, (0, 0))[0] + 1, 0)
        return True
