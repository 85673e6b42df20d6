"""`Reporter`: what a run reports to, as far as the run itself has to do with it."""

from __future__ import annotations

from typing import Protocol

from callbridge.running.entered_loops import EnteredLoops
from callbridge.running.leftover_frames import LeftoverFrames

__all__ = ["Reporter"]


class Reporter(Protocol):
    """Where the callbacks of a run arrive: it can stop the run there, and is told how far the run has come."""

    leftover_frames: LeftoverFrames
    """What callbacks saw that would keep generators alive; cleared by the run."""

    entered_loops: EnteredLoops
    """Where loops are noted that the run enters; read by the run."""

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop."""
        ...

    @property
    def in_callback(self) -> bool:
        """Whether an awaited callback of the run waits here."""
        ...

    @property
    def reader_left(self) -> bool:
        """Whether nobody will read what is reported any more."""
        ...

    def stop(self) -> None:
        """Stop the run at its next sync callback, and cancel it in loops that it has entered. Idempotent; any thread."""
        ...

    def note_cancelled(self) -> None:
        """Take note that the run has been cancelled: what begins from now on is cleanup, or somebody else's."""
        ...

    async def settle(self) -> None:
        """Wait for what the run has as good as ended, and is being told by other tasks of it. Cancellation: gives up."""
        ...

    def end_call(self) -> None:
        """Take note that the run's call has ended: whatever of it still reports is being cleaned up."""
        ...

    def end_run(self) -> None:
        """Take note that this is over, too: whatever begins now is somebody else's."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the reader that nothing more will come, or with which error the run has ended. Idempotent."""
        ...
