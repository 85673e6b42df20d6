"""`Flag`: set once, from anywhere, and waited for by whoever likes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio

from callbridge.channel.memory import ReceiveEnd, SendEnd, open_channel

__all__ = ["Flag"]


class Flag:
    """A flag that is set once, from any thread, and waited for by any number of asyncio and trio tasks and threads."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[SendEnd[None]] = []  # one each; removed by who closes it

    def set(self) -> None:
        """Set it, and wake whoever waits. Idempotent."""
        self._set = True
        while self._waiting:
            with suppress(IndexError):  # two threads set it
                self._waiting.pop().close()

    async def wait(self, on_cancel: Callable[[], None] | None = None, seconds: float | None = None) -> bool:
        """Wait; a cancellation that arrives meanwhile is raised afterwards.

        Args:
            on_cancel: Called when one arrives.
            seconds: After how many to give up; None: never.

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
                        raise  # to the scope: the time is over
                    # Native asyncio cancellation, which no scope shields from.
                    cancelled = error
                    if on_cancel is not None:
                        on_cancel()
        if cancelled is not None:
            raise cancelled
        return self._set

    def wait_sync(self) -> None:
        """Wait, blocking the thread."""
        with suppress(anyio.EndOfStream):
            self._end().receive_sync()

    def _end(self) -> ReceiveEnd[None]:
        """Return what ends when the flag is set."""
        send: SendEnd[None]
        receive: ReceiveEnd[None]
        send, receive = open_channel(1)
        self._waiting.append(send)
        if self._set:
            self.set()
        return receive
