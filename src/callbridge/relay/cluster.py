"""`ClusterLog`: the log in a Redis or Valkey Cluster, which spreads runs over its nodes.

The keys of a run are in one slot, so every script works as it is. But a cluster refuses a call that waits for streams of
several slots. So a process that waits looks every 20 ms, as in SQLite, with one pipeline for each node, whatever the number of
runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from types import ModuleType
from typing import Any, Final

from callbridge.relay.log import Seen
from callbridge.relay.records import Position, Record
from callbridge.relay.redis import COUNT, SOCKET_SECONDS, RedisLog, id_of, keys_of, record_of

__all__ = ["ClusterLog"]

LOOK_SECONDS: Final = 0.02
_SHARE: Final = 4
"""The pause after a look is at least this many times as long as the look: with many runs, there are fewer looks."""


class ClusterLog(RedisLog):
    """A log in a cluster.

    Args:
        address: The URL of one of its nodes, as redis-py takes it, except for the scheme.
        url: The same, with secrets hidden.
    """

    is_clustered = True

    def __init__(self, address: str, url: str) -> None:
        super().__init__(address.replace("+cluster", "", 1), url)
        self._woken = threading.Event()

    def _connect(self, redis: ModuleType) -> None:
        options = {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS}
        self._client = redis.RedisCluster.from_url(self._address, **options)

    def close(self) -> None:
        """See `Log`."""
        self.wake()
        if self._client is not None:
            self._client.close()

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        """See `Log`."""
        self._heard = {run: self._heard.get(run, b"0-0") for run in published}
        until = monotonic() + seconds
        while True:
            began = monotonic()
            seen = self._asked(lambda: self._look(after))
            now = monotonic()
            pause = min(until - now, max(LOOK_SECONDS, _SHARE * (now - began)))
            if seen.records or seen.stopped or pause <= 0:
                return seen
            if self._woken.wait(pause):
                self._woken.clear()
                return seen

    def _look(self, after: Mapping[str, Position]) -> Seen:
        heard = self._heard
        with self._client.pipeline() as pipeline:
            for run, position in after.items():
                pipeline.xrange(keys_of(run)[1], f"({id_of(position)}", "+", count=COUNT)
            for run, entry_id in heard.items():
                pipeline.xrange(keys_of(run)[2], f"({entry_id.decode()}", "+", count=COUNT)
            found: list[list[tuple[bytes, Any]]] = pipeline.execute()
        records: dict[str, list[Record]] = {
            run: [record_of(*entry) for entry in entries] for run, entries in zip(after, found, strict=False) if entries
        }
        asked = {run: entries[-1][0] for run, entries in zip(heard, found[len(after) :], strict=True) if entries}
        heard.update(asked)
        return Seen(records, list(asked))

    def wake(self) -> None:
        """See `Log`."""
        self._woken.set()
