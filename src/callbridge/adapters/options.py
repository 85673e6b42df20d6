"""The options that all streams have in common, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from callbridge.core.filters import Filters

if TYPE_CHECKING:
    from callbridge.channel.memory import Overflow

__all__ = ["HandlerOptions", "OnExit", "StreamOptions"]

OnExit: TypeAlias = Literal["cancel", "detach"]
"""What happens to a run when its reader leaves first: it is cancelled and awaited, or runs on unread."""


class HandlerOptions(Filters, total=False):
    """Options of a handler that makes events."""

    streaming: bool
    """Whether models are asked to stream and chains report their chunks, as LangChain's own event handler makes them."""

    capacity: int
    """Events that may wait for the reader before the run waits; 256 unless told."""

    overflow: Overflow
    """What happens when they are that many; `"block"` unless told. Starts, ends and errors always arrive.

    `"block"`: the run waits. `"coalesce"`: chunks of one run merge, as LangChain adds them up, so nothing is missing.
    `"drop_oldest"`, `"drop_newest"`: chunks are dropped; `statistics().channel.dropped` says how many. `"fail"`:
    `ChannelOverflow` is raised in the run, and by the reader in place of the end.
    """

    extended: bool
    """Whether events of the extended vocabulary are made, too; False unless told."""


class StreamOptions(HandlerOptions, total=False):
    """Options of a stream that owns its run."""

    on_exit: OnExit
    """What happens to the run when the reader leaves first; `"cancel"` unless told."""
