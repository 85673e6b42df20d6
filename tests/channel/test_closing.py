"""Closing either end, dropping one, and what finalizers may do."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from traffic import drain, expect_end, fill, send_all, send_all_sync, thread

from callbridge.channel.memory import ReceiveEnd, open_channel
from callbridge.errors import (
    ChannelClosedError,
)

pytestmark = pytest.mark.anyio


class TestNobodyWaitsAnyMore:
    async def test_who_waits_for_room_goes_on_and_nobody_waits_again(self) -> None:
        """Tasks and threads alike; everything arrives, in order, and the reader goes on as before."""
        send, receive = open_channel(1)
        receive.attach()
        async with anyio.create_task_group() as group:
            group.start_soon(send_all, send, 3, False)
            with thread(lambda: send_all_sync(send, 3, False)):
                while send.statistics().waiting_producers < 2:
                    await anyio.lowlevel.checkpoint()
                send.never_wait()
        assert send.statistics().waiting_producers == 0
        send.close()
        assert sorted([item async for item in receive]) == [0, 0, 1, 1, 2, 2]


class TestSenderCloses:
    @pytest.mark.parametrize("leaves_first", [False, True])
    async def test_it_has_finished_if_nobody_left_before(self, leaves_first: bool) -> None:
        """A reader that leaves afterwards changes nothing."""
        send, receive = open_channel(4)
        assert not send.finished
        for end in (receive, send) if leaves_first else (send, receive):
            end.close()
            assert send.finished != leaves_first

    async def test_a_parked_reader_is_told_the_end(self) -> None:
        """Closing wakes it."""
        send, receive = open_channel(4)
        async with anyio.create_task_group() as group:
            group.start_soon(expect_end, receive)
            await anyio.wait_all_tasks_blocked()
            assert receive.statistics().waiting_reader
            send.close()
        assert receive.ended

    @pytest.mark.thorough
    async def test_an_item_and_the_end_in_one_turn_both_arrive(self) -> None:
        """Ten thousand times, to a reader that waits."""

        async def read(receive: ReceiveEnd[int], taken: list[int]) -> None:
            taken += [item async for item in receive]

        for number in range(10_000):
            send, receive = open_channel(1)
            taken: list[int] = []
            async with anyio.create_task_group() as group:
                group.start_soon(read, receive, taken)
                await anyio.lowlevel.checkpoint()
                send.push(number)
                send.close()
            assert taken == [number]

    async def test_parked_producers_go_on(self) -> None:
        """Nobody may be waiting for a channel that is closed; what they sent is delivered."""
        send, receive = open_channel(1)
        async with anyio.create_task_group() as group:
            group.start_soon(send_all, send, 2, False)
            await anyio.wait_all_tasks_blocked()
            send.close()
        assert drain(receive) == [0, 1]

    @pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), asyncio.CancelledError()])
    async def test_with_an_error_which_comes_after_everything_buffered(self, error: BaseException) -> None:
        """It is this very object, with its traceback, raised once and followed by the end."""
        try:
            raise error
        except BaseException as caught:
            origin = traceback.extract_tb(caught.__traceback__)[-1]
        send, receive = open_channel(4)
        fill(send, 3)
        send.close(error)
        assert [await receive.receive() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(type(error)) as raised:
            await receive.__anext__()
        assert raised.value is error
        assert origin in traceback.extract_tb(error.__traceback__)
        with pytest.raises(anyio.EndOfStream):
            await receive.receive()
        assert list(receive) == []

    @pytest.mark.parametrize("read", ["receive_sync", "__next__", "receive_nowait"])
    def test_with_an_error_that_sync_code_reads(self, read: str) -> None:
        """The same for every way of reading."""
        send, receive = open_channel(4)
        error = LookupError()
        send.close(error)
        with pytest.raises(LookupError) as raised:
            getattr(receive, read)()
        assert raised.value is error

    async def test_with_an_error_that_would_end_a_loop_in_silence(self) -> None:
        """As a generator does it: what a loop takes for its end comes as the cause of a RuntimeError."""
        for error in (StopIteration(1), StopAsyncIteration()):
            send, receive = open_channel(4)
            send.close(error)
            with pytest.raises(RuntimeError) as raised:
                await receive.__anext__()
            assert raised.value.__cause__ is error
        send, receive = open_channel(4)
        send.close(error := StopIteration(1))
        with pytest.raises(RuntimeError) as raised:
            next(receive)
        assert raised.value.__cause__ is error

    async def test_the_first_close_counts(self) -> None:
        """Closing again changes nothing."""
        send, receive = open_channel(4)
        error = LookupError()
        send.close(error)
        send.close()
        send.close(KeyError())
        with pytest.raises(LookupError) as raised:
            await receive.receive()
        assert raised.value is error

    async def test_nothing_can_be_sent_any_more(self) -> None:
        """The error says which end closed the channel, and the item does not arrive."""
        send, receive = open_channel(4)
        fill(send, 1)
        assert not send.closed
        send.close()
        assert send.closed
        for _ in range(2):
            with pytest.raises(ChannelClosedError) as caught:
                send.push(1)
            assert caught.value.by == "sender"
        with pytest.raises(ChannelClosedError):
            await send.send(1)
        with pytest.raises(ChannelClosedError):
            send.send_sync(1)
        assert [item async for item in receive] == [0]

    def test_a_push_that_began_before_and_is_late_is_delivered_or_refused(self) -> None:
        """Before the reader has seen the end it is delivered; afterwards it raises."""
        send, receive = open_channel(4)
        append = send._state.append
        send.close()
        send._state.append = append  # a push that has read it just before
        send.push("late")
        assert list(receive) == ["late"]
        with pytest.raises(ChannelClosedError):
            send.push("too late")
        assert list(receive) == []
        assert send.statistics().sent == 1

    def test_a_push_whose_item_was_taken_just_before_the_end_is_delivered(self) -> None:
        """It comes to look after the reader has been told the end; raising now would be a lie."""
        send, receive = open_channel(4)
        append = send._state.append

        def append_then_lose_the_race(item: object) -> None:
            append(item)
            send.close()
            assert list(receive) == [item]

        send._state.append = append_then_lose_the_race
        send.push("just in time")
        assert receive.ended
        assert send.statistics().received == 1

    def test_the_error_is_not_kept(self) -> None:
        """Its traceback holds the frames of the run."""

        class RunError(Exception):
            pass

        send, receive = open_channel(4)
        error = RunError()
        gone = weakref.ref(error)
        send.close(error)
        with pytest.raises(RunError):
            next(receive)
        del error
        gc.collect()
        assert gone() is None


class TestReaderCloses:
    @pytest.mark.parametrize("way", ["close", "aclose", "del"])
    async def test_parked_producers_go_on_and_hear_of_it(self, way: str) -> None:
        """Closing or dropping the end wakes them; what they send next is refused."""
        send, receive = open_channel(1)

        async def produce() -> None:
            with pytest.raises(ChannelClosedError) as caught:
                await send_all(send, 10)
            errors.append(caught.value)

        errors: list[ChannelClosedError] = []
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(produce)
            await anyio.wait_all_tasks_blocked()
            if way == "close":
                receive.close()
            elif way == "aclose":
                await receive.aclose()
            del receive
        assert [error.by for error in errors] == ["receiver"] * 2
        assert send.reader_left
        assert send.closed
        statistics = send.statistics()
        assert (statistics.buffered, statistics.waiting_producers) == (0, 0)
        assert statistics.discarded == statistics.sent == 3

    def test_a_parked_thread_goes_on(self, parked: threading.Semaphore) -> None:
        """Blocked threads are woken as well; they would hold up the interpreter's exit."""
        send, receive = open_channel(1)

        def produce() -> None:
            with pytest.raises(ChannelClosedError):
                send_all_sync(send, 10)

        with thread(produce):
            parked.acquire()
            receive.close()

    async def test_a_parked_reader_is_told_the_end(self) -> None:
        """Another task may close the end that a task reads."""
        send, receive = open_channel(1)
        async with anyio.create_task_group() as group:
            group.start_soon(expect_end, receive)
            await anyio.wait_all_tasks_blocked()
            receive.close()
        assert receive.ended
        with pytest.raises(ChannelClosedError):
            send.push(0)

    def test_a_reading_thread_is_told_the_end(self, parked: threading.Semaphore) -> None:
        """The same for `for`."""
        _send, receive = open_channel(1)
        with thread(list, receive):
            parked.acquire()
            receive.close()

    async def test_what_is_buffered_is_discarded(self) -> None:
        """The reader wants no more, in the middle of a batch too; the sender's error goes with it."""
        send, receive = open_channel(100)
        fill(send, 50)
        assert [await receive.receive(), await receive.receive(), await receive.receive()] == [0, 1, 2]
        send.close(ValueError())
        receive.close()
        assert [item async for item in receive] == []
        assert list(receive) == []
        statistics = receive.statistics()
        assert (statistics.sent, statistics.received, statistics.discarded) == (50, 3, 47)

    async def test_closing_again_is_fine(self) -> None:
        """Idempotent, whatever came first."""
        send, receive = open_channel(1)
        receive.close()
        receive.close()
        send.close(ValueError())
        with pytest.raises(anyio.EndOfStream):
            await receive.receive()
        with pytest.raises(ChannelClosedError) as caught:
            send.push(0)
        assert caught.value.by == "receiver"

    def test_a_push_that_began_before_and_is_late_is_refused(self) -> None:
        """Nobody will read it, and nothing stays in the buffer."""
        send, receive = open_channel(4)
        append = send._state.append
        receive.close()
        send._state.append = append  # a push that has read it just before
        with pytest.raises(ChannelClosedError):
            send.push("late")
        assert send.statistics().buffered == 0

    def test_items_are_let_go(self) -> None:
        """What nobody reads does not stay in memory."""

        class Item:
            pass

        send, receive = open_channel(4)
        item = Item()
        gone = weakref.ref(item)
        send.push(item)
        del item
        receive.close()
        assert gone() is None

    def test_a_dropped_end_dies_at_once(self) -> None:
        """No reference cycle holds it, so a loop that was left is over at once."""
        send, receive = open_channel(4)
        receive.attach()
        fill(send, 3)
        assert next(receive) == 0
        gone = weakref.ref(receive)
        gc.disable()
        try:
            del receive
            assert gone() is None
        finally:
            gc.enable()
        assert send.reader_left


class TestReentrance:
    """The garbage collector fires callbacks late, in any thread, in the middle of anything."""

    def test_a_finalizer_may_push_while_its_thread_pushes(self) -> None:
        """The item that pushes an older one out pushes another one in when it dies."""

        class Dying:
            def __del__(self) -> None:
                send.push("last words")

        send, receive = open_channel(2, overflow="drop_oldest")
        send.push(Dying())
        fill(send, 3)
        items = drain(receive)
        assert len(items) == 2
        assert send.statistics().dropped + len(items) == send.statistics().sent == 5

    def test_a_finalizer_may_close_either_end(self) -> None:
        """Closing discards items, and their finalizers close what is being closed."""

        class Dying:
            def __del__(self) -> None:
                send.close()
                receive.close()
                with pytest.raises(ChannelClosedError):
                    send.push("last words")
                told.append(send.reader_left)

        told: list[bool] = []
        send, receive = open_channel(2)
        send.push(Dying())
        receive.close()
        assert told == [True]
