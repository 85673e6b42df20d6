"""`status_of`: how a run ended, judged by its exception."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Status", "status_of"]

Status: TypeAlias = Literal["failed", "cancelled", "interrupted"]
"""How a run ended that did not succeed."""

# By name, because asyncio, trio, concurrent.futures and LangGraph each have their own, and none of them need be loaded.
_INTERRUPTED = frozenset({"GraphBubbleUp", "GraphInterrupt"})
_CANCELLED = frozenset(
    {"CancelledError", "NodeCancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt", "SystemExit"}
)


def status_of(error: BaseException) -> Status:
    """Tell a cancelled or interrupted run from a failed one.

    Returns:
        `"cancelled"`: somebody stopped it (`CancelledError` of asyncio and trio, a closed generator, Ctrl-C).
        `"interrupted"`: it waits for a human or hands over to another graph (LangGraph's `GraphBubbleUp` family, told by
        name, so that LangGraph need not be installed). `"failed"`: anything else.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _INTERRUPTED:
        return "interrupted"
    return "cancelled" if names & _CANCELLED else "failed"
