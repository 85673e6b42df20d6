"""`Follower`: the events of a run, from a position on, for `async for` and `for`.

```
new ──first read──▶ catching up ──nothing left──▶ live ──too slow──▶ catching up
                         └──────the record of the end──────┴──▶ over
```

While it catches up, a follower reads the log itself. While it is live, the hub hands it the events. Positions have no gaps: the
follower gives each event once, however often and from wherever it came, and notices one that is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync

from callbridge.codec.decode import loads
from callbridge.errors import (
    ConcurrentReadError,
    JSONFormatError,
    PositionError,
    RecordVersionError,
    RelayGapError,
    RunFailedError,
    RunLimitError,
    RunLostError,
    RunStoppedError,
    StreamConsumedError,
    UnknownRunError,
)
from callbridge.relay.hub import Batch, Entry, Hub, Listener
from callbridge.relay.log import Log
from callbridge.relay.records import END, LIVE, Ending, Position, Record, RunState, parse_position

if TYPE_CHECKING:
    from typing_extensions import Self

    from callbridge.events import Event

__all__ = ["Follower"]

_LIMIT: Final = 512
"""Records that are read at once."""

_PAUSE: Final = 64
"""Events after which other tasks get their turn."""

_Opened: TypeAlias = tuple[Log, Hub, Callable[[Callable[[], Any]], Any]]

_Job: TypeAlias = tuple[Callable[[], Any], Callable[[Any], None]]


class Follower:
    """The events of a run that is published anywhere. Made by `Relay.follow`.

    If the run does not end well, reading raises the way it ended: `RunFailedError`, `RunStoppedError`, `RunLostError` or
    `RunLimitError`. If events are missing, it raises `RelayGapError`. If you leave (`break`, `close`, `aclose`), the run goes
    on.

    Do not write to the payloads of events: other followers of the process may share them.

    Threads: one reader. Cancellation: a cancelled read loses nothing, and you can repeat it.

    Example:
        ```python
        async with callbridge.relay.connect("memory:") as relay:
            run = await relay.announce()
            await relay.publish(run, callbridge.astream_events(chain, {"drink": "tea"}))
            follower = relay.follow(run)
            first = await anext(follower)
            rest = [event async for event in relay.follow(run, after=follower.position)]
        print(first["event"], rest[-1]["event"])
        #> on_chain_start on_chain_end
        ```
    """

    def __init__(self, run: str, after: str | None, opened: Callable[[], _Opened]) -> None:
        self._state = "new"  # reading, ended, closed; first, because `__del__` reads it
        self.run = run
        self._after = None if after is None else parse_position(run, after)
        self._opened = opened
        self._log: Log | None = None
        self._hub: Hub | None = None
        self._retrying: Callable[[Callable[[], Any]], Any] = lambda call: call()
        self._position = self._after or Position(0, 0)
        self._is_bound = self._after is not None
        self._entries: deque[Entry] = deque()
        self._listener: Listener | None = None
        self._is_live = False
        self._is_caught_up = self._must_wake = False
        self._joined_at = Position(0, 0)
        self._is_reading = False
        self._ending: Ending | None = None
        self._since_pause = 0

    @property
    def position(self) -> str | None:
        """The position behind the last event that was read, for `after` of `follow`. None before the first event."""
        return self._position.shown(self.run) if self._position.seq else None

    # -- for the web --------------------------------------------------------------------------------------------------

    def frame_id(self, made: int) -> str:
        """Return the id of a frame of the current event, given how many frames of it came before."""
        return f"{self._position.shown(self.run)}.{made}"

    async def resume(self, last_id: str | None, *, seek: bool) -> tuple[bool, Callable[[str], bool] | None]:
        """Get ready to be read, before a response sends anything; see `callbridge.web`.

        Args:
            last_id: The `frame_id` of the last frame that the page has.
            seek: Allow the events before that frame to be left out.

        Returns:
            Whether the run is over, and a function that tells whether the page has a frame.

        Raises:
            UnknownRunError: There is no such run.
            PositionError: The id does not belong to this run.
        """
        had: tuple[Position, int] | None = None
        if last_id is not None:
            had = self._parse_frame(last_id)
            self._position = Position(had[0].attempt, max(0, had[0].seq - 1) if seek else 0)
            self._is_bound = had[0].attempt > 0
        limiter = anyio.CapacityLimiter(1)
        opened, found = await run_sync(partial(_open, self._opened, self.run), abandon_on_cancel=True, limiter=limiter)
        state = self._begin_at(found)
        if had is not None and had[0] > state.position:
            raise PositionError("Last-Event-ID", last_id, "the id of a frame that this run has reached")
        self._log, self._hub, self._retrying = opened
        is_over = state.status not in LIVE
        if had is None:
            return is_over, None
        last = had
        return is_over, lambda frame_id: self._parse_frame(frame_id) <= last

    def _parse_frame(self, frame_id: str) -> tuple[Position, int]:
        position, _, made = frame_id.rpartition(".")
        if not (made.isdecimal() and len(made) < 10):
            raise PositionError("Last-Event-ID", frame_id, "the id of a frame of this run")
        return parse_position(self.run, position), int(made)

    # -- reading ------------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        self._check_open()
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            StopAsyncIteration: The run has ended well.
            ConcurrentReadError: Another task is reading.
            RelayError: The run did not end well, or something is wrong with its log; the class says what.
        """
        if self._state in ("ended", "closed"):
            raise StopAsyncIteration
        self._begin_read()
        try:
            while True:
                event = self._next_event()
                if event is not None:
                    self._since_pause += 1
                    if self._since_pause >= _PAUSE:
                        self._since_pause = 0
                        await anyio.lowlevel.checkpoint()
                    return event
                if self._ending is not None:
                    break
                self._since_pause = 0
                await self._fill()
        except Exception:
            self._over()
            raise
        finally:
            self._is_reading = False
        self._over()
        self._tell(self._ending)
        raise StopAsyncIteration

    async def _fill(self) -> None:
        job = self._job()
        if job is not None:
            call, take = job
            limiter = anyio.CapacityLimiter(1)  # not the loop's own: jobs that wait for a run may occupy all of it
            take(await run_sync(call, abandon_on_cancel=True, limiter=limiter))
            return
        assert self._listener is not None
        try:
            self._take_batch(await self._listener.receive.receive())
        except anyio.EndOfStream:
            self._let_go()

    def __iter__(self) -> Self:
        self._check_open()
        return self

    def __next__(self) -> Event:
        """Return the next event. Blocks until there is one, and raises as `__anext__` does."""
        if self._state in ("ended", "closed"):
            raise StopIteration
        self._begin_read()
        try:
            while True:
                event = self._next_event()
                if event is not None:
                    return event
                if self._ending is not None:
                    break
                self._fill_sync()
        except Exception:
            self._over()
            raise
        finally:
            self._is_reading = False
        self._over()
        self._tell(self._ending)
        raise StopIteration

    def _fill_sync(self) -> None:
        job = self._job()
        if job is not None:
            call, take = job
            take(call())
            return
        assert self._listener is not None
        try:
            self._take_batch(self._listener.receive.receive_sync())
        except anyio.EndOfStream:
            self._let_go()

    # -- what both have in common -------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._state in ("ended", "closed"):
            raise StreamConsumedError(self._state)

    def _begin_read(self) -> None:
        if self._is_reading:
            raise ConcurrentReadError
        self._is_reading = True
        if self._state == "new":
            self._state = "reading"

    def _job(self) -> _Job | None:
        """Return what to do in a thread that may block, and what to do with its result; None: wait for the hub.

        The job does not refer to this object. A thread of a pool remembers its last job, and must not keep a follower alive
        that its reader has dropped.
        """
        if self._log is None:
            return partial(_open, self._opened, self.run), self._take_opened
        if self._is_caught_up and self._listener is None:
            self._join()
        if self._must_wake:
            return self._log.wake, self._note_woken
        if self._is_live:
            return None
        return partial(_read, self._log, self._retrying, self.run, self._position), self._take_read

    def _take_opened(self, found: tuple[_Opened, RunState | None]) -> None:
        opened, state = found
        self._begin_at(state)
        self._log, self._hub, self._retrying = opened

    def _begin_at(self, state: RunState | None) -> RunState:
        """Choose where to begin, or find out that there is no such place."""
        if state is None:
            raise UnknownRunError(self.run)
        if not self._is_bound:
            self._position = Position(state.attempt, 0)
        elif self._position > state.position:
            where = f"a position that this run has reached, up to {state.position.shown(self.run)!r}"
            raise PositionError("after", self._position.shown(self.run), where)
        return state

    def _take_read(self, records: Sequence[Record]) -> None:
        self._take([Entry(record) for record in records])
        if self._listener is not None:
            self._is_live = self._last() >= self._joined_at or not records
        else:
            self._is_caught_up = len(records) < _LIMIT

    def _join(self) -> None:
        assert self._hub is not None
        self._listener = Listener(self.run)
        self._joined_at, self._must_wake = self._hub.join(self._listener, self._position)
        self._is_live = self._position >= self._joined_at

    def _note_woken(self, _: None) -> None:
        self._must_wake = False

    def _let_go(self) -> None:
        """Note that the hub has dropped this follower, because it was too slow."""
        self._is_live = self._is_caught_up = False
        self._listener = None

    def _last(self) -> Position:
        return self._entries[-1].record.position if self._entries else self._position

    def _take_batch(self, batch: Batch) -> None:
        assert self._listener is not None
        self._listener.took(batch)
        attempt, first, _ = batch.entries[0].record
        if attempt == self._position.attempt and self._position.seq + 1 < first < END:
            self._hub_leaves()  # let the log say whether it has the events in between
            self._let_go()
        else:
            self._take(batch.entries)

    def _take(self, entries: Sequence[Entry]) -> None:
        self._entries.extend(entries)

    def _next_event(self) -> Event | None:
        while self._entries and self._ending is None:
            entry = self._entries.popleft()
            position = entry.record.position
            if position <= self._position:
                continue
            if self._position.attempt and position.attempt != self._position.attempt:
                self._miss(self._position.seq, position, self._position.seq + 2)
            if position.seq == END:
                self._ending = self._checked_end(entry.record)
                return None
            self._check_next(position)
            event = self._event(entry)
            self._position = position
            return event
        return None

    def _check_next(self, position: Position) -> None:
        last = self._position.seq if self._position.attempt == position.attempt else 0
        if position.seq != last + 1:
            self._miss(last, Position(position.attempt, position.seq - 1), position.seq)

    def _miss(self, last: int, rest: Position | None, until: int) -> None:
        missing = f"event {last + 1} is" if until == last + 2 else f"events {last + 1} to {until - 1} are"
        shown = None if rest is None else rest.shown(self.run)
        raise RelayGapError(self.run, shown, f"{missing} no longer there: trimmed at the limit, or lost by the server")

    def _checked_end(self, record: Record) -> Ending:
        ending = Ending.read(self.run, record.body)
        last = self._position.seq if self._position.attempt == record.attempt else 0
        if last < ending.events:
            self._miss(last, None, ending.events + 1)
        return ending

    def _event(self, entry: Entry) -> Event:
        event = entry.event
        if event is None:
            try:
                event = entry.event = loads(entry.record.body)
            except JSONFormatError as error:
                problem = f"event {entry.record.seq} cannot be read here ({error.problem}); install the publisher's callbridge"
                raise RecordVersionError(self.run, problem) from error
        return cast("Event", _copied(event))

    def _tell(self, ending: Ending | None) -> None:
        status = None if ending is None else ending.status
        if ending is not None and status == "failed":
            raise RunFailedError(ending.error or {"type": "Exception", "message": "the run failed"})
        if status == "stopped":
            raise RunStoppedError(self.run)
        if status == "lost":
            raise RunLostError(self.run)
        if status == "limited":
            raise RunLimitError(self.run)

    # -- leaving ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop reading. The run goes on. Idempotent. Threads: any."""
        if self._state in ("new", "reading"):
            self._state = "closed"
        self._hub_leaves()

    async def aclose(self) -> None:
        """Stop reading, as `close` does. It never waits."""
        self.close()

    def _over(self) -> None:
        if self._state == "reading":
            self._state = "ended"
        self._hub_leaves()
        self._entries.clear()

    def _hub_leaves(self) -> None:
        if self._listener is not None and self._hub is not None:
            self._hub.leave(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # This may be any thread, at any line: the hub's own, too, while it holds its lock.
        if self._state == "reading" and self._hub is not None and self._listener is not None:
            self._hub.drop(self._listener)

    def __repr__(self) -> str:
        return f"<Follower of {self.run!r} {self._state} position={self.position!r}>"


def _open(opened: Callable[[], _Opened], run: str) -> tuple[_Opened, RunState | None]:
    log, _, retrying = tools = opened()
    return tools, retrying(partial(log.state, run))


def _read(log: Log, retrying: Callable[[Callable[[], Any]], Any], run: str, position: Position) -> Sequence[Record]:
    found: Sequence[Record] = retrying(partial(log.read, run, position, _LIMIT))
    return found


def _copied(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an event: its containers are new, their contents are shared."""
    return {key: value.copy() if type(value) in (dict, list) else value for key, value in event.items()}


if TYPE_CHECKING:

    def _both(follower: Follower) -> tuple[AsyncIterator[Event], Iterator[Event]]:
        return follower, follower
