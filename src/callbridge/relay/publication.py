"""`Publication`: one attempt to publish a run. Somebody else drives the run.

```
publisher ──events──▶ channel ──▶ flusher ──batches──▶ log        a full channel makes the run wait
                                     ▲
   stop, fence, outage, limit ───────┴──▶ `trouble`: the first of them, and the publisher is told
```

The flusher is a thread without a timer. While it writes one batch, the next one collects: the first token leaves at once, and
batches grow under load. The flusher also writes the end, behind everything that was accepted before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast
from uuid import uuid4

import anyio

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel
from callbridge.codec.encode import dumps
from callbridge.core.status import status_of
from callbridge.errors import (
    CallbridgeError,
    LeaseLostError,
    RelayClosedError,
    RelayUnreachableError,
    RunLimitError,
    RunLostError,
    RunStoppedError,
    RunTakenError,
    UnknownRunError,
)
from callbridge.events import check_event
from callbridge.relay.hub import Hub
from callbridge.relay.keeper import Keeper
from callbridge.relay.log import Log
from callbridge.relay.patience import insist
from callbridge.relay.records import Ending, Policy, RunState
from callbridge.relay.silence import Contact, Silence

if TYPE_CHECKING:
    from callbridge.relay.records import Status

T = TypeVar("T")

__all__ = ["Publication", "Tools", "root_output"]

_logger = logging.getLogger("callbridge.relay")

MOST: Final = 256
"""How many events a batch may have."""

_BYTES: Final = 2**20
"""How many characters a batch may have. A single event may be longer."""

_FENCED: Final = "it was given up as lost, or another attempt has begun; what comes now is not for its readers"
_GONE: Final = "its log is gone: it was forgotten, has expired, or the server has lost its memory"


@dataclass(frozen=True)
class Tools:
    """The objects that all publications of one relay share."""

    log: Log
    hub: Hub
    keeper: Keeper
    policy: Policy
    outage_seconds: float
    on_outage: Literal["fail", "detach"]
    capacity: int
    live: set[Publication] = field(default_factory=set)
    """The current publications. Each is removed when its end is written."""


class Publication:
    """An attempt.

    Args:
        tools: The tools of the relay.
        run: The run.
        restart: Accept a run that was published before.
        show_errors: Show readers the message of an error, and not only its type.
        on_trouble: Called once, from any thread, when the run must end; `trouble` says why. Must not block.
    """

    def __init__(self, tools: Tools, run: str, *, restart: bool, show_errors: bool, on_trouble: Callable[[], None]) -> None:
        self._tools = tools
        self.run = run
        self._restart = restart
        self._show_errors = show_errors
        self._on_trouble = on_trouble
        self._owner = uuid4().hex
        ends: tuple[SendEnd[str], ReceiveEnd[str]] = open_channel(tools.capacity)
        self.send, self._receive = ends
        self.trouble: CallbridgeError | None = None
        self._lock = threading.Lock()
        self._attempt = 0
        self._count = 0  # events that are in the log
        self._ending: tuple[Status, dict[str, str] | None] | None = None
        self._is_over = False  # the end is in the log
        self._is_detached = False
        done: tuple[SendEnd[None], ReceiveEnd[None]] = open_channel(1)
        self._done, self.done = done
        """`done` ends when everything is written, or given up."""

    # -- beginning ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Claim the run and begin to write. Blocks.

        Raises:
            UnknownRunError: The run was never announced, has expired or was forgotten.
            RunTakenError: The run is being published, or was.
            RunStoppedError: The run was stopped before it began.
            RunLostError: The run was given up before it began.
            RelayUnreachableError: The log is away.
        """
        try:
            self._attempt = self._claim()
        except BaseException:
            self._done.close()
            raise
        try:
            lease = self._tools.policy.lease_seconds
            self._tools.keeper.keep(self.run, self._attempt, lease, self._stop, self._refused)
            self._tools.hub.heed(self.run, self._stop)
        except BaseException as error:
            self.end(error)
            raise
        finally:
            self._tools.live.add(self)
            threading.Thread(target=self._flush, name="callbridge-relay-flusher", daemon=True).start()

    def _claim(self) -> int:
        log, policy = self._tools.log, self._tools.policy
        silence, dead_beat = Silence(), None
        contact = Contact(silence.missed)
        while True:
            ask = partial(log.claim, self.run, self._owner, policy, restart=self._restart, dead_beat=dead_beat)
            claim = contact.ask(partial(self._insist, ask))
            state = claim.state
            if state is None:
                raise UnknownRunError(self.run)
            if claim.is_granted:
                return state.attempt
            if not (self._restart and state.status == "running" and state.is_overdue):
                raise _refused(self.run, state)
            # The publisher seems to be dead. If it is not, it renews the lease before we are sure.
            if silence.is_over(state, contact.asked_at, contact.answered_at):
                dead_beat = state.beat
            else:
                threading.Event().wait(silence.look_seconds)

    def _insist(self, call: Callable[[], T]) -> T:
        return insist(call, self._tools.log.url, self._tools.outage_seconds)

    # -- the publisher's part -----------------------------------------------------------------------------------------

    def text_of(self, event: Any) -> str:
        """Return the text to write into the log for an event, as the event is now.

        Raises:
            EventFormatError: The value is not an event.
        """
        return dumps(check_event(event))

    def end(self, error: BaseException | None, *, failed: bool = False) -> None:
        """Say how the run has ended. The events accepted before are written first. Idempotent; does not block.

        Args:
            error: The error with which the run ended, if it did not end well.
            failed: The run has failed, and the error is not known here.
        """
        with self._lock:
            if self._ending is None:
                self._ending = self._made_ending(error, failed=failed)
        self.send.close()

    def _made_ending(self, error: BaseException | None, *, failed: bool) -> tuple[Status, dict[str, str] | None]:
        if isinstance(self.trouble, RunStoppedError):
            return "stopped", None
        if error is None:
            return ("failed", {"type": "Exception", "message": "the run failed"}) if failed else ("ended", None)
        if status_of(error) == "cancelled":
            return "stopped", None
        told = {"type": type(error).__name__}
        if self._show_errors:
            told["message"] = str(error)
        return "failed", {"message": "the run failed; what it says stays with the worker", **told}

    def give_up(self) -> None:
        """End the run because the relay is closed. Does not block."""
        self._have_trouble(RelayClosedError())

    # -- trouble ------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self._have_trouble(RunStoppedError(self.run))

    def _refused(self, refusal: str) -> None:
        if refusal == "limited":
            self._have_trouble(RunLimitError(self.run))
        elif refusal == "fenced":
            self._have_trouble(LeaseLostError(self.run, _FENCED))
        else:
            self._have_trouble(LeaseLostError(self.run, _GONE))

    def _have_trouble(self, trouble: CallbridgeError) -> None:
        with self._lock:
            has_ended = self._ending is not None
            # A run that has ended by itself cannot be stopped any more. But if its end is not in the log, its caller must know.
            is_too_late = has_ended and isinstance(trouble, (RunStoppedError, RelayClosedError))
            if self.trouble is not None or self._is_over or is_too_late:
                return
            self.trouble = trouble
        if not has_ended:
            self._on_trouble()

    # -- the flusher --------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if not self._is_detached and not self._written(batch):
                    break
            else:
                self._write_end()
        except Exception:
            _logger.exception("the events of run %r could not be written", self.run)
            self._have_trouble(LeaseLostError(self.run, "its events could not be written; see the log of this process"))
        finally:
            self._receive.close()
            self._tools.live.discard(self)
            self._tools.keeper.let_go(self.run, self._attempt)
            self._tools.hub.unheed(self.run)
            self._done.close()

    def _next_batch(self) -> list[str] | None:
        """Wait for the first event. Return all waiting events; None at the end."""
        try:
            batch = [self._receive.receive_sync()]
        except anyio.EndOfStream:
            return None
        size = len(batch[0])
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while len(batch) < MOST and size < _BYTES:
                batch.append(self._receive.receive_nowait())
                size += len(batch[-1])
        return batch

    def _written(self, batch: list[str]) -> bool:
        """Write a batch. Return whether more may follow."""
        log, first = self._tools.log, self._count + 1
        try:
            refusal = self._insist(lambda: log.append(self.run, self._attempt, first, batch))
        except RelayUnreachableError as error:
            return self._outage(error)
        if refusal is not None:
            self._refused(refusal)
            return False
        self._count += len(batch)
        return True

    def _outage(self, error: RelayUnreachableError) -> bool:
        if self._tools.on_outage == "detach":
            _logger.warning("run %r goes on without readers: %s", self.run, error)
            self._is_detached = True
            self._tools.keeper.let_go(self.run, self._attempt)
            return True
        self._have_trouble(error)
        return False

    def _write_end(self) -> None:
        if self._is_detached:
            return
        with self._lock:
            status, error = self._ending or ("failed", None)
        ending = Ending(status, self._count, error)
        try:
            refusal = self._insist(lambda: self._tools.log.finish(self.run, self._attempt, ending))
        except RelayUnreachableError as problem:
            self._outage(problem)
            return
        if refusal is not None:
            self._refused(refusal)
            return
        with self._lock:
            # The end is in the log, so the lease was ours. If a renewal is refused now, or was already, it came after the end.
            self._is_over = True
            if isinstance(self.trouble, LeaseLostError):
                self.trouble = None


def _refused(run: str, state: RunState) -> CallbridgeError:
    if state.status == "stopped":
        return RunStoppedError(run)
    if state.status == "lost" and state.attempt == 0:
        return RunLostError(run)
    return RunTakenError(run, state.status)


def root_output(event: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether an event is the end of a root run, and its output."""
    is_end = not event.get("parent_ids") and str(event.get("event")).endswith("_end")
    return is_end, cast("Mapping[str, Any]", event.get("data") or {}).get("output") if is_end else None
