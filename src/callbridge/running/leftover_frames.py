"""`LeftoverFrames`: what keeps generators of a stopped run alive, to be cleared so that they end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

from callbridge.internals import has_ended

__all__ = ["LeftoverFrames"]


class LeftoverFrames:
    """What would keep generators of a stopped run alive that are to be closed: frames of code that has ended.

    Errors have them in their tracebacks, and handlers may keep errors. The frames of `RunnableParallel._transform` and
    `_atransform` refer to themselves, by the error with which a branch told its end, and are left to the garbage collector.

    A traceback may have frames of code that goes on as well: of a coroutine that awaits a callback while it handles the error,
    maybe in another thread. To clear those would be to close it. They are looked at again each time, until `clear_last`.
    """

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._frames: list[FrameType] = []

    def add_error(self, error: BaseException) -> None:
        """Remember what a run was told to have ended with."""
        self._errors.append(error)

    def clear_error(self, error: BaseException) -> None:
        """Clear the frames of one error alone, as far as their code has ended."""
        for frame in _frames_of(error):
            _clear(frame)

    def add_frame(self, frame: FrameType) -> None:
        """Remember the frame of a generator that will be closed, or is."""
        self._frames.append(frame)

    def clear_all(self) -> None:
        """Clear all frames, and those that come to light when generators end because of that."""
        while self.clear():
            pass

    def clear(self) -> bool:
        """Clear the frames of what has ended, and forget them; return whether there were any."""
        errors, self._errors = self._errors, []
        frames, self._frames = self._frames, []
        frames += (frame for error in errors for frame in _frames_of(error))
        del errors
        left = [frame for frame in frames if not _clear(frame)]
        self._frames += left
        return len(left) < len(frames)

    def clear_last(self) -> None:
        """Clear all frames once more, and forget those of what has not ended: nothing of it is the run's any more."""
        self.clear_all()
        self._frames = []


def _frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames that an error has in its traceback, and those of what it came of."""
    cause: BaseException | None = error
    while cause is not None:
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            yield frame
        cause = cause.__context__


def _clear(frame: FrameType) -> bool:
    """Clear a frame; return whether its code had ended."""
    if has_ended(frame):
        with suppress(RuntimeError):  # it runs
            frame.clear()
            return True
    return False
