"""`ChannelStatistics`: the counters of a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ChannelStatistics", "Overflow"]

Overflow: TypeAlias = Literal["block", "coalesce", "drop_oldest", "drop_newest", "fail"]
"""What happens to an item that is sent while the buffer is full; see `open_channel`."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """A snapshot of a channel's counters, in items unless said otherwise.

    `sent == received + buffered + dropped + merged + discarded` whenever no thread is in the middle of an operation.
    """

    capacity: int
    """The bound asked for."""

    overflow: Overflow
    """The policy for a full buffer."""

    buffered: int
    """In the buffer now."""

    peak: int
    """The most that were ever in the buffer at once."""

    sent: int
    """Accepted from producers."""

    received: int
    """Handed to the reader; a merged item counts once."""

    waits: int
    """Times a producer had to wait for room."""

    parks: int
    """Times the reader had to wait for an item."""

    overruns: int
    """Times the buffer exceeded its bound: the producer could not wait without a deadlock, or nothing could be dropped."""

    dropped: int
    """Lost to the overflow policy."""

    merged: int
    """Merged into another item by the policy `"coalesce"`."""

    refused: int
    """Not accepted, by the policy `"fail"`."""

    discarded: int
    """Still in the buffer when the reader closed the channel."""

    waiting_producers: int
    """Producers that wait for room now."""

    waiting_reader: bool
    """Whether the reader waits for an item now."""
