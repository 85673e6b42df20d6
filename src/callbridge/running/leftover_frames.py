"""`LeftoverFrames`: what keeps generators of a stopped run alive, to be cleared so that they end."""

from __future__ import annotations

import traceback
from contextlib import suppress
from types import FrameType

__all__ = ["LeftoverFrames"]


class LeftoverFrames:
    """What would keep generators of a stopped run alive that are to be closed: frames of code that has ended.

    Errors have them in their tracebacks, and handlers may keep errors. The frames of `RunnableParallel._transform` and
    `_atransform` refer to themselves, by the error with which a branch told its end, and are left to the garbage collector.
    """

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._frames: list[FrameType] = []

    def add_error(self, error: BaseException) -> None:
        """Remember what a run was told to have ended with."""
        self._errors.append(error)

    def add_frame(self, frame: FrameType) -> None:
        """Remember the frame of a generator that will be closed, or is."""
        self._frames.append(frame)

    def clear_all(self) -> None:
        """Clear all frames, and those that come to light when generators end because of that."""
        while self.clear():
            pass

    def clear(self) -> bool:
        """Clear all frames remembered and forget them; return whether there were any."""
        errors, self._errors = self._errors, []
        frames, self._frames = self._frames, []
        for error in errors:
            cause: BaseException | None = error
            while cause is not None:
                traceback.clear_frames(cause.__traceback__)
                cause = cause.__context__
        for frame in frames:
            with suppress(RuntimeError):  # it has not ended after all
                frame.clear()
        return bool(errors or frames)
