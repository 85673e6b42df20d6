"""`Reporter`: what an owned run reports to, as far as the run itself knows it."""

from __future__ import annotations

from typing import Protocol

from callbridge.running.entered_loops import EnteredLoops
from callbridge.running.leftover_frames import LeftoverFrames

__all__ = ["Reporter"]


class Reporter(Protocol):
    """Receives the callbacks of a run. It can stop the run there, and the run tells it how far it has come."""

    leftover_frames: LeftoverFrames
    """Frames and errors that would keep generators alive, noted by callbacks. The run clears them."""

    entered_loops: EnteredLoops
    """The loops that the run has entered, noted by callbacks. The run reads them."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        ...

    @property
    def in_callback(self) -> bool:
        """Whether an awaited callback of the run is waiting for room."""
        ...

    @property
    def reader_left(self) -> bool:
        """Whether the reader has left, so that nobody reads what is reported."""
        ...

    def stop(self) -> None:
        """Stop the run at its next sync callback, and cancel it on the loops that it has entered. Idempotent; any thread."""
        ...

    def note_cancelled(self) -> None:
        """Note that the run has been cancelled: runs that begin from now on are cleanup, or belong to somebody else."""
        ...

    async def settle(self) -> None:
        """Wait until other tasks of the run have reported ends that are on their way. Cancellation: it gives up."""
        ...

    def end_call(self) -> None:
        """Note that the run's call has ended: whatever still reports is cleaning up."""
        ...

    def end_run(self) -> None:
        """Note that the cleanup is over, too: runs that begin from now on belong to somebody else."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the reader that the run is over, and with which error if there was one. Idempotent."""
        ...
