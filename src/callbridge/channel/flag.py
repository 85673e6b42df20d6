"""`Flag`: any code can set it, once, and any code can wait for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel

__all__ = ["Flag"]


class Flag:
    """A flag that any thread can set, once. Any number of threads and of asyncio and trio tasks can wait for it."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[SendEnd[None]] = []  # one for each waiting task or thread; removed by the code that closes it

    def set(self) -> None:
        """Set the flag, and wake all that wait. Idempotent."""
        self._set = True
        while self._waiting:
            with suppress(IndexError):  # two threads set it at the same time
                self._waiting.pop().close()

    async def wait(self, on_cancel: Callable[[], None] | None = None, seconds: float | None = None) -> bool:
        """Wait until the flag is set. A cancellation that arrives meanwhile is raised afterwards.

        Args:
            on_cancel: Called when a cancellation arrives.
            seconds: Give up after this many seconds; never if None.

        Returns:
            Whether the flag is set.
        """
        if self._set:
            return True
        end = self._end()
        cancelled: BaseException | None = None
        with anyio.move_on_after(seconds, shield=True) as scope:
            while True:
                try:
                    await end.receive()
                except anyio.EndOfStream:
                    break
                except anyio.get_cancelled_exc_class() as error:
                    if scope.cancel_called:
                        raise  # belongs to the timeout's scope
                    # No scope shields from native asyncio cancellation.
                    cancelled = error
                    if on_cancel is not None:
                        on_cancel()
        if cancelled is not None:
            raise cancelled
        return self._set

    def wait_sync(self) -> None:
        """Block the thread until the flag is set."""
        with suppress(anyio.EndOfStream):
            self._end().receive_sync()

    def _end(self) -> ReceiveEnd[None]:
        """Return the end of a channel that is closed when the flag is set."""
        send: SendEnd[None]
        receive: ReceiveEnd[None]
        send, receive = open_channel(1)
        self._waiting.append(send)
        if self._set:
            self.set()
        return receive
