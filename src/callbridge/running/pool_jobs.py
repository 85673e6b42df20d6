"""The jobs in threads of pools that tasks wait for: found before the tasks are cancelled, and waited for afterwards."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from callbridge.internals import children_of, held_by_callbacks, is_job, is_task, waiter_of
from callbridge.running.leftover_frames import LeftoverFrames

__all__ = ["end_jobs", "job_of", "report_failures", "waited_for"]

_logger = logging.getLogger("callbridge.stream")

_ROUNDS = 4
"""How often to pass a pool. Once leaves a generator open in 2 of 1,000 runs: idle threads take the jobs while the one that has
told the end waits for the interpreter lock, to drop it. Four times leave one in some thousands."""

_POOL_SECONDS = 1.0
"""How long to wait for the turn of a pool that others keep busy."""


def waited_for(future: asyncio.Future[Any]) -> frozenset[asyncio.Future[Any]]:
    """Return what a task and all that it waits for wait for in the end; nothing if any of it can go on.

    Where that cannot be told, runs are cancelled when their turns are over.
    """
    while is_task(future):
        waiter = waiter_of(future)
        if waiter is None:
            return frozenset()
        future = waiter
    if future.done():
        return frozenset()
    children = [child for child in children_of(future) if not child.done()]
    if not children:
        return frozenset({future})
    found = [waited_for(child) for child in children]
    return frozenset().union(*found) if all(found) else frozenset()


def job_of(future: asyncio.Future[Any]) -> concurrent.futures.Future[Any] | None:
    """Return the job in a pool's thread that a future stands for, if it does."""
    return next(held_by_callbacks(future, is_job), None)


async def end_jobs(jobs: set[concurrent.futures.Future[Any]], frames: LeftoverFrames) -> None:
    """Wait until jobs in threads have ended: they cannot be cancelled, and stop at their next callback.

    Args:
        jobs: Emptied; their errors hold the frames of what they ran.
        frames: Cleared, those frames included.

    Cancellation: gives up.
    """
    left = {asyncio.wrap_future(job) for job in jobs if not job.done()}
    turns = len(jobs) + 1 if jobs else 0
    jobs.clear()
    if left:
        await asyncio.wait(left)
        report_failures(left)
        for future in left:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                frames.add_error(error)
    if turns:
        await _pass_pool(turns)
        frames.clear_all()


async def _pass_pool(turns: int) -> None:
    """Wait for some jobs of no work.

    A thread drops what it has run, a generator for example, only after it has told the end,
    and the pool what was cancelled in its queue only when it comes to it.
    """
    loop = asyncio.get_running_loop()
    with suppress(RuntimeError):  # the loop's pool is closed
        for _ in range(_ROUNDS):
            _, waiting = await asyncio.wait({loop.run_in_executor(None, int) for _ in range(turns)}, timeout=_POOL_SECONDS)
            if waiting:
                return


def report_failures(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Log errors of what is finished that nobody else waits for; asking for them keeps the loop from complaining."""
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, StopAsyncIteration):
            _logger.warning("cleaning up after a cancelled run failed: %r", error, exc_info=error)
