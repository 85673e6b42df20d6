"""`OwnedRunHandler`: the handler inside a stream, whose run belongs to the reader."""

from __future__ import annotations

from typing import Any

from callbridge.core.calls import Payload
from callbridge.core.encode import CallsToEvents
from callbridge.core.runs import MISSING
from callbridge.observe.event_sender import EventSender
from callbridge.observe.handler import EventStreamHandler
from callbridge.observe.reading import EventReader

__all__ = ["OwnedRunHandler"]


class OwnedRunHandler(EventStreamHandler):
    """Never ends by itself: the source that drives the run says when it is over.

    Args:
        root_input: What the root runnable is called with, if the stream stands for `astream_events`.
        **options: See `HandlerOptions`.
    """

    def __init__(self, *, root_input: Payload = MISSING, **options: Any) -> None:
        self._root_input = root_input
        super().__init__(roots=None, **options)

    def _make_encoder(self, **options: Any) -> CallsToEvents:
        # The stream ends with the run: descendants that report after the root, but before the run has ended, are heard.
        return CallsToEvents(root_input=self._root_input, linger=True, **options)

    @property
    def sender(self) -> EventSender:
        """Where the handler's calls go."""
        return self._sender

    @property
    def is_over(self) -> bool:
        """Whether the run has ended by itself, so that there is nothing more to hear or to stop."""
        return self._sender.send.finished and not self._sender.stopped

    @property
    def reader(self) -> EventReader:
        """Where its events come from."""
        return self._reader
