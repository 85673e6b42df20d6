"""`Relay` and `connect`: the public face of the relay.

A relay connects in `async with`, in `with`, or on first use. If it was connected and the process forks, it connects anew in the
child. It waits for the log in threads only, so the same code serves asyncio, trio and sync programs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync

from callbridge.errors import ArgumentError, RecordVersionError, RelayClosedError, RunTakenError, UnknownRunError
from callbridge.relay.addresses import log_at
from callbridge.relay.follow import Follower
from callbridge.relay.hub import Hub
from callbridge.relay.keeper import Keeper
from callbridge.relay.log import Log
from callbridge.relay.patience import insist
from callbridge.relay.publication import Publication, Tools
from callbridge.relay.publish import publish_events, publish_events_sync
from callbridge.relay.records import Policy, RunState, Status, check_run, make_run
from callbridge.relay.silence import Contact, Silence

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Relay", "RunSummary", "connect"]

T = TypeVar("T")

CLOSE_SECONDS: Final = 5.0
"""How long closing a relay waits for the ends of its publications."""

SHORTEST_LEASE: Final = 0.5
"""Seconds. On a busy machine, a shorter lease would run out while the process waits for its turn."""


@dataclass(frozen=True)
class RunSummary:
    """A run, as `Relay.runs` lists it.

    Example:
        ```python
        with callbridge.relay.connect("memory:teas") as relay:
            relay.announce_sync("tea-1")
            print([(run.run, run.status) for run in relay.runs_sync()])
        #> [('tea-1', 'queued')]
        ```
    """

    run: str
    """The id of the run."""

    status: Status
    """Its state, as far as the log knows: if its publisher has died just now, this is still `running`."""

    attempt: int
    """How many times the run was begun."""

    events: int
    """How many events the last attempt has, or had."""

    bytes: int
    """How many bytes these events have as JSON."""

    seconds: float
    """The time since the run was announced."""


@dataclass(frozen=True)
class _Settings:
    url: str = field(repr=False)  # it may have a password
    policy: Policy
    outage_seconds: float
    on_outage: Literal["fail", "detach"]
    capacity: int


def connect(
    url: str = "memory:",
    *,
    lease_seconds: float = 15,
    keep_seconds: float = 3600,
    orphan_seconds: float = 86400,
    outage_seconds: float = 30,
    on_outage: Literal["fail", "detach"] = "fail",
    max_events: int = 100_000,
    max_bytes: int = 64 * 2**20,
    on_limit: Literal["fail", "trim"] = "fail",
    capacity: int = 256,
) -> Relay:
    """Return a relay. It connects when you enter it, or on first use.

    Args:
        url: Where the log is. `memory:` is for one process, and `memory:NAME` is another log in it. `sqlite:///PATH` is for the
            processes of one machine. `redis://`, `rediss://` and `unix://` are for all others, with the extra `redis`.
            `redis+cluster://` and `rediss+cluster://` are for a cluster, and name one of its nodes.
        lease_seconds: How long to wait for a publisher that has died.
        keep_seconds: How long a run can be read after its end.
        orphan_seconds: How long to keep a run that nobody publishes any more and nobody has read to its end.
        outage_seconds: How long the log may be away before publishers and readers give up.
        on_outage: What a run does then. With `"fail"` it fails; with `"detach"` it goes on without readers.
        max_events: How many events a run may have.
        max_bytes: How many bytes these events may have as JSON.
        on_limit: What happens at either limit: `"fail"` ends the run, `"trim"` drops its oldest events.
        capacity: How many events may wait for the log before the run waits.

    Raises:
        RelayURLError: The URL names no engine.
        ArgumentError: Another argument has a value that is not allowed.

    Example:
        ```python
        async with callbridge.relay.connect("memory:") as relay:
            run = await relay.announce()
            answer = await relay.publish(run, callbridge.astream_events(chain, {"drink": "tea"}))
            print(await relay.status(run), answer.content)
        #> ended With hot water.
        ```
    """
    log_at(url)
    _check_seconds("lease_seconds", lease_seconds, SHORTEST_LEASE)
    _check_seconds("keep_seconds", keep_seconds)
    _check_seconds("orphan_seconds", orphan_seconds)
    _check_seconds("outage_seconds", outage_seconds)
    for name, value in (("max_events", max_events), ("max_bytes", max_bytes), ("capacity", capacity)):
        if type(value) is not int or value < 1:
            raise ArgumentError(name, value, "a whole number from 1 up")
    if on_outage not in ("fail", "detach"):
        raise ArgumentError("on_outage", on_outage, "'fail' or 'detach'")
    if on_limit not in ("fail", "trim"):
        raise ArgumentError("on_limit", on_limit, "'fail' or 'trim'")
    policy = Policy(lease_seconds, keep_seconds, orphan_seconds, max_events, max_bytes, on_limit)
    return Relay(_Settings(url, policy, outage_seconds, on_outage, capacity))


class Relay:
    """Publishes runs in one process, and follows them in any. Made by `connect`.

    Threads: any; and any number of loops.

    Example:
        ```python
        with callbridge.relay.connect("memory:") as relay:  # in sync code
            run = relay.announce_sync()
            relay.publish_sync(run, callbridge.stream_events(chain, {"drink": "tea"}))
            callbridge.drive(relay.follow(run), [PrintTokens()])
        #> With hot water.
        ```
    """

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._tools: Tools | None = None
        self._pid = 0
        self._is_closed = False

    # -- connecting ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the log is, with secrets hidden."""
        return log_at(self._settings.url).url

    def _opened(self) -> Tools:
        """Return the connection. If there is none yet, connect, and block meanwhile.

        Raises:
            RelayClosedError: The relay is closed.
            RelayConnectionError: The log cannot be used.
        """
        with self._lock:
            if self._is_closed:
                raise RelayClosedError
            if self._tools is None or self._pid != os.getpid():
                settings = self._settings
                log = log_at(settings.url)
                log.open()
                hub, keeper = Hub(log, settings.outage_seconds), Keeper(log)
                self._tools = Tools(
                    log, hub, keeper, settings.policy, settings.outage_seconds, settings.on_outage, settings.capacity
                )
                self._pid = os.getpid()
            return self._tools

    def close(self) -> None:
        """Disconnect. Runs that this relay publishes or follows end with an error there. Idempotent.

        Blocks until the ends of runs are written, for at most 5 seconds. If this thread runs a loop that they may need, it does
        not block.
        """
        self._close(0 if _runs_loop() else CLOSE_SECONDS)

    def _close(self, seconds: float) -> None:
        with self._lock:
            self._is_closed = True
            tools, self._tools = self._tools, None
        if tools is not None and self._pid == os.getpid():
            for publication in list(tools.live):
                publication.give_up()
            until = monotonic() + seconds
            while tools.live and monotonic() < until:
                threading.Event().wait(0.005)
            tools.keeper.close()
            tools.hub.close()
            tools.log.close()

    async def aclose(self) -> None:
        """Disconnect, as `close` does.

        Cancellation: the relay disconnects all the same.
        """
        with anyio.CancelScope(shield=True):
            await self._in_thread(lambda: self._close(CLOSE_SECONDS))

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            RelayConnectionError: The relay cannot connect.
        """
        self._opened()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """Connect, as `__enter__` does."""
        await self._in_thread(self._opened)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def announce(self, run: str | None = None, *, start_seconds: float = 600) -> str:
        """Announce a run: from now on it can be followed and stopped.

        Args:
            run: Its id. None: an id that nobody can guess, so that only those whom you tell it can read the run.
            start_seconds: If nobody has begun to publish the run after this time, it is given up as lost.

        Returns:
            Its id. Hand it to the worker and to the page.

        Raises:
            RunIdError: The id is not allowed.
            RunTakenError: The id was announced before.
            RelayConnectionError: The log cannot be used.
        """
        return await self._in_thread(lambda: self.announce_sync(run, start_seconds=start_seconds))

    def announce_sync(self, run: str | None = None, *, start_seconds: float = 600) -> str:
        """Announce a run; see `announce`. Blocks.

        Raises:
            RunIdError: The id is not allowed.
            RunTakenError: The id was announced before.
        """
        _check_seconds("start_seconds", start_seconds)
        name = make_run() if run is None else check_run(run)
        owner, policy = uuid4().hex, self._settings.policy
        known = self._asked(lambda log: log.announce(name, owner, start_seconds, policy))
        if known is not None:
            raise RunTakenError(name, known.status)
        return name

    async def publish(
        self, run: str, stream: AsyncIterable[Any] | Iterable[Any], *, restart: bool = False, show_errors: bool = False
    ) -> Any:
        """Drive a run and write its events into the log, where readers in any process find them.

        If the log is slow, the run waits for it; it never waits for a reader. If somebody stops the run, it is cancelled and
        awaited.

        Args:
            run: Its id, as announced.
            stream: Its events: `astream_events(...)`, `astream_call(...)`, an `EventStreamHandler` that is attached to it, or
                any other iterator of v2 events. A handler does not own its run: if the run is to end, this call raises, and the
                caller of the run cancels it.
            restart: If the run was published before and is over, publish it again, from its beginning.
            show_errors: Show readers the message of an error of the run, and not only its type.

        Returns:
            The run's return value: the stream's `result`, or the output of its root run.

        Raises:
            UnknownRunError: The run was never announced, has expired or was forgotten.
            RunTakenError: Another attempt is publishing the run, or has published it.
            RunStoppedError: Somebody stopped the run. Either nothing of it had begun, or it was cancelled.
            LeaseLostError: The run was given up, because this process was silent for too long.
            RunLimitError: The run has reached a limit of its log.
            RelayUnreachableError: The log was away for too long.
            EventFormatError: The stream gave something that is not an event.
            BaseException: The very error with which the run ended.

        Cancellation: the run is cancelled and awaited, its end is written, and the cancellation goes on.
        """
        check_run(run)
        return await publish_events(self._make_publication, run, stream, restart=restart, show_errors=show_errors)

    def publish_sync(self, run: str, stream: Iterable[Any], *, restart: bool = False, show_errors: bool = False) -> Any:
        """Drive a run from sync code and write its events into the log; see `publish`.

        Args:
            run: Its id, as announced.
            stream: `stream_events(...)`, `stream_call(...)`, an attached handler, or another iterator of v2 events.
            restart: As for `publish`.
            show_errors: As for `publish`.

        Returns:
            The run's return value.
        """
        check_run(run)
        return publish_events_sync(self._make_publication, run, stream, restart=restart, show_errors=show_errors)

    def _make_publication(self, run: str, on_trouble: Callable[[], None], restart: bool, show_errors: bool) -> Publication:
        return Publication(self._opened(), run, restart=restart, show_errors=show_errors, on_trouble=on_trouble)

    def follow(self, run: str, *, after: str | None = None) -> Follower:
        """Return the events of a run, for `async for` or `for`. A run may have any number of readers.

        Args:
            run: Its id.
            after: Begin behind the event at this position: the `.position` of another reader of this run. None: begin at the
                beginning.

        Raises:
            RunIdError: The id is not allowed.
            PositionError: `after` is not a position, or is a position in another run.
        """
        return Follower(check_run(run), after, self._follow_tools)

    def _follow_tools(self) -> tuple[Log, Hub, Callable[[Callable[[], Any]], Any]]:
        tools = self._opened()
        return tools.log, tools.hub, lambda call: insist(call, tools.log.url, tools.outage_seconds)

    async def stop(self, run: str) -> None:
        """Ask a run to stop, wherever it is, even before it has begun. A run that is over stays as it is.

        Raises:
            UnknownRunError: There is no such run.
        """
        await self._in_thread(lambda: self.stop_sync(run))

    def stop_sync(self, run: str) -> None:
        """Ask a run to stop; see `stop`. Blocks.

        Raises:
            UnknownRunError: There is no such run.
        """
        check_run(run)
        if not self._asked(lambda log: log.stop(run)):
            raise UnknownRunError(run)

    async def status(self, run: str) -> Status:
        """Return the state of a run: `queued`, `running`, `ended`, `failed`, `stopped`, `lost` or `limited`.

        If the lease of a run has run out, the run is watched for 6 seconds before it is reported as lost. If the whole lease is
        shorter than that, it is watched for the whole lease; if a third of the lease and a second is longer, for that.

        Raises:
            UnknownRunError: There is no such run.
        """
        return await self._in_thread(lambda: self.status_sync(run))

    def status_sync(self, run: str) -> Status:
        """Return the state of a run; see `status`. Blocks.

        Raises:
            UnknownRunError: There is no such run.
        """
        check_run(run)
        silence = Silence()
        contact = Contact(silence.missed)
        while True:
            state = contact.ask(lambda: self._asked(lambda log: log.state(run)))
            if state is None:
                raise UnknownRunError(run)
            if not state.is_overdue:
                return state.status
            if silence.is_over(state, contact.asked_at, contact.answered_at):
                self._declare_lost(run, state)
            else:
                threading.Event().wait(silence.look_seconds)

    def _declare_lost(self, run: str, seen: RunState) -> None:
        self._asked(lambda log: log.declare_lost(run, seen.attempt, seen.beat))

    async def forget(self, run: str) -> None:
        """Delete a run and all its events. Its current readers get an error, and its publisher is fenced.

        Raises:
            UnknownRunError: There is no such run.
        """
        await self._in_thread(lambda: self.forget_sync(run))

    def forget_sync(self, run: str) -> None:
        """Delete a run; see `forget`. Blocks.

        Raises:
            UnknownRunError: There is no such run.
        """
        check_run(run)
        if not self._asked(lambda log: log.forget(run)):
            raise UnknownRunError(run)

    async def runs(self) -> list[RunSummary]:
        """Return all runs that the log knows, newest first. It looks at every run: meant for people, not for a hot path."""
        return await self._in_thread(self.runs_sync)

    def runs_sync(self) -> list[RunSummary]:
        """Return all runs; see `runs`. Blocks."""
        found = self._asked(lambda log: [(run, _state_of(log, run)) for run in log.runs()])
        return sorted((_summary(run, state) for run, state in found if state is not None), key=lambda each: each.seconds)

    # -- asking the log -----------------------------------------------------------------------------------------------

    def _asked(self, call: Callable[[Log], T]) -> T:
        tools = self._opened()
        return insist(lambda: call(tools.log), tools.log.url, tools.outage_seconds)

    @staticmethod
    async def _in_thread(call: Callable[[], T]) -> T:
        # A limiter of its own: jobs that wait for a run may have taken all of the loop's.
        return await run_sync(call, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))


def _runs_loop() -> bool:
    """Return whether this thread runs an event loop."""
    try:
        anyio.get_current_task()
    except Exception:  # noqa: BLE001 - what this raises without a loop depends on the library
        return False
    return True


def _check_seconds(name: str, value: Any, least: float = 0) -> None:
    if type(value) not in (int, float) or not least <= value < 1e9:
        raise ArgumentError(name, value, f"a number of seconds, at least {least}")


def _state_of(log: Log, run: str) -> RunState | None:
    """Return the state of a run; None if it is gone, or if a newer version has written it."""
    try:
        return log.state(run)
    except RecordVersionError:
        return None


def _summary(run: str, state: RunState) -> RunSummary:
    return RunSummary(run, state.status, state.attempt, state.count, state.bytes, max(0.0, state.now - state.announced_at))
