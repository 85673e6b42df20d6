"""What becomes of items sent while the buffer is full, policy by policy."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest

from callbridge.channel.memory import Overflow, ReceiveEnd, SendEnd, open_channel
from callbridge.channel.policies import event_kind
from callbridge.errors import ArgumentError, ChannelOverflow

POLICIES: list[Overflow] = ["coalesce", "drop_oldest", "drop_newest", "fail"]

Ends = tuple[SendEnd[str], ReceiveEnd[str]]


def letter(item: str) -> Hashable | None:
    """Items are words: capitals must arrive, others are of the kind that their first letter names."""
    return None if item[0].isupper() else item[0]


def joined(items: Sequence[str]) -> str:
    """Merge words."""
    return "+".join(items)


def words(
    capacity: int, overflow: Overflow, sent: str, merge: Callable[[Sequence[str]], str] = joined
) -> tuple[list[str], SendEnd[str]]:
    """Send words into a channel that nobody reads, then read them all."""
    send, receive = open_channel(capacity, overflow=overflow, kind=letter, merge=merge)
    for word in sent.split():
        assert send.push(word) is False
    send.close()
    return list(receive), send


class TestKinds:
    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            ({"event": "on_chat_model_stream", "run_id": "1"}, ("on_chat_model_stream", "1")),
            ({"event": "on_chain_stream", "run_id": "2"}, ("on_chain_stream", "2")),
            ({"event": "on_chain_start", "run_id": "1"}, None),
            ({"event": "on_llm_end", "run_id": "1"}, None),
            ({"event": "on_tool_error", "run_id": "1"}, None),
            ({"event": "on_custom_event", "run_id": "1"}, None),
            ({"event": None}, None),
        ],
    )
    def test_of_events(self, event: dict[str, Any], expected: Hashable | None) -> None:
        """Chunks may go, by run; all other events must arrive."""
        assert event_kind(event) == expected

    def test_of_anything_else(self) -> None:
        """Items that are not events may be dropped, and share one kind."""
        kinds = {event_kind(item) for item in (1, "event", None, {"run_id": "1"}, ["event"])}
        assert len(kinds) == 1
        assert None not in kinds


class TestDropOldest:
    def test_keeps_the_newest(self) -> None:
        """A ring."""
        assert words(3, "drop_oldest", "a1 a2 a3 a4 a5")[0] == ["a3", "a4", "a5"]

    def test_spares_what_must_arrive(self) -> None:
        """The oldest that may go goes."""
        items, send = words(3, "drop_oldest", "A a1 B a2 a3")
        assert items == ["A", "B", "a3"]
        assert (send.statistics().dropped, send.statistics().overruns) == (2, 0)

    def test_drops_the_item_sent_if_all_others_must_arrive(self) -> None:
        """The oldest that may go can be the newest."""
        assert words(2, "drop_oldest", "A B a1 a2")[0] == ["A", "B"]

    def test_is_in_order_when_the_reader_takes_some(self) -> None:
        """What is known of the front moves with it."""
        send, receive = open_channel(3, overflow="drop_oldest", kind=letter)
        for word in ["A", "B", "a1", "a2"]:
            send.push(word)
        assert [receive.receive_nowait()] == ["A"]
        for word in ["a3", "a4", "C"]:
            send.push(word)
        assert [receive.receive_nowait() for _ in range(3)] == ["B", "a4", "C"]


class TestDropNewest:
    def test_keeps_the_oldest(self) -> None:
        """What comes too late is dropped."""
        assert words(3, "drop_newest", "a1 a2 a3 a4 a5")[0] == ["a1", "a2", "a3"]

    def test_makes_room_for_what_must_arrive(self) -> None:
        """The newest that may go goes."""
        items, send = words(3, "drop_newest", "a1 a2 A B a3")
        assert items == ["a1", "A", "B"]
        assert (send.statistics().dropped, send.statistics().overruns) == (2, 0)

    def test_is_in_order_when_the_reader_takes_some(self) -> None:
        """What is known of the back stays with it."""
        send, receive = open_channel(3, overflow="drop_newest", kind=letter)
        for word in ["a1", "a2", "a3", "A", "B"]:
            send.push(word)
        assert [receive.receive_nowait(), receive.receive_nowait()] == ["a1", "A"]
        for word in ["a4", "a5", "C", "a6", "D"]:
            send.push(word)
        assert [receive.receive_nowait() for _ in range(3)] == ["B", "C", "D"]


class TestFail:
    def test_refuses_what_does_not_fit(self) -> None:
        """The error says what the channel may hold; the item is not delivered, the next one may be."""
        send, receive = open_channel(2, overflow="fail")
        send.push(0)
        send.push(1)
        for _ in range(2):
            with pytest.raises(ChannelOverflow) as caught:
                send.push(2)
            assert caught.value.capacity == 2
        assert receive.receive_nowait() == 0
        send.push(3)
        send.close()
        assert list(receive) == [1, 3]
        assert send.statistics().sent == 3

    def test_accepts_what_must_arrive(self) -> None:
        """An error raised in a callback is swallowed by LangChain: refusing would be losing."""
        items, send = words(2, "fail", "a1 a2 A B")
        assert items == ["a1", "a2", "A", "B"]
        assert send.statistics().overruns == 2


class TestCoalesce:
    def test_needs_to_know_how(self) -> None:
        """It does not guess."""
        with pytest.raises(ArgumentError) as caught:
            open_channel(2, overflow="coalesce")
        assert caught.value.name == "merge"

    def test_merges_only_while_the_buffer_is_full(self) -> None:
        """A reader that keeps up gets every item as it was sent."""
        send, receive = open_channel(2, overflow="coalesce", kind=letter, merge=joined)
        for number in range(6):
            send.push(f"a{number}")
            assert receive.receive_nowait() == f"a{number}"
        assert send.statistics().merged == 0

    def test_merges_the_newest_of_a_kind(self) -> None:
        """In order, nothing lost."""
        items, send = words(3, "coalesce", "a1 a2 a3 a4 a5")
        assert items == ["a1", "a2", "a3+a4+a5"]
        statistics = send.statistics()
        assert (statistics.sent, statistics.received, statistics.merged, statistics.dropped) == (5, 3, 2, 0)

    def test_merges_once_for_all(self) -> None:
        """Lazily, when the group is taken: merging pair by pair costs ten times as much."""
        calls: list[list[str]] = []

        def merge(items: Sequence[str]) -> str:
            calls.append(list(items))
            return joined(items)

        words(1, "coalesce", "a1 a2 a3 a4", merge)
        assert calls == [["a1", "a2", "a3", "a4"]]

    def test_merges_within_runs_that_alternate(self) -> None:
        """A chain repeats each chunk of its model, so neighbours are hardly ever of one run."""
        items, send = words(2, "coalesce", "a1 b1 a2 b2 a3 b3")
        assert items == ["a1+a2+a3", "b1+b2+b3"]
        assert send.statistics().overruns == 0

    def test_never_merges_across_what_must_arrive(self) -> None:
        """Chunks stay between their start and their end."""
        items, send = words(4, "coalesce", "a1 a2 A a3 a4 B a5 a6")
        assert items == ["a1+a2", "A", "a3+a4", "B", "a5+a6"]
        assert send.statistics().overruns == 1

    def test_makes_room_where_it_can(self) -> None:
        """Items that came while there was room are merged when there is none left."""
        items, send = words(4, "coalesce", "a1 a2 a3 b1 A B")
        assert items == ["a1+a2+a3", "b1", "A", "B"]
        assert (send.statistics().peak, send.statistics().overruns) == (4, 0)

    def test_never_merges_with_what_was_taken(self) -> None:
        """A group that the reader has is closed."""
        send, receive = open_channel(1, overflow="coalesce", kind=letter, merge=joined)
        send.push("a1")
        send.push("a2")
        assert receive.receive_nowait() == "a1+a2"
        send.push("a3")
        assert receive.receive_nowait() == "a3"

    def test_is_bounded_in_groups_whatever_is_sent(self) -> None:
        """A million chunks of three runs are three items."""
        send, receive = open_channel(3, overflow="coalesce", kind=letter, merge=lambda items: f"{items[0]}*{len(items)}")
        for _ in range(10_000):
            for word in ("a", "b", "c"):
                send.push(word)
        assert send.statistics().peak == 3
        send.close()
        assert list(receive) == ["a*10000", "b*10000", "c*10000"]

    def test_delivers_one_by_one_what_cannot_be_merged(self) -> None:
        """A merge that raises TypeError loses nothing, not even the order."""
        send, receive = open_channel(
            2, overflow="coalesce", kind=lambda _: "any", merge=functools.partial(functools.reduce, operator.add)
        )
        for item in (1, "two", 3, [4]):
            send.push(item)
        send.close()
        assert list(receive) == [1, "two", 3, [4]]
        statistics = send.statistics()
        assert (statistics.sent, statistics.received, statistics.merged) == (4, 4, 0)

    @pytest.mark.parametrize("error", [IndexError(), StopIteration(), ValueError()])
    def test_does_not_hide_a_merge_that_is_broken(self, error: Exception) -> None:
        """Whatever it raises comes out where the item would, and is not taken for an empty buffer."""

        def merge(_: Sequence[int]) -> int:
            raise error

        send, receive = open_channel(1, overflow="coalesce", merge=merge)
        send.push(1)
        send.push(2)
        with pytest.raises((ValueError, RuntimeError)) as caught:
            receive.receive_nowait()
        assert error in (caught.value, caught.value.__cause__)


class TestAllPolicies:
    @pytest.mark.parametrize("overflow", POLICIES)
    def test_never_drop_what_must_arrive(self, overflow: Overflow) -> None:
        """Where nothing else is buffered the bound yields, and that is counted."""
        items, send = words(2, overflow, "A B C D")
        assert items == ["A", "B", "C", "D"]
        statistics = send.statistics()
        assert (statistics.overruns, statistics.dropped, statistics.merged, statistics.peak) == (2, 0, 0, 4)

    @pytest.mark.parametrize("overflow", POLICIES)
    def test_shrink_back_to_the_bound(self, overflow: Overflow) -> None:
        """An overrun is an exception, not a new bound."""
        send, receive = open_channel(2, overflow=overflow, kind=letter, merge=joined)
        for word in ["A", "B", "C"]:
            send.push(word)
        for _ in range(3):
            receive.receive_nowait()
        for word in ["a1", "a2"]:
            send.push(word)
        try:
            send.push("a3")
        except ChannelOverflow:
            assert overflow == "fail"
        assert send.statistics().buffered == 2

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    @pytest.mark.parametrize("overflow", POLICIES)
    async def test_never_wait(self, overflow: Overflow) -> None:
        """Neither when asked for room nor above the bound."""
        send, receive = open_channel(1, overflow=overflow, kind=letter, merge=joined)
        receive.attach()
        for word in "ABC":
            await send.send(word)
            send.send_sync(word)
            await send.room()
        assert send.statistics().waits == 0
        send.close()
        assert [word async for word in receive] == list("AABBCC")

    @pytest.mark.parametrize("overflow", POLICIES)
    def test_wake_a_waiting_reader(self, overflow: Overflow) -> None:
        """As without a policy."""

        async def main() -> None:
            send, receive = open_channel(2, overflow=overflow, kind=letter, merge=joined)
            taken: list[str] = []

            async def read() -> None:
                taken.extend([word async for word in receive])

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                for word in "abc":
                    await anyio.wait_all_tasks_blocked()
                    send.push(word)
                send.close()
            assert taken == ["a", "b", "c"]

        anyio.run(main)

    @pytest.mark.parametrize("overflow", POLICIES)
    def test_forget_what_a_reader_leaves_behind(self, overflow: Overflow) -> None:
        """The buffer, and whatever the policy knows of it."""
        send, receive = open_channel(2, overflow=overflow, kind=letter, merge=joined)
        send.push("a1")
        send.push("B")
        assert receive.receive_nowait() == "a1"
        receive.close()
        statistics = send.statistics()
        assert (statistics.buffered, statistics.discarded, statistics.sent) == (0, 1, 2)

    @pytest.mark.parametrize("overflow", POLICIES)
    def test_keep_their_counts_between_threads(self, overflow: Overflow) -> None:
        """Each item that was sent is received, dropped, merged or left, whichever thread interrupts the other."""
        send, receive = open_channel(4, overflow=overflow, kind=letter, merge=joined)
        accepted = [0, 0, 0]

        def produce(index: int) -> None:
            for number in range(400):
                try:
                    send.push(("ABC" if number % 7 == 0 else "abc")[index])
                    accepted[index] += 1
                except ChannelOverflow:
                    pass

        threads = [threading.Thread(target=produce, args=(index,)) for index in range(3)]
        for thread in threads:
            thread.start()
        taken: list[str] = []
        while any(thread.is_alive() for thread in threads):
            with suppress(anyio.WouldBlock):
                taken.append(receive.receive_nowait())
        send.close()
        taken += receive
        statistics = send.statistics()
        assert statistics.sent == sum(accepted)
        assert statistics.received == len(taken)
        assert statistics.sent == statistics.received + statistics.dropped + statistics.merged
        kept = [word for word in taken if word.isupper()]
        assert sorted(kept) == sorted("ABC" * 58)
