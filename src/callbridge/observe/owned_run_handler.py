"""`OwnedRunHandler`: the handler inside a stream that owns its run."""

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
    """A handler that never ends by itself. The source that drives the run ends it.

    Args:
        root_input: The input of the root runnable, if the stream replaces `astream_events`.
        **options: See `HandlerOptions`.
    """

    def __init__(self, *, root_input: Payload = MISSING, **options: Any) -> None:
        self._root_input = root_input
        super().__init__(roots=None, **options)

    def _make_encoder(self, **options: Any) -> CallsToEvents:
        # The stream ends with the run, so descendants may report after the root, as long as the run has not ended.
        return CallsToEvents(root_input=self._root_input, linger=True, **options)

    @property
    def sender(self) -> EventSender:
        """The sender that gets the handler's calls."""
        return self._sender

    @property
    def is_over(self) -> bool:
        """Whether the run has ended by itself, so that nothing more will come and nothing need be stopped."""
        return self._sender.send.finished and not self._sender.stopped

    @property
    def reader(self) -> EventReader:
        """The reader of its events."""
        return self._reader
