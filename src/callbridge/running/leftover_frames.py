"""`LeftoverFrames`: clears the frames that keep generators of a stopped run alive, so that the generators end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

from callbridge.internals import has_ended

__all__ = ["LeftoverFrames"]


class LeftoverFrames:
    """Frames of code that has ended, which keep generators of a stopped run alive.

    Tracebacks refer to such frames, and handlers may keep the errors. The frames of `RunnableParallel._transform` and
    `_atransform` refer to themselves, through the error that ended a branch; only the garbage collector would free them.

    A traceback may also refer to frames of code that goes on: of a coroutine that awaits a callback while it handles the
    error, maybe in another thread. Clearing such a frame would close the coroutine. These frames are kept and checked again at
    each `clear`, until `clear_last`.
    """

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._frames: list[FrameType] = []

    def add_error(self, error: BaseException) -> None:
        """Remember an error with which a run has ended."""
        self._errors.append(error)

    def clear_error(self, error: BaseException) -> None:
        """Clear the frames of one error, as far as their code has ended."""
        for frame in _frames_of(error):
            _clear(frame)

    def add_frame(self, frame: FrameType) -> None:
        """Remember the frame of a generator that is closed, or will be."""
        self._frames.append(frame)

    def clear_all(self) -> None:
        """Clear all frames, and those of the errors that generators raise because of that."""
        while self.clear():
            pass

    def clear(self) -> bool:
        """Clear and forget the frames whose code has ended. Return whether there were any."""
        errors, self._errors = self._errors, []
        frames, self._frames = self._frames, []
        frames += (frame for error in errors for frame in _frames_of(error))
        del errors
        left = [frame for frame in frames if not _clear(frame)]
        self._frames += left
        return len(left) < len(frames)

    def clear_last(self) -> None:
        """Clear all frames once more and forget the rest: code that still goes on is not the run's any more."""
        self.clear_all()
        self._frames = []


def _frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames in the tracebacks of an error and of the errors behind it."""
    cause: BaseException | None = error
    while cause is not None:
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            yield frame
        cause = cause.__context__


def _clear(frame: FrameType) -> bool:
    """Clear a frame if its code has ended, and return whether it has."""
    if has_ended(frame):
        with suppress(RuntimeError):  # it runs
            frame.clear()
            return True
    return False
