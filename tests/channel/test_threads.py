"""Producers and readers in any two threads and loops, and which of them may wait."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from traffic import drain, each_library, fill, run_trio, send_all, send_all_sync, thread

from callbridge.channel import memory
from callbridge.channel.memory import SendEnd, open_channel
from callbridge.channel.waiters import Place

pytestmark = pytest.mark.anyio


class TestWhoMayWait:
    """Back-pressure yields where waiting would be waiting for oneself."""

    def overruns(self, send: SendEnd[Any]) -> int:
        statistics = send.statistics()
        assert statistics.waiting_producers == 0
        return statistics.overruns

    async def test_the_readers_own_task_does_not(self) -> None:
        """A reader that sends into its own channel never waits; all of it arrives."""
        send, receive = open_channel(2)
        receive.attach()
        await send_all(send, 20)
        assert self.overruns(send) == 18
        assert [item async for item in receive] == list(range(20))

    async def test_a_reader_that_sends_between_its_items_does_not(self) -> None:
        """Reading alone makes a task the reader, without `attach`."""
        send, receive = open_channel(1)
        fill(send, 1)
        echoed = 0
        async for item in receive:
            for _ in range(2):
                if echoed < 20:
                    echoed += 1
                    await send.send(item)
            if echoed == 20:
                send.close()
        assert self.overruns(send) > 0

    async def test_a_task_that_handed_reading_over_does(self) -> None:
        """The reader is the task that reads now, not the one that began."""
        send, receive = open_channel(1)
        fill(send, 1)
        assert await receive.receive() == 0
        items: list[int] = []

        async def read() -> None:
            items.extend([item async for item in receive])

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await send_all(send, 20)
        assert items == list(range(20))
        assert self.overruns(send) == 0

    async def test_sync_code_of_a_loop_does_not(self) -> None:
        """It would block the loop: its own reader's, or another one's."""
        send, receive = open_channel(2)
        receive.attach()
        send_all_sync(send, 20)
        assert self.overruns(send) == 18
        assert [item async for item in receive] == list(range(20))

    @each_library
    def test_sync_code_of_another_loop_does_not(self, run: Callable[[Any], Any]) -> None:
        """The reader is in a thread of its own, the producer's loop has other tasks."""
        send, receive = open_channel(2)
        receive.attach()

        async def main() -> None:
            send_all_sync(send, 20)

        with thread(run, main()):
            pass
        assert self.overruns(send) == 18
        assert list(receive) == list(range(20))

    def test_sync_code_in_the_thread_of_a_sync_reader_does_not(self) -> None:
        """The reader is further down on the same stack."""
        send, receive = open_channel(2)
        receive.attach()
        send_all_sync(send, 20)
        assert self.overruns(send) == 18
        assert list(receive) == list(range(20))

    @each_library
    def test_a_coroutine_in_the_thread_of_a_sync_reader_does_not(self, run: Callable[[Any], Any]) -> None:
        """The body of a `for` may run a whole loop."""
        send, receive = open_channel(2)
        fill(send, 1, begin=-1)
        for item in receive:
            if item == -1:
                run(send_all(send, 20))
        assert self.overruns(send) == 18

    def test_nobody_waits_for_a_reader_in_a_loop_that_is_closed(self) -> None:
        """It cannot come back; another one may still come."""
        send, receive = open_channel(2)

        async def begin() -> None:
            receive.attach()

        asyncio.run(begin())
        with thread(send_all_sync, send, 10, False):
            pass
        with thread(asyncio.run, send_all(send, 10)):
            pass
        assert self.overruns(send) == 8 + 10
        assert list(receive) == [*range(10), *range(10)]

    def test_sync_code_of_an_impatient_channel_does_not_wait_for_a_reader_that_has_not_begun(self) -> None:
        """It may be what keeps the reader from beginning: a sync run, then a loop over its events."""
        send, receive = open_channel(2, patient=False)
        assert not receive.attached
        with thread(send_all_sync, send, 10):
            pass
        assert self.overruns(send) == 8
        assert list(receive) == list(range(10))
        assert receive.attached

    def test_sync_code_of_a_patient_channel_does(self, parked: threading.Semaphore) -> None:
        """The code that opens the channel may know that a reader will come."""
        send, receive = open_channel(2)
        with thread(send_all_sync, send, 10):
            parked.acquire()
            assert send.statistics().buffered == 3
            assert list(receive) == list(range(10))
        assert self.overruns(send) == 0

    def test_a_pool_thread_waits_a_while_for_a_reader_that_is_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reader that will come may need the pool to get there."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)
        send, receive = open_channel(2)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            pool.submit(send_all_sync, send, 10).result()
        assert self.overruns(send) == 8
        assert list(receive) == list(range(10))

    async def test_a_plain_thread_does_as_long_as_it_takes(self, parked: threading.Semaphore) -> None:
        """Nothing that the reader needs is blocked."""
        send, receive = open_channel(2)
        receive.attach()
        with thread(send_all_sync, send, 10):
            await anyio.to_thread.run_sync(parked.acquire)
            assert send.statistics().buffered == 3
            assert [item async for item in receive] == list(range(10))
        assert self.overruns(send) == 0

    async def test_a_thread_of_the_loops_pool_does_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reader may be waiting for that very pool; then the bound yields."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)
        send, receive = open_channel(2)
        receive.attach()
        await anyio.to_thread.run_sync(send_all_sync, send, 10)
        assert self.overruns(send) == 8
        assert [item async for item in receive] == list(range(10))

    async def test_a_thread_of_the_loops_pool_waits_for_a_reader_that_reads(self) -> None:
        """The limit matters to nobody else."""
        send, receive = open_channel(2)
        receive.attach()
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, send_all_sync, send, 200)
            assert [item async for item in receive] == list(range(200))
        assert send.statistics().peak <= 3

    def test_six_blocked_threads_of_the_pool_do_not_stop_a_reader_that_needs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A deadlock otherwise: the reader waits for a job that waits for a thread that waits for the reader."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)

        async def main() -> int:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(6))
            send, receive = open_channel(2)
            receive.attach()
            jobs = [loop.run_in_executor(None, send_all_sync, send, 10, False) for _ in range(6)]
            taken = 0
            while taken < 60:
                await receive.receive()
                taken += 1
                await loop.run_in_executor(None, int)
            await asyncio.gather(*jobs)
            return taken

        assert asyncio.run(main()) == 60

    @pytest.mark.parametrize("is_default", [True, False])
    def test_a_reader_that_needs_the_producers_thread_gets_it_after_one_wait(
        self, is_default: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pool of the application's own counts, too, and patience runs out once, not for each item."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.2)
        send, receive = open_channel(2)

        async def main(pool: ThreadPoolExecutor) -> None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(pool, int)  # a pool notes its worker only after the worker has begun its first job
            if is_default:
                loop.set_default_executor(pool)
            receive.attach()
            job = loop.run_in_executor(pool, send_all_sync, send, 300)
            assert await receive.receive() == 0
            await loop.run_in_executor(pool, int)
            assert [item async for item in receive] == list(range(1, 300))
            await job

        with ThreadPoolExecutor(1) as pool:
            asyncio.run(main(pool))
        assert send.statistics().waits < 20
        assert self.overruns(send) > 200

    def test_a_worker_waits_again_when_the_reader_has_taken_something(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or when no job waits for it: a reader that is only slow keeps its bound."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)
        monkeypatch.setattr(memory, "may_be_waited_for", lambda: wanted[-1])
        send, receive = open_channel(2)
        wanted = [True]
        waits: list[int] = []

        def produce() -> None:
            fill(send, 3)
            for _ in range(2):
                send.room_sync()
                waits.append(send.statistics().waits)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            for is_wanted in (True, True, False):
                wanted.append(is_wanted)
                pool.submit(produce).result()
                receive.receive_nowait()
        assert waits == [1, 1, 2, 2, 3, 4]

    async def test_a_thread_that_the_blocked_loop_waits_for_does_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sync code that runs its branches in threads, called in the reader's loop: a deadlock otherwise."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)
        monkeypatch.setattr(memory, "LOOP_PATIENCE", 0.001)
        send, receive = open_channel(2)
        receive.attach()
        with thread(send_all_sync, send, 10, False):
            pass  # the loop is blocked until the thread has ended
        statistics = send.statistics()
        assert (statistics.overruns, statistics.waits) == (8, 1)  # found out once
        assert [await receive.receive() for _ in range(10)] == list(range(10))

    async def test_threads_wait_again_for_a_loop_that_was_blocked(
        self, monkeypatch: pytest.MonkeyPatch, parked: threading.Semaphore
    ) -> None:
        """As soon as it has run again."""
        send, receive = open_channel(2)
        receive.attach()
        with monkeypatch.context() as patch:
            patch.setattr(memory, "POOL_PATIENCE", 0.001)
            patch.setattr(memory, "LOOP_PATIENCE", 0.001)
            with thread(send_all_sync, send, 4, False):
                pass
        assert [await receive.receive() for _ in range(4)] == list(range(4))
        reader = receive._state.reader
        while reader is None or reader.is_stuck:
            await anyio.lowlevel.checkpoint()
        parked.acquire()
        with thread(send_all_sync, send, 10):
            await anyio.to_thread.run_sync(parked.acquire)
            assert send.statistics().buffered == 3
            assert [item async for item in receive] == list(range(10))
        assert self.overruns(send) == 2

    async def test_a_thread_waits_for_a_loop_that_runs_as_long_as_it_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It asks again and again, and the loop answers."""
        monkeypatch.setattr(memory, "POOL_PATIENCE", 0.001)
        asked: list[bool] = []
        original = Place.gets_on

        def gets_on(self: Place, patience: float) -> bool:
            asked.append(original(self, 30))
            return asked[-1]

        monkeypatch.setattr(Place, "gets_on", gets_on)
        monkeypatch.setattr(memory, "LOOP_PATIENCE", 0.001)
        send, receive = open_channel(2)
        receive.attach()
        with thread(send_all_sync, send, 10):
            while len(asked) < 3:
                await anyio.lowlevel.checkpoint()
            assert [item async for item in receive] == list(range(10))
        assert self.overruns(send) == 0

    @each_library
    async def test_a_coroutine_in_another_loop_that_the_blocked_loop_waits_for_does_for_a_while(
        self, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sync code over async code, called in the reader's loop: a deadlock otherwise."""
        monkeypatch.setattr(memory, "LOOP_PATIENCE", 0.001)
        send, receive = open_channel(2)
        receive.attach()
        with thread(run, send_all(send, 10, False)):
            pass  # the loop is blocked until the other one has ended
        statistics = send.statistics()
        assert (statistics.overruns, statistics.waits) == (8, 1)  # found out once
        assert [await receive.receive() for _ in range(10)] == list(range(10))

    @each_library
    async def test_coroutines_wait_again_for_a_loop_that_was_blocked(
        self, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As soon as it has run again."""
        send, receive = open_channel(2)
        receive.attach()
        with monkeypatch.context() as patch:
            patch.setattr(memory, "LOOP_PATIENCE", 0.001)
            with thread(run, send_all(send, 4, False)):
                pass
        assert [await receive.receive() for _ in range(4)] == list(range(4))
        reader = receive._state.reader
        while reader is None or reader.is_stuck:
            await anyio.lowlevel.checkpoint()
        with thread(run, send_all(send, 10)):
            while not send.statistics().waiting_producers:
                await anyio.lowlevel.checkpoint()
            assert [item async for item in receive] == list(range(10))
        assert self.overruns(send) == 2

    @each_library
    async def test_a_coroutine_waits_for_another_loop_that_runs_as_long_as_it_takes(
        self, run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It asks again and again, and the loop answers."""
        asked: list[bool] = []

        def has_answered(_: Place, answer: threading.Event) -> bool:
            asked.append(answer.wait(30))
            return asked[-1]

        monkeypatch.setattr(Place, "has_answered", has_answered)
        monkeypatch.setattr(memory, "LOOP_PATIENCE", 0.001)
        send, receive = open_channel(2)
        receive.attach()
        with thread(run, send_all(send, 10)):
            while len(asked) < 3:
                await anyio.lowlevel.checkpoint()
            assert send.statistics().buffered == 3
            assert [item async for item in receive] == list(range(10))
        assert asked == [True] * len(asked)
        assert self.overruns(send) == 0

    @each_library
    async def test_a_coroutine_that_waits_for_another_loop_can_be_cancelled(self, run: Callable[[Any], Any]) -> None:
        """It waits no longer, and what it sent is delivered."""
        send, receive = open_channel(2)
        receive.attach()

        async def cancelled() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(send_all, send, 10)
                while not send.statistics().waiting_producers:
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            send.close()

        with thread(run, cancelled()):
            await anyio.to_thread.run_sync(lambda: None)
        assert self.overruns(send) == 0
        assert [item async for item in receive] == [0, 1, 2]

    async def test_a_coroutine_does_not_wait_for_a_loop_that_ends_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked, and cannot be."""
        monkeypatch.setattr(memory, "LOOP_PATIENCE", 0.001)
        send, receive = open_channel(2)
        attached = threading.Event()

        async def attach() -> None:
            receive.attach()
            attached.set()
            while not ((now := send.statistics()).waiting_producers or now.overruns):  # a busy machine may miss the wait
                await anyio.lowlevel.checkpoint()

        with thread(run_trio, attach()):
            await anyio.to_thread.run_sync(attached.wait)
            await send_all(send, 10)
        assert self.overruns(send) > 0
        assert list(receive) == list(range(10))

    def test_a_pool_thread_waits_for_a_sync_reader_as_long_as_it_takes(self, parked: threading.Semaphore) -> None:
        """No loop needs it."""
        send, receive = open_channel(2)
        receive.attach()
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(send_all_sync, send, 10)
            parked.acquire()
            assert send.statistics().buffered == 3
            assert list(receive) == list(range(10))
            job.result()
        assert self.overruns(send) == 0


class TestAcrossThreads:
    @each_library
    @pytest.mark.parametrize("capacity", [1, 5, 100])
    async def test_from_a_coroutine_in_another_loop(self, run: Callable[[Any], Any], capacity: int) -> None:
        """Any two loops, of the same library or not."""
        send, receive = open_channel(capacity)
        receive.attach()
        with thread(run, send_all(send, 300)):
            assert [item async for item in receive] == list(range(300))
        assert send.statistics().peak <= capacity + 1

    @pytest.mark.parametrize("capacity", [1, 5, 100])
    async def test_from_threads(self, capacity: int) -> None:
        """Each thread's items in order, never more than the bound."""
        send, receive = open_channel(capacity)
        receive.attach()

        def produce(name: int) -> None:
            for number in range(200):
                send.send_sync((name, number))

        with thread(produce, 0), thread(produce, 1), thread(produce, 2):
            items = [await receive.receive() for _ in range(600)]
        for name in range(3):
            assert [number for sender, number in items if sender == name] == list(range(200))
        assert send.statistics().peak <= capacity + 3
        assert send.statistics().overruns == 0

    @each_library
    def test_from_a_loop_to_a_sync_reader(self, run: Callable[[Any], Any]) -> None:
        """The loop's tasks wait for the thread."""
        send, receive = open_channel(4)
        receive.attach()
        with thread(run, send_all(send, 300)):
            assert list(receive) == list(range(300))
        assert send.statistics().peak <= 5

    async def test_one_wake_per_idle_period(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Items that come while the reader is awake cost no wake."""
        send, receive = open_channel(100)
        wakes: list[object] = []
        wake = send._state.hand_over.wake

        class Counting:
            def wake(self, waiter: Any) -> None:
                wakes.append(waiter)
                wake(waiter)

        monkeypatch.setattr(send._state, "hand_over", Counting())
        taken: list[int] = []

        async def read() -> None:
            taken.extend([item async for item in receive])

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            # The reader cannot run meanwhile: this thread is its loop's.
            with thread(fill, send, 50):
                pass
            await anyio.wait_all_tasks_blocked()
            assert len(wakes) == 1
            send.close()
        assert taken == list(range(50))

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
    def test_a_blocked_main_thread_can_be_interrupted(self, parked: threading.Semaphore) -> None:
        """Ctrl-C reaches a reader and a producer that wait; nothing is lost."""
        main = threading.get_ident()

        def interrupt(interrupted: threading.Event) -> None:
            parked.acquire()
            signal.pthread_kill(main, signal.SIGINT)
            while not interrupted.wait(0.3):  # it came just before the thread blocked
                signal.pthread_kill(main, signal.SIGINT)

        @contextmanager
        def interruption() -> Iterator[None]:
            interrupted = threading.Event()
            with thread(interrupt, interrupted):
                with pytest.raises(KeyboardInterrupt):
                    yield
                interrupted.set()

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            send, receive = open_channel(1)
            with interruption():
                receive.receive_sync()
            assert not receive.statistics().waiting_reader
            send.push(0)
            with thread(receive.attach):
                pass
            with interruption():
                send.send_sync(1)
            assert send.statistics().waiting_producers == 0
            assert drain(receive) == [0, 1]
        finally:
            signal.signal(signal.SIGINT, before)
