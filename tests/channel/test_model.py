"""The channel against models in plain lists, in any order of operations. `proof/mutants.py` asks whether they notice faults.

Conservation, order, the bound, and that nobody waits for nothing. The loop is driven by hand, a few ticks after each step, so
what a step leads to has happened before the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from trio_loop import TrioLoop

from callbridge.channel.memory import Overflow, open_channel
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
        self.loop = self.new_loop()
        self.send, self.receive = open_channel(capacity)
        self.sent: list[int] = []
        self.taken: list[int] = []
        self.senders: list[asyncio.Task[None]] = []
        self.reader: asyncio.Task[int] | None = None
        self.waits = 0
        self.unpaid = 0  # items sent by who did not wait for room
        self.discarded = 0
        self.closed_by = ""
        self.error: RunError | None = None

    def new_loop(self) -> Any:
        return asyncio.new_event_loop()

    def settle(self) -> None:
        self.run_all()
        self.senders = [task for task in self.senders if not task.done() or task.result()]
        if self.reader is not None and self.reader.done():
            self.note(self.reader.result)
            self.reader = None

    def run_all(self) -> None:
        """Let all tasks go on as far as they get."""

        async def ticks() -> None:
            for _ in range(TICKS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(ticks())

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
        self.note_sent(number, waits=False)
        self.unpaid += 1

    def note_sent(self, number: int, waits: bool) -> None:
        """Called when an item has been sent, before anybody can take it."""
        self.sent.append(number)
        self.waits += waits and len(self.sent) - len(self.taken) - self.discarded > self.capacity

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loop.create_task(coroutine)

    @rule(inside=st.booleans(), count=st.integers(1, 4))
    def push_some(self, inside: bool, count: int) -> None:
        for _ in range(count):
            self.inside(self.push) if inside else self.push()
        self.settle()

    @rule(is_last=st.booleans())
    def push_in_a_task(self, is_last: bool) -> None:
        """Push in a coroutine that is all that its task runs, or in one whose task goes on."""
        number = len(self.sent)

        async def step() -> bool:
            return self.send.push(number, sys._getframe())

        async def goes_on() -> bool:
            is_full = await step()
            await checkpoint()
            return is_full

        task = self.start(step() if is_last else goes_on())
        if self.closed_by:
            with pytest.raises(ChannelClosedError):
                self.loop.run_until_complete(task)
            return
        self.note_sent(number, waits=False)
        self.unpaid += 1
        self.settle()
        assert self.loop.run_until_complete(task) == (len(self.sent) - len(self.taken) - self.discarded > self.capacity)

    @rule(count=st.integers(1, 4))
    def send_some(self, count: int) -> None:
        for _ in range(count):
            number = len(self.sent)
            task = self.start(self.send.send(number))
            if self.closed_by:
                with pytest.raises(ChannelClosedError):
                    self.loop.run_until_complete(task)
                return
            self.note_sent(number, waits=True)
            self.senders.append(task)
            self.settle()

    @rule(ticks=st.integers(1, 3))
    def send_one_cancelled(self, ticks: int) -> None:
        if self.closed_by:
            return
        number = len(self.sent)
        task = self.start(self.send.send(number))
        self.note_sent(number, waits=True)
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
        assert statistics.waits == self.waits
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


class TrioChannel(BlockingChannel):
    """The same in trio, whose cancellation comes too late for a task that was woken before."""

    def new_loop(self) -> TrioLoop:
        return TrioLoop()

    def run_all(self) -> None:
        self.loop.settle()

    def inside(self, function: Callable[[], object]) -> None:
        self.loop.inside(function)

    @precondition(lambda self: self.reader is not None)
    @rule(push_first=st.booleans(), inside=st.booleans())
    def cancel_reader(self, push_first: bool, inside: bool) -> None:
        reader: Any = self.reader

        def cancel() -> None:
            if push_first:
                self.push()
            reader.cancel()

        self.inside(cancel) if inside else cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(reader)
        if reader.cancelled():
            self.reader = None
        else:
            assert push_first
        self.settle()

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()


Word = str
"""A letter and a number. A capital must arrive; other letters are kinds."""


class Rest(list[Word]):
    """What is left of a group that could not be merged; nothing joins it."""


class Model:
    """A full buffer, policy by policy, as simply as it can be said."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.groups: list[list[Word]] = []
        self.dropped = self.merged = self.overruns = self.peak = 0

    def push(self, word: Word) -> bool:
        """Return whether the word is accepted."""
        if len(self.groups) >= self.capacity and not getattr(self, self.overflow)(word):
            return self.overflow != "fail"
        self.overruns += len(self.groups) >= self.capacity
        self.groups.append([word])
        self.peak = max(self.peak, len(self.groups))
        return True

    def take(self) -> list[Word]:
        """Take what comes next; words of the kind "c" cannot be merged, so their groups are taken by halves."""
        group = self.groups.pop(0)
        while len(group) > 1 and group[0][0] == "c":
            half = len(group) // 2
            self.groups.insert(0, Rest(group[half:]))
            self.merged -= 1
            group = group[:half]
        return list(group)

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
            if group[0].isupper() or isinstance(group, Rest) or word.isupper():
                break
            if group[0][0] == word[0]:
                group.append(word)
                self.merged += 1
                return False
        kept: list[list[Word]] = []
        segment: dict[Word, list[Word]] = {}
        for group in self.groups:
            if group[0].isupper() or isinstance(group, Rest):
                segment = {}
            elif group[0][0] in segment:
                segment[group[0][0]] += group
                self.merged += 1
                continue
            else:
                segment[group[0][0]] = group
            kept.append(group)
        self.groups = kept
        return True


class FullChannel(RuleBasedStateMachine):
    """One producer and one reader that never wait."""

    overflow: Overflow

    @initialize(capacity=st.integers(1, 4))
    def open(self, capacity: int) -> None:
        def merge(groups: Sequence[list[Word]]) -> list[Word]:
            if groups[0][0][0] == "c":
                raise TypeError
            return [word for group in groups for word in group]

        self.model = Model(capacity, self.overflow)
        self.send, self.receive = open_channel(
            capacity, overflow=self.overflow, kind=lambda item: item[0][0] if item[0].islower() else None, merge=merge
        )
        self.sent = self.received = self.refused = 0

    @rule(letters=st.text("aaabbcA", min_size=1, max_size=6))
    def push(self, letters: str) -> None:
        for letter in letters:
            word = f"{letter}{self.sent + self.refused}"
            is_full, refused = False, False
            try:
                is_full = self.send.push([word])
            except ChannelOverflow:
                refused = True
            assert (is_full, refused) == (False, not self.model.push(word))
            self.sent += not refused
            self.refused += refused

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        for _ in range(count):
            taken = None
            with contextlib.suppress(anyio.WouldBlock):
                taken = self.receive.receive_nowait()
            assert taken == (self.model.take() if self.model.groups else None)
            self.received += taken is not None

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "model"):
            return
        model, statistics = self.model, self.send.statistics()
        assert statistics.buffered == len(model.groups)
        assert (statistics.sent, statistics.received) == (self.sent, self.received)
        assert (statistics.dropped, statistics.merged, statistics.overruns) == (model.dropped, model.merged, model.overruns)
        assert (statistics.peak, statistics.refused) == (max(model.peak, len(model.groups)), self.refused)


class Coalescing(FullChannel):
    overflow = "coalesce"


class DroppingOldest(FullChannel):
    overflow = "drop_oldest"


class DroppingNewest(FullChannel):
    overflow = "drop_newest"


class Failing(FullChannel):
    overflow = "fail"


def check(machine: type[RuleBasedStateMachine], examples: int) -> None:
    """Run a machine."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


MACHINES = {
    machine.__name__: machine for machine in (BlockingChannel, TrioChannel, Coalescing, DroppingOldest, DroppingNewest, Failing)
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_channel_does_what_the_model_says(machine: str) -> None:
    """Whatever is done in whatever order."""
    check(MACHINES[machine], 2 * settings().max_examples)
