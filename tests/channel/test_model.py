"""The channel against models in plain lists, in any order of operations; and whether these tests would notice a fault.

Conservation, order, the bound, and that nobody waits for nothing. The loop is driven by hand, a few ticks after each step, so
what a step leads to has happened before the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from callbridge.channel import memory, policies, state
from callbridge.channel.memory import Overflow, ReceiveEnd, open_channel
from callbridge.channel.state import ChannelState
from callbridge.errors import ChannelClosedError, ChannelOverflow, ConcurrentReadError

TICKS = 8
"""Turns of the loop after each step: more than any chain of wakes takes."""


class RunError(Exception):
    """With which senders close."""


class BlockingChannel(RuleBasedStateMachine):
    """Producers and a reader in tasks of one loop."""

    @initialize(capacity=st.integers(1, 5), may_close=st.booleans())
    def open(self, capacity: int, may_close: bool) -> None:
        # Half of the runs never close: what comes after a close is short.
        self.may_close = may_close
        self.capacity = capacity
        self.loop = asyncio.new_event_loop()
        self.send, self.receive = open_channel(capacity)
        self.sent: list[int] = []
        self.taken: list[int] = []
        self.senders: list[asyncio.Task[None]] = []
        self.reader: asyncio.Task[int] | None = None
        self.unpaid = 0  # items sent by who did not wait for room
        self.discarded = 0
        self.closed_by = ""
        self.error: RunError | None = None

    def settle(self) -> None:
        async def ticks() -> None:
            for _ in range(TICKS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(ticks())
        self.senders = [task for task in self.senders if not task.done() or task.result()]
        if self.reader is not None and self.reader.done():
            self.note(self.reader.result)
            self.reader = None

    def inside(self, function: Callable[[], object]) -> None:
        """Call a function in the loop."""

        async def call() -> None:
            function()

        self.loop.run_until_complete(call())

    def note(self, take: Callable[[], int]) -> None:
        """Check what a read came to: an item, the error or the end."""
        failure: BaseException
        try:
            self.taken.append(take())
            return
        except (anyio.WouldBlock, anyio.EndOfStream, RunError) as raised:
            failure = raised
        if isinstance(failure, anyio.WouldBlock):
            assert not self.closed_by
        else:
            assert self.closed_by
            assert self.error is (failure if isinstance(failure, RunError) else None)
            self.error = None
        assert self.discarded or self.taken == self.sent

    def push(self) -> None:
        number = len(self.sent)
        if self.closed_by:
            with pytest.raises(ChannelClosedError) as caught:
                self.send.push(number)
            assert caught.value.by == self.closed_by
            return
        assert self.send.push(number) == (self.send.statistics().buffered > self.capacity)
        self.sent.append(number)
        self.unpaid += 1

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loop.create_task(coroutine)

    @rule(inside=st.booleans(), count=st.integers(1, 4))
    def push_some(self, inside: bool, count: int) -> None:
        for _ in range(count):
            self.inside(self.push) if inside else self.push()
        self.settle()

    @rule(count=st.integers(1, 4))
    def send_some(self, count: int) -> None:
        for _ in range(count):
            number = len(self.sent)
            task = self.start(self.send.send(number))
            if self.closed_by:
                with pytest.raises(ChannelClosedError):
                    self.loop.run_until_complete(task)
                return
            self.sent.append(number)
            self.senders.append(task)
            self.settle()

    @rule(ticks=st.integers(1, 3))
    def send_one_cancelled(self, ticks: int) -> None:
        if self.closed_by:
            return
        number = len(self.sent)
        task = self.start(self.send.send(number))
        self.sent.append(number)
        self.unpaid += 1
        for _ in range(ticks):
            self.inside(lambda: None)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(task)
        self.settle()

    @precondition(lambda self: self.senders)
    @rule(data=st.data(), after_take=st.booleans())
    def cancel_sender(self, data: st.DataObject, after_take: bool) -> None:
        task = data.draw(st.sampled_from(self.senders))

        def cancel() -> None:
            if after_take:  # perhaps it is woken first
                for _ in range(self.capacity):
                    self.note(self.receive.receive_nowait)
            task.cancel()

        self.inside(cancel)
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(task)
        self.senders.remove(task)
        self.unpaid += 1
        self.settle()

    @precondition(lambda self: self.reader is None)
    @rule()
    def receive_one(self) -> None:
        self.reader = self.start(self.receive.receive())
        self.settle()

    @precondition(lambda self: self.reader is None)
    @rule(count=st.integers(1, 8))
    def receive_nowait(self, count: int) -> None:
        for _ in range(count):
            self.note(self.receive.receive_nowait)
        self.settle()

    @precondition(lambda self: self.reader is not None)
    @rule(push_first=st.booleans(), inside=st.booleans())
    def cancel_reader(self, push_first: bool, inside: bool) -> None:
        reader = self.reader
        assert reader is not None

        def cancel() -> None:
            if push_first:
                self.push()
            reader.cancel()

        self.inside(cancel) if inside else cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(reader)
        assert reader.cancelled()
        self.reader = None
        self.settle()

    @precondition(lambda self: self.reader is not None)
    @rule()
    def read_twice(self) -> None:
        with pytest.raises(ConcurrentReadError):
            self.loop.run_until_complete(self.start(self.receive.receive()))

    @precondition(lambda self: self.may_close)
    @rule(fails=st.booleans(), inside=st.booleans())
    def close_sender(self, fails: bool, inside: bool) -> None:
        error = RunError() if fails else None
        self.inside(lambda: self.send.close(error)) if inside else self.send.close(error)
        if not self.closed_by:
            self.closed_by = "sender"
            self.error = error
            self.unpaid += len(self.senders)  # they go on, and what they sent stays
        self.settle()

    @precondition(lambda self: self.may_close and (self.closed_by or len(self.sent) > 8))
    @rule(inside=st.booleans())
    def close_receiver(self, inside: bool) -> None:
        self.discarded += len(self.sent) - len(self.taken) - self.discarded
        self.error = None
        self.closed_by = self.closed_by or "receiver"
        self.inside(self.receive.close) if inside else self.receive.close()
        self.settle()

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "send"):
            return
        statistics = self.send.statistics()
        buffered = len(self.sent) - len(self.taken) - self.discarded
        # Conservation and order.
        assert self.taken == self.sent[: len(self.taken)]
        assert (statistics.sent, statistics.received) == (len(self.sent), len(self.taken))
        assert (statistics.buffered, statistics.discarded) == (buffered, self.discarded)
        # The bound.
        assert statistics.overruns == 0
        assert buffered <= self.capacity + len(self.senders) + self.unpaid
        # Nobody waits for nothing.
        assert statistics.waiting_producers == len(self.senders)
        assert not self.senders or (buffered > self.capacity // 2 and not self.closed_by)
        assert statistics.waiting_reader == (self.reader is not None)
        assert self.reader is None or (buffered == 0 and not self.closed_by)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(cancel_all())
        self.loop.close()


Word = str
"""A capital must arrive; other letters are kinds."""


class Model:
    """A full buffer, policy by policy, as simply as it can be said."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.groups: list[list[Word]] = []
        self.dropped = self.merged = self.overruns = 0

    def push(self, word: Word) -> bool:
        """Return whether the word is accepted."""
        if len(self.groups) >= self.capacity and not getattr(self, self.overflow)(word):
            return self.overflow != "fail"
        self.overruns += len(self.groups) >= self.capacity
        self.groups.append([word])
        return True

    def fail(self, word: Word) -> bool:
        return word.isupper()

    def drop_oldest(self, word: Word) -> bool:
        self.drop(list(range(len(self.groups))))
        return self.may_append(word)

    def drop_newest(self, word: Word) -> bool:
        if word.isupper():
            self.drop(list(reversed(range(len(self.groups)))))
        return self.may_append(word)

    def drop(self, order: list[int]) -> None:
        droppable = [index for index in order if self.groups[index][0].islower()]
        dropped = droppable[: len(self.groups) - self.capacity + 1]
        self.groups = [group for index, group in enumerate(self.groups) if index not in dropped]
        self.dropped += len(dropped)

    def may_append(self, word: Word) -> bool:
        """Drop the word itself if there is no room for it and it may go."""
        if len(self.groups) >= self.capacity and word.islower():
            self.dropped += 1
            return False
        return True

    def coalesce(self, word: Word) -> bool:
        for group in reversed(self.groups):
            if group[0].isupper() or word.isupper():
                break
            if group[0] == word:
                group.append(word)
                self.merged += 1
                return False
        kept: list[list[Word]] = []
        segment: dict[Word, list[Word]] = {}
        for group in self.groups:
            if group[0].isupper():
                segment = {}
            elif group[0] in segment:
                segment[group[0]] += group
                self.merged += 1
                continue
            else:
                segment[group[0]] = group
            kept.append(group)
        self.groups = kept
        return True


class FullChannel(RuleBasedStateMachine):
    """One producer and one reader that never wait."""

    overflow: Overflow

    @initialize(capacity=st.integers(1, 4))
    def open(self, capacity: int) -> None:
        def merge(groups: Sequence[list[Word]]) -> list[Word]:
            return [word for group in groups for word in group]

        self.model = Model(capacity, self.overflow)
        self.send, self.receive = open_channel(
            capacity, overflow=self.overflow, kind=lambda item: item[0] if item[0].islower() else None, merge=merge
        )
        self.sent = self.received = 0

    @rule(words=st.text("aaabbcA", min_size=1, max_size=6))
    def push(self, words: str) -> None:
        for word in words:
            if self.model.push(word):
                assert self.send.push([word]) is False
                self.sent += 1
            else:
                with pytest.raises(ChannelOverflow):
                    self.send.push([word])

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            if self.model.groups:
                assert self.receive.receive_nowait() == self.model.groups.pop(0)
                self.received += 1
            else:
                with pytest.raises(anyio.WouldBlock):
                    self.receive.receive_nowait()

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "model"):
            return
        model, statistics = self.model, self.send.statistics()
        assert statistics.buffered == len(model.groups)
        assert (statistics.sent, statistics.received) == (self.sent, self.received)
        assert (statistics.dropped, statistics.merged, statistics.overruns) == (model.dropped, model.merged, model.overruns)


class Coalescing(FullChannel):
    overflow = "coalesce"


class DroppingOldest(FullChannel):
    overflow = "drop_oldest"


class DroppingNewest(FullChannel):
    overflow = "drop_newest"


class Failing(FullChannel):
    overflow = "fail"


FAILURES = (AssertionError, pytest.fail.Exception)
"""How a model says no. `pytest.raises` does it in its own way."""


def check(machine: type[RuleBasedStateMachine], examples: int, derandomize: bool = False) -> None:
    """Run a machine."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [BlockingChannel, Coalescing, DroppingOldest, DroppingNewest, Failing])
def test_the_channel_does_what_the_model_says(machine: type[RuleBasedStateMachine]) -> None:
    """Whatever is done in whatever order."""
    check(machine, 2 * settings().max_examples)


# -- Faults that the models must notice -------------------------------------------------------------------------------


def no_wake_of_the_reader(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChannelState, "notify", lambda self, item: None)


def only_one_producer_is_woken(patch: pytest.MonkeyPatch) -> None:
    def release(self: ChannelState[Any]) -> None:
        if self.producers:
            self.producers.popleft().wake()

    patch.setattr(ChannelState, "release_producers", release)


def producers_are_woken_late(patch: pytest.MonkeyPatch) -> None:
    original = ChannelState.__init__

    def init(self: ChannelState[Any], *args: Any) -> None:
        original(self, *args)
        self.low -= 1

    patch.setattr(ChannelState, "__init__", init)


def nobody_waits_for_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory, "_is_above", lambda state: False)


def a_cancelled_wait_stays_registered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory, "withdraw", lambda waiters, waiter: True)


def a_cancelled_read_takes_an_item(patch: pytest.MonkeyPatch) -> None:
    original = ReceiveEnd._receive

    async def receive(self: ReceiveEnd[Any]) -> Any:
        try:
            return await original(self)
        except asyncio.CancelledError:
            self._take_first()
            raise

    patch.setattr(ReceiveEnd, "_receive", receive)


def closing_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChannelState, "_wake_all", lambda self: None)


def a_closed_channel_takes_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state, "_refuse", lambda by, item: None)


def a_reader_that_leaves_keeps_its_items(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policies.Policy, "clear", lambda self: [])


def the_end_comes_before_the_last_items(patch: pytest.MonkeyPatch) -> None:
    original = ReceiveEnd._take_first

    def take(self: ReceiveEnd[Any]) -> Any:
        if self._state.shut and len(self._state.buffer) == 1:
            self._state.buffer.clear()
        return original(self)

    patch.setattr(ReceiveEnd, "_take_first", take)


def the_newest_comes_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policies.Policy, "taker", lambda self: self.buffer.pop)


def what_must_arrive_is_dropped(patch: pytest.MonkeyPatch) -> None:
    original = policies.make_policy
    patch.setattr(memory, "make_policy", lambda overflow, capacity, kind, merge: original(overflow, capacity, str, merge))


def the_front_is_not_looked_at_again(patch: pytest.MonkeyPatch) -> None:
    def take(self: Any) -> Any:
        return self.buffer.popleft()

    patch.setattr(policies._DropOldest, "_take", take)


def groups_merge_across_what_must_arrive(patch: pytest.MonkeyPatch) -> None:
    class Sticky(dict[Any, Any]):
        def clear(self) -> None:
            pass

    original = policies._Coalesce.__init__

    def init(self: Any, *args: Any) -> None:
        original(self, *args)
        self._latest = Sticky()

    patch.setattr(policies._Coalesce, "__init__", init)


def items_merge_into_what_was_taken(patch: pytest.MonkeyPatch) -> None:
    def take(self: Any) -> Any:
        return self._merge(self.buffer.popleft().items)

    patch.setattr(policies._Coalesce, "_take", take)


FAULTS: list[tuple[type[RuleBasedStateMachine], Callable[[pytest.MonkeyPatch], None]]] = [
    (BlockingChannel, no_wake_of_the_reader),
    (BlockingChannel, only_one_producer_is_woken),
    (BlockingChannel, producers_are_woken_late),
    (BlockingChannel, nobody_waits_for_room),
    (BlockingChannel, a_cancelled_wait_stays_registered),
    (BlockingChannel, a_cancelled_read_takes_an_item),
    (BlockingChannel, closing_wakes_nobody),
    (BlockingChannel, a_closed_channel_takes_more),
    (BlockingChannel, a_reader_that_leaves_keeps_its_items),
    (BlockingChannel, the_end_comes_before_the_last_items),
    (BlockingChannel, the_newest_comes_first),
    (DroppingOldest, what_must_arrive_is_dropped),
    (DroppingOldest, the_front_is_not_looked_at_again),
    (Coalescing, groups_merge_across_what_must_arrive),
    (Coalescing, items_merge_into_what_was_taken),
]


@pytest.mark.parametrize(("machine", "fault"), FAULTS, ids=lambda value: value.__name__)
def test_the_model_notices(
    machine: type[RuleBasedStateMachine], fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these faults is found, by an assertion of the model.

    Measured over 8 seeds: within 10 to 320 examples, depending on the fault.
    """
    fault(monkeypatch)
    with pytest.raises(FAILURES):
        check(machine, 1000, derandomize=True)
