"""`Hub`: one thread that reads the log for all runs a process follows, and hears stop requests for those it publishes.

```
log ──one blocking call──▶ hub ──batches──▶ channel of each listener ──▶ follower
                            └── stop ──▶ publication
```

If the channel of a listener is full, because its reader is slow, the hub drops the listener. The listener then reads the log
itself, at its own pace, and comes back when it has caught up. So a slow reader costs this process a bounded amount of memory,
and others nothing.

The hub looks at silent runs each second. If the publisher of a run is gone, the hub declares the run lost, once, in the log,
where all readers of all processes see it. See `silence`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel
from callbridge.errors import CallbridgeError, ChannelClosedError, RelayClosedError, RelayGapError, RelayUnreachableError
from callbridge.relay.log import Log, LogAwayError
from callbridge.relay.records import LIVE, Position, Record
from callbridge.relay.silence import LOOKS_SECONDS, Contact, Silence

__all__ = ["Batch", "Entry", "Hub", "Listener"]

_logger = logging.getLogger("callbridge.relay")

_BATCHES: Final = 16
"""How many batches may wait for a reader before the hub drops it."""

_BYTES: Final = 2**20
"""How many bytes these batches may have."""

_RETRY_SECONDS: Final = 0.25

_SHORT_SECONDS: Final = 0.1
"""Seconds without an answer that even the shortest lease can bear."""


class Entry:
    """A record on its way to the readers of this process, and its event, which is made once for all of them."""

    __slots__ = ("event", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.event: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Batch:
    """Records that were read at once."""

    entries: Sequence[Entry]
    size: int


class Listener:
    """A follower as the hub sees it: the place where its batches go.

    Args:
        run: The run that it follows.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        ends: tuple[SendEnd[Batch], ReceiveEnd[Batch]] = open_channel(2 * _BATCHES)
        self._send, self.receive = ends
        self._offered = self._offered_bytes = 0  # counted by the hub
        self._taken = self._taken_bytes = 0  # counted by the reader

    def offer(self, batch: Batch) -> bool:
        """Hand over a batch. Return False if the reader is too slow or gone; then nothing more will come."""
        if self._offered - self._taken >= _BATCHES or self._offered_bytes - self._taken_bytes > _BYTES:
            self._send.close()
            return False
        self._offered += 1
        self._offered_bytes += batch.size
        try:
            self._send.push(batch)
        except ChannelClosedError:
            return False
        return True

    def took(self, batch: Batch) -> None:
        """Note that the reader has received a batch."""
        self._taken += 1
        self._taken_bytes += batch.size

    def end(self, error: CallbridgeError | None = None) -> None:
        """Say that nothing more will come."""
        self._send.close(error)


@dataclass
class _Followed:
    """A run with followers."""

    position: Position
    listeners: list[Listener] = field(default_factory=list)
    silence: Silence = field(default_factory=Silence)
    looked_at: float = 0.0


class Hub:
    """Reads the log for all followers of a process.

    Args:
        log: The log to read.
        outage_seconds: How long the log may be away.
        clock: Returns the time in seconds.
    """

    def __init__(self, log: Log, outage_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._clock = clock
        self._contact = Contact(self._missed, clock)
        self._outage_seconds = outage_seconds
        self._lock = threading.Lock()
        self._followed: dict[str, _Followed] = {}  # removed with the last listener
        self._dropped: deque[Listener] = deque()  # removed as soon as somebody looks at the listeners
        self._published: dict[str, Callable[[], None]] = {}  # removed by `unheed`
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._wanted = threading.Event()

    # -- followers and publications -----------------------------------------------------------------------------------

    def join(self, listener: Listener, position: Position) -> tuple[Position, bool]:
        """Give a listener what comes from now on. Does not block.

        Returns:
            The position from which it gets records, and whether the log has to be woken for it. It must read what is before
            that position itself.

        Raises:
            RelayClosedError: The relay is closed.
        """
        with self._lock:
            self._start_locked()
            followed = self._followed.get(listener.run)
            is_new = followed is None
            if followed is None:
                followed = self._followed[listener.run] = _Followed(position, looked_at=self._clock())
            followed.listeners.append(listener)
            return followed.position, is_new

    def leave(self, listener: Listener) -> None:
        """Drop a listener. Idempotent."""
        with self._lock:
            self._remove_locked(listener)
        listener.end()

    def drop(self, listener: Listener) -> None:
        """Drop a listener whose follower is being collected. Takes no lock: the collecting thread may hold the hub's."""
        self._dropped.append(listener)

    def _remove_dropped_locked(self) -> None:
        while self._dropped:
            self._remove_locked(self._dropped.popleft())

    def _remove_locked(self, listener: Listener) -> None:
        followed = self._followed.get(listener.run)
        if followed is not None and listener in followed.listeners:
            followed.listeners.remove(listener)
            if not followed.listeners:
                del self._followed[listener.run]

    def heed(self, run: str, on_stop: Callable[[], None]) -> None:
        """Register a function to call when a run that is published here is asked to stop.

        The function must not block; this method may.

        Raises:
            RelayClosedError: The relay is closed.
        """
        with self._lock:
            self._start_locked()
            self._published[run] = on_stop
        self._log.wake()

    def unheed(self, run: str) -> None:
        """Remove what `heed` registered. Idempotent."""
        with self._lock:
            self._published.pop(run, None)

    def listeners(self) -> int:
        """Return how many there are."""
        with self._lock:
            self._remove_dropped_locked()
            return sum(len(followed.listeners) for followed in self._followed.values())

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _start_locked(self) -> None:
        if self._is_closed:
            raise RelayClosedError
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="callbridge-relay-hub", daemon=True)
            self._thread.start()
        self._wanted.set()

    def close(self) -> None:
        """End the thread and tell the listeners. Idempotent."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
            listeners = [each for followed in self._followed.values() for each in followed.listeners]
            self._followed.clear()
        self._wanted.set()
        for listener in listeners:
            listener.end(RelayClosedError())
        if thread is not None:
            self._log.wake()
            thread.join()

    def _run(self) -> None:
        away_since: float | None = None
        while True:
            with self._lock:
                if self._is_closed:
                    return
                self._remove_dropped_locked()
                after = {run: followed.position for run, followed in self._followed.items()}
                published = list(self._published)
                if not after and not published:
                    self._wanted.clear()
            if not after and not published:
                self._wanted.wait()
                continue
            try:
                self._round(after, published)
                away_since = None
            except LogAwayError as error:
                now = monotonic()
                away_since = now if away_since is None else away_since
                self._bear(str(error), now - away_since)
            except Exception as error:
                _logger.exception("the readers of a relay have failed")
                self._end_all(RelayUnreachableError(self._log.url, f"cannot be read ({error!r})"))
                self._pause()

    def _round(self, after: Mapping[str, Position], published: Sequence[str]) -> None:
        with self._lock:
            seconds = min((each.silence.look_seconds for each in self._followed.values()), default=LOOKS_SECONDS)
        seen = self._contact.ask(lambda: self._log.wait(after, published, seconds))
        for run, records in seen.records.items():
            self._spread(run, records)
        for run in seen.stopped:
            with self._lock:
                on_stop = self._published.pop(run, None)
            if on_stop is not None:
                on_stop()
        now = self._clock()
        with self._lock:
            followed = list(self._followed.items())
        for run, each in followed:
            if now - each.looked_at >= each.silence.look_seconds:
                self._look(run, each)

    def _spread(self, run: str, records: Sequence[Record]) -> None:
        batch = Batch([Entry(record) for record in records], sum(len(record.body) for record in records))
        with self._lock:
            followed = self._followed.get(run)
            if followed is None or not records or records[-1].position <= followed.position:
                return
            followed.position = records[-1].position
            followed.looked_at = self._clock()
            followed.silence.heard()
            for listener in [each for each in followed.listeners if not each.offer(batch)]:
                self._remove_locked(listener)

    def _look(self, run: str, followed: _Followed) -> None:
        """Look at a run that has been silent for a while."""
        contact = self._contact
        state = contact.ask(lambda: self._log.state(run))
        followed.looked_at = contact.asked_at
        if state is None:
            problem = "its log is gone: it was forgotten, has expired, or the server has lost its memory"
            self._end(followed, lambda: RelayGapError(run, None, problem))
        elif state.position < followed.position and state.status in LIVE:
            problem = "its log has lost events that were read before: the server has lost part of its memory"
            self._end(followed, lambda: RelayGapError(run, None, problem))
        elif state.status in LIVE and followed.silence.is_over(state, contact.asked_at, contact.answered_at):
            self._log.declare_lost(run, state.attempt, state.beat)

    def _bear(self, problem: str, seconds: float) -> None:
        """Wait for a log that is away, up to the limit."""
        if seconds > self._outage_seconds:
            self._end_all(RelayUnreachableError(self._log.url, f"has not answered for {seconds:.0f} s ({problem})"))
        self._pause()

    def _missed(self, seconds: float) -> None:
        """Note that the log has not answered for so long."""
        if seconds > _SHORT_SECONDS:
            with self._lock:
                for followed in self._followed.values():
                    followed.silence.missed(seconds)

    def _pause(self) -> None:
        threading.Event().wait(_RETRY_SECONDS)

    def _end_all(self, error: CallbridgeError) -> None:
        with self._lock:
            all_followed = list(self._followed.values())
        for followed in all_followed:
            self._end(followed, lambda: error)

    def _end(self, followed: _Followed, make_error: Callable[[], CallbridgeError]) -> None:
        with self._lock:
            listeners = list(followed.listeners)
            for listener in listeners:
                self._remove_locked(listener)
        for listener in listeners:
            listener.end(make_error())
