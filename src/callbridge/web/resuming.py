"""Resuming: after an interruption, a client gets the rest of a run, and nothing twice.

A source that can begin again, such as a follower of the relay, numbers the frames of its events (`frame_id`). A client names
the last number that it has. A new encoder then encodes the run from its first event on; equal events give equal frames, and
the frames that the client has are left out. So every format can be resumed, whatever state its encoder keeps.

If a source also has `resume`, it says before the response begins whether the run exists. It may begin later if the format
keeps no state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias

from starlette.exceptions import HTTPException

from callbridge.errors import (
    PositionError,
    RelayGapError,
    RelayUnreachableError,
    RunLimitError,
    RunLostError,
    RunStoppedError,
    UnknownRunError,
)
from callbridge.web.wire import Failure, Frame, WireFormat

__all__ = ["Had", "Numbering", "Resumable", "Resumed", "numbering_of", "relayed_failure"]

Had: TypeAlias = Callable[[str], bool]
"""Returns whether the client has the frame of this id."""

Resumed: TypeAlias = tuple[bool, Had | None]
"""Whether the run is over, and which frames the client has."""


class Resumable(Protocol):
    """A source that can read its run again."""

    def frame_id(self, made: int) -> str:
        """Return the id of the next frame, given how many frames the current event has made. Equal runs get equal ids."""
        ...

    def resume(self, last_id: str | None, *, seek: bool) -> Awaitable[Resumed]:
        """Get ready to be read, before the response sends anything.

        Args:
            last_id: The id of the last frame that the client has; None: it has nothing.
            seek: Whether to skip events whose frames the client has.

        Raises:
            UnknownRunError: There is no such run.
            PositionError: The id does not belong to this run.
        """
        ...


class Numbering:
    """Numbers frames, and leaves out those that the client has.

    Args:
        frame_id: The source's method.
        had: Tells which frames the client has.
        is_over: Whether the run was over when the client asked.
    """

    def __init__(self, frame_id: Callable[[int], str], had: Had | None, *, is_over: bool = False) -> None:
        self._frame_id = frame_id
        self._had = had
        self._made = 0
        self.is_over = is_over

    def begin_event(self) -> None:
        """Note that the next frames belong to another event."""
        self._made = 0

    def numbered(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """Return the frames to send, with their numbers."""
        for frame in frames:
            numbered = replace(frame, id=self._frame_id(self._made))
            self._made += 1
            if self._had is None or not self._had(numbered.id or ""):
                yield numbered


async def numbering_of(source: Any, format: WireFormat, last_id: str | None) -> Numbering | None:
    """Return the numbering for the frames of a source; None if the source cannot begin again.

    Raises:
        HTTPException: There is no such run, or the number does not belong to it.
    """
    frame_id = getattr(source, "frame_id", None)
    if frame_id is None:
        return None
    resume = getattr(source, "resume", None)
    if resume is None:
        return Numbering(frame_id, None if last_id is None else _until(last_id))
    try:
        is_over, had = await resume(last_id, seek=bool(getattr(format, "stateless", False)))
    except UnknownRunError as error:
        raise HTTPException(404, "There is no such run") from error
    except PositionError as error:
        raise HTTPException(400, "Last-Event-ID does not belong to this run") from error
    except RelayUnreachableError as error:
        raise HTTPException(503, "The run cannot be read now") from error
    return Numbering(frame_id, had, is_over=is_over)


def _until(last_id: str) -> Had:
    """Return a function for a client that has everything up to a frame. It compares ids for equality only."""
    is_found = False

    def had(frame_id: str) -> bool:
        nonlocal is_found
        has, is_found = not is_found, is_found or frame_id == last_id
        return has

    return had


_TOLD: Final = (
    (RunStoppedError, Failure(499, "Cancelled")),
    (RunLostError, Failure(502, "The run was lost")),
    (RunLimitError, Failure(507, "Event limit exceeded")),
    (RelayGapError, Failure(410, "Events are gone")),
    (RelayUnreachableError, Failure(503, "The run cannot be read now")),
    (UnknownRunError, Failure(404, "There is no such run")),
)


def relayed_failure(error: Exception) -> Failure | None:
    """Return what to tell a client about the end of a run in another process; None if it must not know."""
    return next((failure for kind, failure in _TOLD if isinstance(error, kind)), None)
