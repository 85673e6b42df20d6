"""A model of log, lease and stop in plain lists, beside every engine; and faults that it finds.

The machine makes the calls that publishers, keepers, readers and people make, in any order, late and twice, and compares every
answer with the model's. No time passes: a lease has run out when a reader says so, with the beat that it has seen. What depends
on time, the lease that a blocked loop must not lose and the life of a quiet run, is tried beside it, with faults of its own.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from made import events
from servers import Server

import callbridge
from callbridge.relay import connect
from callbridge.relay.keeper import Keeper
from callbridge.relay.log import Log
from callbridge.relay.memory import MemoryLog
from callbridge.relay.records import END, Ending, Policy, Position, Record
from callbridge.relay.redis import RedisLog
from callbridge.relay.sqlite import SQLiteLog

pytestmark = pytest.mark.thorough  # mutants, and servers

POLICY = Policy(lease_seconds=1000, max_events=5, max_bytes=10_000)


class Model:
    """What must be true of one run."""

    def __init__(self) -> None:
        self.status = "queued"
        self.attempt = 0
        self.owner = ""
        self.beat = 0
        self.stop = False
        self.counts: dict[int, int] = {0: 0}
        self.records: list[tuple[int, int, str]] = []

    def end(self, status: str) -> None:
        self.records.append((self.attempt, END, status))
        self.status = status

    def refusal(self, attempt: int) -> str | None:
        if attempt == self.attempt and self.status == "limited":
            return "limited"
        return None if attempt == self.attempt and self.status == "running" else "fenced"

    def claim(self, owner: str, restart: bool, dead_beat: int | None) -> bool:
        if self.status == "running":
            if owner == self.owner:
                return True
            if not restart or dead_beat != self.beat:
                return False
            self.end("lost")
        if self.status != "queued" and (not restart or self.status == "stopped"):
            return False
        self.attempt, self.status, self.owner, self.beat, self.stop = self.attempt + 1, "running", owner, 0, False
        self.counts[self.attempt] = 0
        return True

    def append(self, attempt: int, first: int, bodies: list[str]) -> str | None:
        no = self.refusal(attempt)
        if no is not None:
            return no
        count = self.counts[attempt]
        if first > count + 1:
            return "gap"
        for body in bodies[count + 1 - first :]:
            if self.counts[attempt] >= POLICY.max_events:
                self.end("limited")
                return "limited"
            self.counts[attempt] += 1
            self.records.append((attempt, self.counts[attempt], body))
        return None

    def finish(self, attempt: int, status: str, events: int) -> str | None:
        if attempt == self.attempt and self.status == status:
            return None
        no = self.refusal(attempt)
        if no is not None:
            return no
        if events != self.counts[attempt]:
            return "gap"
        self.end(status)
        return None


class Machine(RuleBasedStateMachine):
    """All calls on one run."""

    make_log: Callable[[], Log]

    @initialize()
    def begin(self) -> None:
        self.log = self.make_log()
        self.log.open()
        self.run = uuid.uuid4().hex
        self.model = Model()
        assert self.log.announce(self.run, "web", 1e6, POLICY) is None
        assert self.log.announce(self.run, "web", 1e6, POLICY) is None  # the reply was lost
        known = self.log.announce(self.run, "another", 1e6, POLICY)
        assert known is not None
        assert known.status == "queued"
        self.position = Position(0, 0)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.forget(self.run)
            self.log.close()

    @rule(owner=st.sampled_from("abc"), restart=st.booleans(), knows=st.booleans())
    def claim(self, owner: str, restart: bool, knows: bool) -> None:
        dead_beat = self.model.beat if knows else None
        claim = self.log.claim(self.run, owner, POLICY, restart=restart, dead_beat=dead_beat)
        assert claim.is_granted == self.model.claim(owner, restart, dead_beat)
        assert claim.state is not None
        assert (claim.state.status, claim.state.attempt) == (self.model.status, self.model.attempt)

    @rule(back=st.integers(0, 1), late=st.integers(-2, 1), size=st.integers(1, 5))
    def append(self, back: int, late: int, size: int) -> None:
        attempt = max(1, self.model.attempt - back)
        first = max(1, self.model.counts.get(attempt, 0) + 1 + late)
        bodies = [f"{attempt}-{number}" for number in range(first, first + size)]
        assert self.log.append(self.run, attempt, first, bodies) == self.model.append(attempt, first, bodies)

    @rule(back=st.integers(0, 1), status=st.sampled_from(["ended", "failed", "stopped"]), wrong=st.sampled_from([0, 0, 0, 1]))
    def finish(self, back: int, status: Any, wrong: int) -> None:
        attempt = max(1, self.model.attempt - back)
        events = self.model.counts.get(attempt, 0) + wrong
        ending = Ending(status, events)
        assert self.log.finish(self.run, attempt, ending) == self.model.finish(attempt, status, events)

    @rule(back=st.integers(0, 1))
    def beat(self, back: int) -> None:
        attempt = max(1, self.model.attempt - back)
        answer = self.log.beat(self.run, attempt)
        expected = self.model.refusal(attempt)
        if expected is None:
            self.model.beat += 1
            assert answer is self.model.stop
        else:
            assert answer == expected

    @rule()
    def stop(self) -> None:
        assert self.log.stop(self.run)
        if self.model.status == "queued":
            self.model.end("stopped")
        elif self.model.status == "running":
            self.model.stop = True
            assert self.log.wait({}, [self.run], 0.05).stopped == [self.run]

    @rule(seen=st.integers(0, 1))
    def declare_lost(self, seen: int) -> None:
        """A reader has seen this beat, or the one before, for too long."""
        self.log.declare_lost(self.run, self.model.attempt, self.model.beat - seen)
        if seen == 0 and self.model.status == "running":
            self.model.end("lost")

    @precondition(lambda self: self.model.records)
    @rule()
    def read_live(self) -> None:
        """The hub goes on from where it is, and misses nothing."""
        found: list[Record] = list(self.log.wait({self.run: self.position}, [], 0.002).records.get(self.run, []))
        expected = [each for each in self.model.records if each[:2] > tuple(self.position)]
        assert [record[:2] for record in found] == [each[:2] for each in expected]
        if found:
            self.position = found[-1].position

    @invariant()
    def the_log_is_the_model(self) -> None:
        if not hasattr(self, "log"):
            return
        state = self.log.state(self.run)
        assert state is not None
        assert (state.status, state.attempt, state.beat) == (self.model.status, self.model.attempt, self.model.beat)
        assert state.count == self.model.counts[self.model.attempt]
        found = self.log.read(self.run, Position(0, 0), 1000)
        assert [record[:2] for record in found] == [each[:2] for each in self.model.records]
        for record, (_, seq, body) in zip(found, self.model.records, strict=True):
            if seq == END:
                assert Ending.read(self.run, record.body).status == body
            else:
                assert record.body == body


def check(make_log: Callable[[], Log], examples: int, *, shrinks: bool = True) -> None:
    """Let the machine try an engine."""
    phases = tuple(Phase) if shrinks else (Phase.generate,)
    machine = type("EngineMachine", (Machine,), {"make_log": staticmethod(make_log)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            phases=phases,
            print_blob=False,
            report_multiple_bugs=False,
            database=None,
            derandomize=True,  # what kills a fault today kills it tomorrow
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def make_log(servers: Callable[[str], Server]) -> Iterator[Callable[[str], Callable[[], Log]]]:
    folder = tempfile.mkdtemp()

    def get(engine: str) -> Callable[[], Log]:
        if engine == "memory":
            return lambda: MemoryLog(uuid.uuid4().hex)
        if engine == "sqlite":
            return lambda: SQLiteLog(f"{folder}/runs.db")
        url = servers(engine).url
        return lambda: RedisLog(url, url)

    yield get
    shutil.rmtree(folder)


@pytest.mark.parametrize("engine", ["memory", "sqlite", "redis", "valkey"])
def test_every_engine_is_the_model(engine: str, make_log: Callable[[str], Callable[[], Log]]) -> None:
    check(make_log(engine), {"memory": 60, "sqlite": 25}.get(engine, 10))


# -- faults, and that they are found ----------------------------------------------------------------------------------


class NoFence(MemoryLog):
    """Writes whatever attempt it comes from."""

    def append(self, run: str, attempt: int, first: int, bodies: Any) -> Any:
        state = self.state(run)
        assert state is not None
        return super().append(run, state.attempt if state.status == "running" else attempt, first, bodies)


class FromNow(MemoryLog):
    """Begins to read when it is asked, and not where it was told to."""

    def wait(self, after: Any, published: Any, seconds: float) -> Any:
        now = {run: state.position for run in after if (state := self.state(run)) is not None}
        return super().wait(now, published, seconds)


class OneByOne(MemoryLog):
    """A pipeline in place of a transaction: what is refused in its midst leaves a hole, or half of it."""

    def append(self, run: str, attempt: int, first: int, bodies: Any) -> Any:
        answers = [super(OneByOne, self).append(run, attempt, first + number, [body]) for number, body in enumerate(bodies)]
        return answers[0]


class AnyBeat(MemoryLog):
    """Gives a run up that was renewed since it was seen."""

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        state = self.state(run)
        super().declare_lost(run, attempt, state.beat if state is not None else beat)


class DoublesAfterLostReply(MemoryLog):
    """Writes a batch again that was written already."""

    def append(self, run: str, attempt: int, first: int, bodies: Any) -> Any:
        state = self.state(run)
        assert state is not None
        return super().append(run, attempt, max(first, state.count + 1), bodies)


class StopForgets(MemoryLog):
    """Stops only what runs."""

    def stop(self, run: str) -> bool:
        state = self.state(run)
        return state is not None and (state.status == "queued" or super().stop(run))


class TwoPublishers(MemoryLog):
    """Lets a second attempt begin beside the first."""

    def claim(self, run: str, owner: str, policy: Policy, *, restart: bool, dead_beat: int | None = None) -> Any:
        state = self.state(run)
        assert state is not None
        return super().claim(run, owner, policy, restart=restart, dead_beat=state.beat if restart else dead_beat)


@pytest.mark.parametrize("mutant", [NoFence, FromNow, OneByOne, AnyBeat, DoublesAfterLostReply, StopForgets, TwoPublishers])
def test_the_model_finds_what_goes_wrong(mutant: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion, or Hypothesis's group of several
        check(lambda: mutant(uuid.uuid4().hex), 200, shrinks=False)


# -- time ---------------------------------------------------------------------------------------------------------------


def how_it_ends(lease_seconds: float, silence: float, *, blocks: bool, **options: Any) -> str:
    """Publish a run that is silent for a while, in a loop that is blocked or not; return how a reader sees it end."""
    url = f"memory:{uuid.uuid4().hex}"

    async def stream() -> AsyncIterator[Any]:
        first, last = events(2)
        yield first
        if blocks:
            time.sleep(silence)  # noqa: ASYNC251 - that is the point
        else:
            await asyncio.sleep(silence)
        yield last

    async def publish() -> None:
        async with connect(url, lease_seconds=lease_seconds, **options) as relay:
            with suppress(callbridge.CallbridgeError):
                await relay.publish(run, stream())

    with connect(url) as reader:
        run = reader.announce_sync()
        thread = threading.Thread(target=asyncio.run, args=(publish(),))
        thread.start()
        try:
            for _ in reader.follow(run):
                pass
        except callbridge.CallbridgeError as error:
            return type(error).__name__
        finally:
            thread.join()
    return "ended"


def keep_in_loop(keeper: Keeper, run: str, attempt: int, lease_seconds: float, *_: Any) -> None:
    """Renew a lease from the publisher's loop, as many do. A thread of the loop's pool calls this."""

    async def renew() -> None:
        while keeper._log.beat(run, attempt) is False:  # noqa: ASYNC110
            await asyncio.sleep(lease_seconds / 3)

    loop = next(each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop) and each.is_running())
    asyncio.run_coroutine_threadsafe(renew(), loop)


@pytest.mark.blocks("stream")
def test_a_lease_that_the_loop_keeps_would_be_lost_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert how_it_ends(0.5, 2.2, blocks=True) == "ended"
    monkeypatch.setattr(Keeper, "keep", keep_in_loop)
    assert how_it_ends(0.5, 2.2, blocks=True) == "RunLostError"


def test_a_life_that_is_not_refreshed_would_end_in_a_quiet_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"blocks": False, "orphan_seconds": 0.1}
    assert how_it_ends(0.6, 2, **options) == "ended"
    kept = MemoryLog._kept
    monkeypatch.setattr(MemoryLog, "_kept", lambda self, state: kept(self, state) if state.beat == 0 else state)
    assert how_it_ends(0.6, 2, **options) == "RelayGapError"
