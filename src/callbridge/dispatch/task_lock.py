"""`TaskLock`: one task at a time, first come first served, and no task waits for itself.

An `anyio.Lock` does the same at twice the price; uncontended, which is nearly always, this is one comparison and one
assignment.
"""

from __future__ import annotations

from collections import deque

from callbridge.channel.waiters import AsyncWaiter, async_waiter, current_task

__all__ = ["TaskLock"]


class TaskLock:
    """A lock for the tasks of one loop, asyncio or trio, that knows who holds it."""

    __slots__ = ("_waiting", "holder")

    def __init__(self) -> None:
        self.holder: object | None = None
        """The task that has it; None if it is free."""
        self._waiting: deque[tuple[AsyncWaiter, object]] = deque()

    def take_nowait(self) -> bool:
        """Take it if it is free; return whether it was."""
        if self.holder is not None:
            return False
        self.holder = current_task()[1]
        return True

    def is_mine(self) -> bool:
        """Return whether the current task holds it."""
        return self.holder is current_task()[1]

    async def take(self) -> None:
        """Wait for it.

        Cancellation: a task that is cancelled while it waits does not hold it.
        """
        loop, task = current_task()
        entry = (async_waiter(loop), task)
        self._waiting.append(entry)
        try:
            await entry[0].wait()
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self.release()  # it was handed over in the same moment
            raise

    def release(self) -> None:
        """Hand it to the task that has waited longest, or leave it free."""
        self.holder = None
        if self._waiting:
            waiter, self.holder = self._waiting.popleft()
            waiter.wake()
