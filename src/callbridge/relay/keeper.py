"""`Keeper`: one thread that renews the leases of all runs that a process publishes.

It is a thread, because a run's sync code may block the loop for as long as it likes, while the run is alive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from callbridge.errors import RelayClosedError
from callbridge.relay.log import Log, LogAwayError, Refusal

__all__ = ["Keeper"]

_logger = logging.getLogger("callbridge.relay")

_RETRY_SECONDS: Final = 0.25


@dataclass
class _Kept:
    run: str
    attempt: int
    interval: float
    on_stop: Callable[[], None]
    on_refusal: Callable[[Refusal], None]
    due: float


class Keeper:
    """Renews leases.

    Args:
        log: The log that has the leases.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._changed = threading.Condition()
        self._kept: dict[tuple[str, int], _Kept] = {}  # removed by `let_go`
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def keep(
        self, run: str, attempt: int, lease_seconds: float, on_stop: Callable[[], None], on_refusal: Callable[[Refusal], None]
    ) -> None:
        """Renew a lease three times in its length, until `let_go`.

        Args:
            run: The run.
            attempt: The attempt to publish it.
            lease_seconds: How long the lease is.
            on_stop: Called if the run is asked to stop. Must not block.
            on_refusal: Called once if another attempt has the lease now. Must not block.

        Raises:
            RelayClosedError: The relay is closed.
        """
        with self._changed:
            if self._is_closed:
                raise RelayClosedError
            interval = lease_seconds / 3
            kept = _Kept(run, attempt, interval, on_stop, on_refusal, monotonic() + interval)
            self._kept[run, attempt] = kept
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="callbridge-relay-keeper", daemon=True)
                self._thread.start()
            self._changed.notify()

    def let_go(self, run: str, attempt: int) -> None:
        """Stop renewing a lease. Idempotent."""
        with self._changed:
            self._kept.pop((run, attempt), None)

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._kept.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                now = monotonic()
                due = [kept for kept in self._kept.values() if kept.due <= now]
                if not due:
                    soonest = min((kept.due for kept in self._kept.values()), default=None)
                    self._changed.wait(None if soonest is None else soonest - now)
                    continue
            for kept in due:
                self._renew(kept)

    def _renew(self, kept: _Kept) -> None:
        begun = monotonic()
        try:
            answer = self._log.beat(kept.run, kept.attempt)
        except LogAwayError:
            kept.due = monotonic() + min(_RETRY_SECONDS, kept.interval)
            return
        except Exception:
            _logger.exception("the lease of run %r could not be renewed", kept.run)
            kept.due = monotonic() + min(_RETRY_SECONDS, kept.interval)
            return
        kept.due = begun + kept.interval
        if answer is True:
            kept.on_stop()
        elif answer is not False:
            self.let_go(kept.run, kept.attempt)
            kept.on_refusal(answer)
