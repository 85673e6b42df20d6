"""When readers give a run up: a server that stands still, a publisher and a reader, on a clock that only the test moves.

The reader is a real `Hub` over a real `MemoryLog`; the test takes the place of its thread, of the server's time and of the
publisher's `Keeper`. So every order of what happens can be tried, and faults of the watch are found each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from made import events

import callbridge
from callbridge.relay.hub import Hub, _Followed
from callbridge.relay.log import LogAwayError, Seen
from callbridge.relay.memory import MemoryLog
from callbridge.relay.records import Policy, Position, RunState
from callbridge.relay.silence import LOOKS_SECONDS, Silence

RUN = "run"
CALL_SECONDS = 5.0
WAIT_SECONDS = 10.0
"""After these a client takes its connection for dead: one that asks, and one that waits."""


@dataclass(frozen=True)
class Story:
    """What happens, in seconds from the beginning of the run."""

    lease: float = 3.0
    pauses: tuple[tuple[float, float], ...] = ()
    """When the server stands still, and until when."""

    reader_is_served_first: bool = True
    """Of those that have waited for the server to come back."""

    connection_dies: bool = False
    """Whether what the publisher has asked while the server stood still has no answer, so that it has to connect anew."""

    reader_comes: float = 0.0
    dies: float = 1e9
    """When the publisher is killed."""

    until: float = 60.0


class World(MemoryLog):
    """The log, as the reader's calls find it: each takes its time, and what the publisher has asked before is done before."""

    def __init__(self, story: Story) -> None:
        super().__init__(f"world-{id(self)}")
        self.now = 0.0
        self._clock = lambda: self.now
        self._story = story
        self._is_behind = False
        self.open()
        policy = Policy(lease_seconds=story.lease)
        self.announce(RUN, "web", 600, policy)
        assert self.claim(RUN, "worker", policy, restart=False).is_granted
        self.append(RUN, 1, 1, [callbridge.dumps(event) for event in events(3)])
        self._asks_at = story.lease / 3  # the publisher's next renewal
        self.lost_at: float | None = None

    def served(self, asked: float) -> float:
        """Return when the server does what it was asked."""
        return next((end for begin, end in self._story.pauses if begin <= asked < end), asked)

    def renew(self, until: float) -> None:
        """Let the publisher do what it does until then."""
        while self._asks_at < self._story.dies:
            done = self.served(self._asks_at)
            blocked = done - self._asks_at
            if blocked > CALL_SECONDS or (blocked and self._story.connection_dies):
                if self._asks_at + CALL_SECONDS > until:
                    return
                self._asks_at += CALL_SECONDS + 0.25
                continue
            if done + (0.01 if blocked and self._story.reader_is_served_first else 0) > until:
                return
            reader, self.now = self.now, done
            super().beat(RUN, 1)
            self.now = reader
            self._asks_at = max(done, self._asks_at + self._story.lease / 3)

    def _pass(self, seconds: float, patience: float) -> None:
        asked = self.now
        done = self.served(asked + seconds)
        if done - asked > patience:
            self.now = asked + patience
            raise LogAwayError("no answer")
        self.now = done
        self.renew(done)

    def state(self, run: str) -> RunState | None:
        if self.now:  # and not while the world is made
            self._pass(0.001, CALL_SECONDS)
        return super().state(run)

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        seen = self._look(after, published)
        if not seen.records:
            self._pass(seconds, WAIT_SECONDS)
        return seen

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        self._pass(0.001, CALL_SECONDS)
        super().declare_lost(run, attempt, beat)
        found = super().state(run)
        if self.lost_at is None and found is not None and found.status == "lost":
            self.lost_at = self.now


def lost_at(story: Story) -> float | None:
    """Let it all happen; return when the run was given up."""
    world = World(story)
    world.now = max(story.reader_comes, 0.001)
    hub = Hub(world, 1e9, clock=lambda: world.now)
    hub._followed[RUN] = _Followed(Position(1, 0), looked_at=world.now)
    while world.now < story.until and world.lost_at is None:
        try:
            hub._round({RUN: hub._followed[RUN].position}, [])
        except LogAwayError:
            world.now += 0.25
    return world.lost_at


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Return stories in which the server stands still now and then, and the publisher lives."""
    lease = draw(st.sampled_from([0.5, 0.9, 3.0, 9.0, 15.0]))
    tenths = st.integers(1, 400).map(lambda number: number / 40 * lease / 3)
    at, pauses = 0.0, []
    dies = lease > 6 and draw(st.booleans())
    for _ in range(1 if dies else draw(st.integers(1, 3))):
        begin = at + draw(tenths)
        at = begin + draw(tenths)
        pauses.append((begin, at))
    comes = draw(st.sampled_from([0.0, at - 0.01, at + 0.01, at + 1, at + 3]))
    first = draw(st.booleans())
    return Story(lease, tuple(pauses), first, dies, max(0.0, comes), until=at + 2.5 * lease + 10)


@pytest.mark.thorough
@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(stories())
def test_a_healthy_run_is_not_given_up_however_the_server_stands_still(story: Story) -> None:
    assert lost_at(story) is None


STOPS = [
    # Whenever in the life of a lease the server stops: before a look, between two, or in the midst of one, which is answered
    # when the server comes back, before the publisher is.
    *(Story(3.0, ((2 + number / 50, 6 + number / 50),), until=20) for number in range(100)),
    # The publisher's connection is dead afterwards, and it finds out late.
    *(Story(9.0, ((5.0 + number / 2, 16.0 + number),), True, True, until=80) for number in range(20)),
    *(Story(15.0, ((5.0 + number / 2, 16.0 + number),), True, True, 16.1 + number, until=80) for number in range(20)),
]


@pytest.mark.parametrize("story", STOPS, ids=str)
def test_a_server_that_stands_still_at_any_time_costs_no_run(story: Story) -> None:
    assert lost_at(story) is None


@pytest.mark.parametrize("lease", [0.5, 0.9, 3.0, 9.0, 15.0, 60.0])
@pytest.mark.parametrize("phase", [0.01, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("late", [0.0, 5.0])
def test_a_publisher_that_has_died_is_given_up_in_time(lease: float, phase: float, late: float) -> None:
    """At the latest the lease and 3 seconds after it died, or after the reader came."""
    dies = 2 * lease + phase * lease / 3
    comes = dies + late * lease if late else 0.0
    found = lost_at(Story(lease, reader_comes=comes, dies=dies, until=20 * lease + 20))
    assert found is not None
    assert found - max(dies, comes) <= lease + 3


def test_a_publisher_that_dies_while_the_server_stands_still_is_given_up_after_it_comes_back() -> None:
    found = lost_at(Story(3.0, ((5.0, 12.0),), dies=6.0, until=40))
    assert found is not None
    assert 12 + 3 <= found <= 12 + 3 + 3


# -- faults, and that they are found ----------------------------------------------------------------------------------


class NeverMisses(Silence):
    """Takes the time in which the log did not answer for time in which it has watched."""

    def missed(self, seconds: float) -> None:
        pass


class HalfALease(Silence):
    """Does not give the publisher the whole lease after the server has come back."""

    def _needed(self, state: RunState) -> float:
        return state.lease_seconds / 3 + 0.1


class AsItWas(NeverMisses):
    """Counts up to two looks of a time without an answer, and lets that be enough, as it once was."""

    _seen_at = _seconds = 0.0

    def is_over(self, state: RunState, asked_at: float, answered_at: float) -> bool:
        beat = (state.attempt, state.beat)
        if beat != self._beat:
            self._beat, self._seconds = beat, 0.0
        else:
            self._seconds += min(asked_at - self._seen_at, 2 * LOOKS_SECONDS)
        self._seen_at = asked_at
        needed = state.lease_seconds / 3 + LOOKS_SECONDS if state.is_overdue else state.lease_seconds
        return self._seconds >= needed


class TrustsTheClock(Silence):
    """Gives up what has run out by the server's clock."""

    def is_over(self, state: RunState, asked_at: float, answered_at: float) -> bool:
        return state.is_overdue


class HasNoPatience(Silence):
    """Leaves a publisher no time to find out that its connection is dead."""

    def _needed(self, state: RunState) -> float:
        return state.lease_seconds / 3 + LOOKS_SECONDS if state.is_overdue else state.lease_seconds


@pytest.mark.parametrize("mutant", [NeverMisses, HalfALease, AsItWas, TrustsTheClock, HasNoPatience])
def test_a_watch_that_goes_wrong_is_found(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _Followed.__init__

    def with_fault(self: _Followed, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        self.silence = mutant()

    monkeypatch.setattr(_Followed, "__init__", with_fault)
    assert any(lost_at(story) is not None for story in STOPS)
