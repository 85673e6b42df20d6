"""One task at a time, first come first served."""

from __future__ import annotations

import anyio
import pytest

from callbridge.dispatch.task_lock import Turn

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


async def hold(turn: Turn, name: str, log: list[str], gate: anyio.Event | None = None) -> None:
    if not turn.take_nowait():
        await turn.take()
    try:
        assert turn.is_mine()
        log.append(name)
        if gate is not None:
            await gate.wait()
    finally:
        turn.release()


async def test_tasks_get_it_in_the_order_in_which_they_came(anyio_backend: str) -> None:
    """Who comes later cannot overtake, not even while it is handed over."""
    turn, gate, log = Turn(), anyio.Event(), []
    async with anyio.create_task_group() as group:
        group.start_soon(hold, turn, "first", log, gate)
        await anyio.wait_all_tasks_blocked()
        for name in ("second", "third"):
            group.start_soon(hold, turn, name, log)
            await anyio.wait_all_tasks_blocked()
        assert not turn.take_nowait()
        assert not turn.is_mine()
        gate.set()
    assert log == ["first", "second", "third"]
    assert turn.take_nowait()
    assert turn.is_mine()
    turn.release()


async def test_a_cancelled_task_does_not_hold_it(anyio_backend: str) -> None:
    """Cancelled while it waits: the next one gets it."""
    turn, gate, log = Turn(), anyio.Event(), []
    async with anyio.create_task_group() as group:
        group.start_soon(hold, turn, "first", log, gate)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(hold, turn, "cancelled", log)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(hold, turn, "next", log)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        gate.set()
    assert log == ["first", "next"]
    assert turn.take_nowait()


async def test_a_task_cancelled_as_it_gets_it_hands_it_on(anyio_backend: str) -> None:
    """In the same moment, before it could run."""
    turn, log = Turn(), []
    assert turn.take_nowait()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(hold, turn, "cancelled", log)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(hold, turn, "next", log)
                await anyio.wait_all_tasks_blocked()
                turn.release()
                scope.cancel()
    assert log[-1] == "next"
    assert turn.take_nowait()
