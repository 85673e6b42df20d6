"""Parking and waking: from everywhere, at any moment, at most once."""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
from anyio.lowlevel import checkpoint

from callbridge.channel import waiters
from callbridge.channel.waiters import (
    AsyncioWaiter,
    AsyncWaiter,
    HandOver,
    Place,
    ThreadWaiter,
    TrioWaiter,
    Waiter,
    async_waiter,
    current_task,
    in_event_loop,
    is_pool_worker,
    may_be_waited_for,
    pause,
    withdraw,
)
from callbridge.errors import EventLoopError

pytestmark = pytest.mark.anyio


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread that belongs to no pool and return its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


async def wait(waiter: AsyncWaiter) -> None:
    """Wait, as a coroutine."""
    await waiter.wait()


class TestAsyncWaiter:
    async def test_is_woken_by_a_task_of_its_loop(self) -> None:
        """The wait ends when another task wakes the waiter."""
        waiter = async_waiter(current_task()[0])
        async with anyio.create_task_group() as group:
            group.start_soon(wait, waiter)
            await anyio.wait_all_tasks_blocked()
            waiter.wake()

    async def test_is_woken_by_a_thread(self) -> None:
        """The wait ends when a foreign thread wakes the waiter."""
        waiter = async_waiter(current_task()[0])
        async with anyio.create_task_group() as group:
            group.start_soon(wait, waiter)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(waiter.wake)

    @pytest.mark.parametrize("wake", [lambda waiter: waiter.wake(), lambda waiter: in_thread(waiter.wake)])
    async def test_a_wake_before_the_wait_is_not_lost(self, wake: Callable[[Waiter], None]) -> None:
        """A waiter that was published and woken before it waits does not wait."""
        waiter = async_waiter(current_task()[0])
        wake(waiter)
        with anyio.fail_after(5):
            await waiter.wait()

    async def test_waits_again_once_it_is_renewed(self) -> None:
        """A wake counts for one wait, not for the next."""
        waiter = async_waiter(current_task()[0])
        waiter.wake()
        await waiter.wait()
        woken = waiter.renew()
        with anyio.move_on_after(0.001) as scope:
            await woken
        assert scope.cancelled_caught
        woken = waiter.renew()
        waiter.wake()
        with anyio.fail_after(5):
            await woken

    async def test_a_wake_after_a_cancelled_wait_disturbs_nobody(self) -> None:
        """The task that gave up sleeps elsewhere by the time the wake arrives; it sleeps on."""
        waiter = async_waiter(current_task()[0])
        elsewhere = anyio.Event()
        woke: list[str] = []

        async def wait_then_sleep() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await waiter.wait()
            await elsewhere.wait()
            woke.append("by its event")

        scopes: list[anyio.CancelScope] = []
        async with anyio.create_task_group() as group:
            group.start_soon(wait_then_sleep)
            await anyio.wait_all_tasks_blocked()
            scopes[0].cancel()
            await anyio.wait_all_tasks_blocked()
            in_thread(waiter.wake)
            await anyio.wait_all_tasks_blocked()
            await checkpoint()
            assert woke == []
            elsewhere.set()
        assert woke == ["by its event"]

    async def test_a_thread_may_wake_while_the_waiter_gives_up(self) -> None:
        """Cancelled and woken in the same tick: the task is cancelled, and nothing else happens."""
        waiter = async_waiter(current_task()[0])
        async with anyio.create_task_group() as group:
            group.start_soon(wait, waiter)
            await anyio.wait_all_tasks_blocked()
            in_thread(waiter.wake)
            group.cancel_scope.cancel()

    async def test_a_wait_with_a_limit_ends_when_woken(self) -> None:
        """By a task or by a thread."""
        for wake in (lambda waiter: waiter.wake(), lambda waiter: in_thread(waiter.wake)):
            waiter = async_waiter(current_task()[0])
            async with anyio.create_task_group() as group:
                group.start_soon(waiter.wait_at_most, 1000)
                await anyio.wait_all_tasks_blocked()
                wake(waiter)

    async def test_a_wait_with_a_limit_ends_at_its_limit(self) -> None:
        """Without a wake; one that comes later disturbs nobody."""
        waiter = async_waiter(current_task()[0])
        await waiter.wait_at_most(0)
        waiter.wake()
        await checkpoint()

    async def test_a_wait_with_a_limit_can_be_cancelled(self) -> None:
        """And leaves no timer behind that would wake anybody."""
        waiter = async_waiter(current_task()[0])
        async with anyio.create_task_group() as group:
            group.start_soon(waiter.wait_at_most, 1000)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    async def test_pause_lets_others_run(self) -> None:
        """Each pause gives every other task a turn."""
        turns: list[int] = []
        async with anyio.create_task_group() as group:
            loop, _ = current_task()

            async def other() -> None:
                turns.append(0)

            group.start_soon(other)
            await pause(loop)
            await pause(loop)
            assert turns == [0]

    async def test_pause_is_a_cancellation_point(self) -> None:
        """A cancelled task ends in its next pause."""
        with anyio.CancelScope() as scope:
            scope.cancel()
            loop, _ = current_task()
            await pause(loop)
            pytest.fail("went on")
        assert scope.cancelled_caught


def test_a_wake_after_the_loop_is_closed_is_harmless() -> None:
    """The task that waited is gone, so there is nothing to do."""
    loop = asyncio.new_event_loop()
    waiter = AsyncioWaiter(loop)
    loop.close()
    waiter.wake()


def test_a_wake_after_trio_has_finished_is_harmless() -> None:
    """The same for trio."""

    async def main() -> TrioWaiter:
        waiter = async_waiter(trio.lowlevel.current_trio_token())
        assert isinstance(waiter, TrioWaiter)
        return waiter

    trio.run(main).wake()


def test_a_wake_from_outside_the_running_loop_in_its_thread() -> None:
    """Between two `run_until_complete` no loop runs, and the wake still arrives."""
    loop = asyncio.new_event_loop()
    try:
        waiter = AsyncioWaiter(loop)
        task = loop.create_task(asyncio.wait_for(waiter.wait(), 5))
        loop.run_until_complete(asyncio.sleep(0))
        waiter.wake()
        loop.run_until_complete(task)
    finally:
        loop.close()


class TestAWakeWhileTheLoopGoesToSleep:
    """A finalizer may run anywhere, also when the loop has just found that there is nothing to do."""

    def test_keeps_asyncio_awake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the loop waits for must become ready; a callback alone would not be noticed."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            waiter = AsyncioWaiter(loop)
            selector: selectors.BaseSelector = loop._selector  # type: ignore[attr-defined]
            select = selector.select
            noticed: list[bool] = []

            def collect_garbage_then_select(timeout: float | None = None) -> Any:
                if timeout is None and not noticed:
                    waiter.wake()
                    events = select(0)
                    noticed.append(bool(events))
                    return events
                return select(timeout)

            monkeypatch.setattr(selector, "select", collect_garbage_then_select)
            await waiter.wait()
            assert noticed == [True]

        asyncio.run(main())

    def test_keeps_trio_awake(self) -> None:
        """Nor would a task that is rescheduled."""

        class Collecting(trio.abc.Instrument):
            def before_io_wait(self, timeout: float) -> None:
                if timeout > 0 and not noticed:
                    waiter.wake()
                    noticed.append(trio.lowlevel.current_statistics().run_sync_soon_queue_size)

        noticed: list[int] = []

        async def main() -> None:
            nonlocal waiter
            waiter = TrioWaiter(trio.lowlevel.current_trio_token())
            with trio.move_on_after(1):
                await waiter.wait()
            assert noticed == [1]

        waiter: TrioWaiter
        trio.run(main, instruments=[Collecting()])


def test_there_is_no_async_waiter_outside_tasks() -> None:
    """Waiting needs a task of asyncio or trio."""
    with pytest.raises(EventLoopError, match="needs a task of asyncio or trio, found no task"):
        async_waiter(None)


class TestThreadWaiter:
    def test_is_woken_by_a_thread(self) -> None:
        """The wait ends when another thread wakes the waiter."""
        waiter = ThreadWaiter()
        thread = threading.Thread(target=waiter.wake)
        thread.start()
        assert waiter.wait()
        thread.join()

    def test_gives_up_after_its_timeout(self) -> None:
        """A wait that is limited says whether it was woken, and a late wake is harmless."""
        waiter = ThreadWaiter()
        assert not waiter.wait(0.001)
        waiter.wake()

    def test_a_wake_before_the_wait_is_not_lost(self) -> None:
        """A waiter that was woken before it waits does not wait."""
        waiter = ThreadWaiter()
        waiter.wake()
        assert waiter.wait()


def test_withdraw_says_whether_a_wake_can_still_come() -> None:
    """Only a waiter that nobody has taken out is withdrawn."""
    first, second = ThreadWaiter(), ThreadWaiter()
    published: list[Waiter] = [first, second]
    assert withdraw(published, first)
    assert not withdraw(published, first)
    assert list(published) == [second]


class TestWhereCodeRuns:
    async def test_in_a_task(self, anyio_backend: str) -> None:
        """In a task, the loop and the task are known."""
        loop, task = current_task()
        assert in_event_loop()
        if anyio_backend == "asyncio":
            assert (loop, task) == (asyncio.get_running_loop(), asyncio.current_task())
        else:
            assert (loop, task) == (trio.lowlevel.current_trio_token(), trio.lowlevel.current_task())

    def test_in_a_plain_thread(self) -> None:
        """Outside tasks there are none, also when trio is imported."""
        assert current_task() == (None, None)
        assert not in_event_loop()

    def test_in_a_callback_of_a_loop(self) -> None:
        """A callback runs in a loop, but in no task."""

        async def main() -> tuple[bool, object]:
            seen: asyncio.Future[tuple[bool, object]] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(lambda: seen.set_result((in_event_loop(), current_task())))
            return await seen

        assert asyncio.run(main()) == (True, (None, None))

    def test_without_trio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where trio was never imported nothing asks it; where it is just being imported it is not there yet."""
        monkeypatch.delitem(sys.modules, "trio")
        assert current_task() == (None, None)
        assert not in_event_loop()
        monkeypatch.setitem(sys.modules, "trio", type(sys)("trio"))
        assert current_task() == (None, None)
        assert not in_event_loop()

    def test_in_a_trio_guest(self) -> None:
        """A guest's task is trio's, although it runs inside a callback of an asyncio loop, and the host's is asyncio's."""
        seen: dict[str, object] = {}

        async def guest() -> None:
            await trio.lowlevel.checkpoint()
            seen["guest"] = current_task()[1] is trio.lowlevel.current_task()

        async def host() -> None:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[object] = loop.create_future()
            trio.lowlevel.start_guest_run(
                guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
            )
            (await done).unwrap()  # type: ignore[attr-defined]
            seen["host"] = current_task()[1] is asyncio.current_task()

        asyncio.run(host())
        assert seen == {"guest": True, "host": True}


class TestPlace:
    async def test_knows_its_task(self) -> None:
        """The place of a task is here in that task only."""
        place = Place(*current_task())
        assert place.is_here()
        assert place.is_task(current_task()[1])
        seen: list[bool] = []

        async def other() -> None:
            seen.append(place.is_here())

        async with anyio.create_task_group() as group:
            group.start_soon(other)
        assert seen == [False]
        assert not in_thread(place.is_here)

    def test_of_sync_code_is_no_task(self) -> None:
        """Sync code has no task, so it is not the one that asks either."""
        place = Place(None, None)
        assert not place.is_here()
        assert not place.is_task(None)
        assert not place.is_over

    def test_is_over_when_its_loop_is_closed(self) -> None:
        """Nobody will read in a closed loop."""

        async def main() -> Place:
            place = Place(*current_task())
            assert not place.is_over
            return place

        assert asyncio.run(main()).is_over

    def test_does_not_keep_the_task_alive(self) -> None:
        """The task holds the stream, which holds the channel, which holds the place."""

        async def main() -> Place:
            task = asyncio.create_task(checkpoint())
            place = Place(asyncio.get_running_loop(), task)
            await task
            gone = weakref.ref(task)
            del task
            await checkpoint()  # the loop still holds what it is waking us with
            gc.collect()
            assert gone() is None
            return place

        assert not asyncio.run(main()).is_here()

    async def test_its_loop_answers_while_it_runs(self) -> None:
        """Not before its next turn, and not when it is over; then it is stuck until it does."""
        place = Place(*current_task())
        answer = place.ask()
        assert not place.is_stuck
        assert not place.has_answered(answer)
        assert place.is_stuck
        while not place.has_answered(answer):
            await checkpoint()
        assert not place.is_stuck

    @pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)])
    def test_a_loop_that_is_over_never_answers(self, run: Callable[[Any], Place]) -> None:
        """Nobody waits for that."""

        async def main() -> Place:
            return Place(*current_task())

        place = run(main())
        answer = place.ask()
        assert place.is_stuck
        assert not place.has_answered(answer)
        assert not place.gets_on(30)

    def test_sync_code_cannot_be_asked(self) -> None:
        """It is taken to get on."""
        place = Place(None, None)
        assert place.has_answered(place.ask())
        assert place.gets_on(0)
        assert not place.is_stuck

    async def test_makes_waiters_for_its_task(self, anyio_backend: str) -> None:
        """The waiter is of the place's library."""
        waiter = Place(*current_task()).waiter
        assert isinstance(waiter, AsyncioWaiter if anyio_backend == "asyncio" else TrioWaiter)


class TestPools:
    async def test_a_worker_of_anyio(self) -> None:
        """`anyio.to_thread.run_sync` hands work to such threads, also when its caller is cancelled."""
        assert await anyio.to_thread.run_sync(is_pool_worker)
        assert await anyio.to_thread.run_sync(may_be_waited_for)  # nobody knows

        def when_cancelled() -> None:
            started.set()
            cancelled.wait()
            seen.append(is_pool_worker())

        seen: list[bool] = []
        started, cancelled = threading.Event(), threading.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, when_cancelled)
            await anyio.to_thread.run_sync(started.wait)
            group.cancel_scope.cancel()
            cancelled.set()
        assert seen == [True]

    def test_a_worker_of_trio(self) -> None:
        """So does trio's own function."""

        async def main() -> bool:
            return await trio.to_thread.run_sync(is_pool_worker)

        assert trio.run(main)

    def test_a_worker_of_any_executor(self) -> None:
        """The loop's own or another one: both may be handed work by the loop. No other thread is one."""

        async def main() -> list[bool]:
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(1) as other:
                # A pool notes its worker only after the worker has begun its first job.
                await loop.run_in_executor(None, int)
                await loop.run_in_executor(other, int)
                return [
                    await loop.run_in_executor(None, is_pool_worker),
                    await loop.run_in_executor(other, is_pool_worker),
                    is_pool_worker(),
                    in_thread(is_pool_worker),
                ]

        assert asyncio.run(main()) == [True, True, False, False]

    def test_a_worker_is_waited_for_if_there_are_jobs_left(self) -> None:
        """Nobody waits for one of a pool that has nothing else to do."""
        gate = threading.Event()

        def ask() -> bool:
            gate.wait()
            return may_be_waited_for()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            assert not pool.submit(may_be_waited_for).result()
            first, second = pool.submit(ask), pool.submit(ask)
            gate.set()
            assert (first.result(), second.result()) == (True, False)


class WatchedLock:
    """A lock that is always free and notes whether somebody was ready to wait for it."""

    def __init__(self) -> None:
        self.waited = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.waited = self.waited or blocking
        return True

    def release(self) -> None:
        pass


class TestHandOver:
    """Time here is what the test says it is."""

    @pytest.fixture(autouse=True)
    def clocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.computed = 10.0
        monkeypatch.setattr(waiters, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiters, "thread_time", lambda: self.computed)

    def waits(self, hand_over: HandOver, after: float, share: float) -> bool:
        """Wake a reader `after` some seconds, a `share` of which was computed; return whether that waited for the reader."""
        self.now += after
        self.computed += after * share
        hand_over._running = lock = WatchedLock()  # type: ignore[assignment]
        hand_over.wake(ThreadWaiter())
        return lock.waited

    def test_a_thread_that_computes_waits_until_the_reader_runs(self) -> None:
        """It would keep the interpreter lock otherwise."""
        hand_over = HandOver()
        assert [self.waits(hand_over, 0.03, share) for share in (0, 1, 1, 0.5)] == [True] * 4

    def test_a_thread_that_will_wait_anyway_does_not(self) -> None:
        """Nobody knows it at first; after that, its past is the best guess."""
        hand_over = HandOver()
        assert [self.waits(hand_over, 0.03, share) for share in (0, 0, 0.01, 1, 0)] == [True, False, False, True, False]

    def test_a_thread_is_not_judged_for_each_item(self) -> None:
        """That would cost as much as the wake."""
        hand_over = HandOver()
        step = 0.3 * waiters.JUDGE_INTERVAL
        assert [self.waits(hand_over, step, 0) for _ in range(6)] == [True] * 4 + [False] * 2
        assert [self.waits(hand_over, step, 1) for _ in range(6)] == [False] * 2 + [True] * 4

    def test_not_more_often_than_once_per_interval(self) -> None:
        """Waiting for each item would keep items from gathering."""
        hand_over = HandOver()
        step = 0.3 * waiters.HAND_OVER_INTERVAL
        assert [self.waits(hand_over, step, 1) for _ in range(9)] == [True, *[False] * 3, True, *[False] * 3, True]

    def test_another_thread_is_asked_anew(self) -> None:
        """What one thread does says nothing of another."""
        hand_over = HandOver()
        assert self.waits(hand_over, 0.01, 0)
        assert in_thread(lambda: self.waits(hand_over, 0.01, 0))
        assert self.waits(hand_over, 0.01, 0)

    async def test_a_thread_that_runs_an_event_loop_does_not(self) -> None:
        """It has other tasks."""
        assert not self.waits(HandOver(), 0.01, 1)

    def test_nobody_waits_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reader's loop may be busy, or the reader may have given up; the next one is handed over all the same."""
        monkeypatch.setattr(waiters, "HAND_OVER_LIMIT", 0.0001)
        hand_over = HandOver()
        for _ in range(3):
            waiter = ThreadWaiter()
            hand_over.wake(waiter)
            self.now += 0.01
            assert waiter.running is not None
            assert waiter.running.locked()
            assert waiter.wait()

    def test_the_reader_ends_the_wait(self) -> None:
        """It releases the lock that it was given."""
        hand_over = HandOver()
        waiter = ThreadWaiter()

        def read() -> None:
            waiter.wait()
            assert waiter.running is not None
            waiter.running.release()

        reader = threading.Thread(target=read)
        reader.start()
        hand_over.wake(waiter)
        reader.join()
        assert not hand_over._running.locked()
