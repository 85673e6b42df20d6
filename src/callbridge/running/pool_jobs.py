"""The jobs in pools of threads that tasks wait for. They are found before the tasks are cancelled, and awaited afterwards."""

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
"""How often empty jobs are sent through a pool. One round leaves a generator open in 2 of 1,000 runs: idle threads take the
jobs while the thread that must drop the generator waits for the interpreter lock. Four rounds leave one in some thousands."""

_POOL_SECONDS = 1.0
"""How long to wait for a pool that others keep busy."""


def waited_for(future: asyncio.Future[Any]) -> frozenset[asyncio.Future[Any]]:
    """Return the futures that a task waits for in the end, through all other tasks. Empty if any of these tasks can go on.

    If asyncio does not tell, the answer is empty too, and a run is cancelled when its turns are over.
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
    """Return the job in a pool's thread that a future stands for, if there is one."""
    return next(held_by_callbacks(future, is_job), None)


async def end_jobs(jobs: set[concurrent.futures.Future[Any]], frames: LeftoverFrames) -> None:
    """Wait until jobs in threads have ended. They cannot be cancelled, and stop at their next callback.

    Args:
        jobs: The jobs. The set is emptied, because the errors of jobs hold frames.
        frames: The frames to clear, together with those of the jobs' errors.

    Cancellation: it gives up.
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
    """Send empty jobs through the pool and wait for them.

    A thread drops what it has run, for example a generator, only after it has reported the end. A pool drops a cancelled job
    only when the job's turn in the queue comes.
    """
    loop = asyncio.get_running_loop()
    with suppress(RuntimeError):  # the loop's pool is closed
        for _ in range(_ROUNDS):
            _, waiting = await asyncio.wait({loop.run_in_executor(None, int) for _ in range(turns)}, timeout=_POOL_SECONDS)
            if waiting:
                return


def report_failures(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Log the errors of ended tasks that nobody else awaits. Retrieving an error keeps the loop from complaining about it."""
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, StopAsyncIteration):
            _logger.warning("cleaning up after a cancelled run failed: %r", error, exc_info=error)
