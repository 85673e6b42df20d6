"""`insist`: a call of a log that may be away for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from callbridge.errors import RelayUnreachableError
from callbridge.relay.log import LogAwayError

__all__ = ["insist"]

T = TypeVar("T")


def insist(call: Callable[[], T], url: str, seconds: float) -> T:
    """Call until the log answers. Blocks.

    Args:
        call: The function to call. It must bear a second call if the reply was lost.
        url: Where the log is.
        seconds: How long the log may be away.

    Raises:
        RelayUnreachableError: The log was away for longer.
    """
    began = monotonic()
    pause = 0.02
    while True:
        try:
            return call()
        except LogAwayError as error:
            away = monotonic() - began
            if away > seconds:
                problem = f"has not answered for {away:.0f} s ({error}); see `outage_seconds` of `connect`"
                raise RelayUnreachableError(url, problem) from error
            threading.Event().wait(pause)
            pause = min(2 * pause, 0.5)
