"""One task at a time, first come first served."""

from __future__ import annotations

import anyio
import pytest

from callbridge.dispatch.task_lock import TaskLock

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


async def hold(lock: TaskLock, name: str, log: list[str], gate: anyio.Event | None = None) -> None:
    if not lock.take_nowait():
        await lock.take()
    try:
        assert lock.is_mine()
        log.append(name)
        if gate is not None:
            await gate.wait()
    finally:
        lock.release()


async def test_tasks_get_it_in_the_order_in_which_they_came(anyio_backend: str) -> None:
    """A later task cannot overtake, not even while the lock is handed over."""
    lock, gate, log = TaskLock(), anyio.Event(), []
    async with anyio.create_task_group() as group:
        group.start_soon(hold, lock, "first", log, gate)
        await anyio.wait_all_tasks_blocked()
        for name in ("second", "third"):
            group.start_soon(hold, lock, name, log)
            await anyio.wait_all_tasks_blocked()
        assert not lock.take_nowait()
        assert not lock.is_mine()
        gate.set()
    assert log == ["first", "second", "third"]
    assert lock.take_nowait()
    assert lock.is_mine()
    lock.release()


async def test_a_cancelled_task_does_not_hold_it(anyio_backend: str) -> None:
    """Cancelled while it waits: the next one gets it."""
    lock, gate, log = TaskLock(), anyio.Event(), []
    async with anyio.create_task_group() as group:
        group.start_soon(hold, lock, "first", log, gate)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(hold, lock, "cancelled", log)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(hold, lock, "next", log)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        gate.set()
    assert log == ["first", "next"]
    assert lock.take_nowait()


async def test_a_task_cancelled_as_it_gets_it_hands_it_on(anyio_backend: str) -> None:
    """In the same moment, before it could run."""
    lock, log = TaskLock(), []
    assert lock.take_nowait()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(hold, lock, "cancelled", log)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(hold, lock, "next", log)
                await anyio.wait_all_tasks_blocked()
                lock.release()
                scope.cancel()
    assert log[-1] == "next"
    assert lock.take_nowait()
