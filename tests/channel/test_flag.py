"""`Flag`: it wakes every waiting task and thread, and a cancellation meanwhile is not lost."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from callbridge.channel.flag import Flag

both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@both
@pytest.mark.anyio
@pytest.mark.parametrize("from_thread", [False, True])
async def test_setting_it_wakes_all_who_wait(from_thread: bool, anyio_backend: str) -> None:
    flag, woken = Flag(), []

    async def wait() -> None:
        woken.append(await flag.wait())

    thread = threading.Thread(target=lambda: (flag.wait_sync(), woken.append(True)))
    thread.start()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        while len(flag._waiting) < 4:
            await checkpoint()
        if from_thread:
            await anyio.to_thread.run_sync(flag.set)
        else:
            flag.set()
    thread.join()
    assert woken == [True] * 4
    assert not flag._waiting


@both
@pytest.mark.anyio
async def test_who_comes_late_does_not_wait(anyio_backend: str) -> None:
    flag = Flag()
    flag.set()
    flag.set()
    assert await flag.wait()
    flag.wait_sync()


@both
@pytest.mark.anyio
async def test_the_wait_has_an_end_if_one_is_given(anyio_backend: str) -> None:
    assert not await Flag().wait(seconds=0.01)


@both
@pytest.mark.anyio
async def test_a_scope_that_is_cancelled_waits_all_the_same(anyio_backend: str) -> None:
    flag, waited = Flag(), False

    async def set_later() -> None:
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await checkpoint()
            flag.set()

    async with anyio.create_task_group() as group:
        group.start_soon(set_later)
        await checkpoint()
        group.cancel_scope.cancel()
        waited = await flag.wait()
    assert waited


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancellation_is_raised_when_the_wait_is_over(anyio_backend: str) -> None:
    flag, told = Flag(), []
    task = asyncio.ensure_future(flag.wait(lambda: told.append("cancelled")))
    await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()
    assert told == ["cancelled"] * 2
    flag.set()
    with pytest.raises(asyncio.CancelledError):
        await task
