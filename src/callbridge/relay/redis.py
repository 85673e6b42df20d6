"""`RedisLog`: the log of several machines, in the streams of a Redis or Valkey server.

Needs the extra: `pip install 'callbridge[redis]'`. `scripts` has the code that runs in the server; this module talks to it.
One connection waits for everything that this process follows, for any number of readers. A few others do the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from threading import Lock
from types import ModuleType
from typing import Any, Final, TypeVar
from uuid import uuid4

from callbridge.errors import RelayAccessError, RelayUnreachableError, RelayVersionError
from callbridge.relay.log import Claim, LogAwayError, Refusal, Seen
from callbridge.relay.records import BEGINNING, Ending, Policy, Position, Record, RunState
from callbridge.relay.scripts import SCRIPTS

__all__ = ["COUNT", "SOCKET_SECONDS", "RedisLog", "id_of", "keys_of", "record_of"]

T = TypeVar("T")

OLDEST: Final = (6, 2)
SOCKET_SECONDS: Final = 5.0
_KEY: Final = re.compile(rb"\{cb:(.*)\}:run")
COUNT: Final = 256
_WAKE_MILLISECONDS: Final = 600_000


class RedisLog:
    """A log in a server.

    Args:
        address: Its URL, as redis-py takes it.
        url: The same, with secrets hidden.
    """

    is_clustered = False
    """Whether the server may be a node of a cluster."""

    def __init__(self, address: str, url: str) -> None:
        self.url = url
        self._address = address
        self._redis: ModuleType | None = None
        self._client: Any = None
        self._waiter: Any = None
        self._scripts: dict[str, Any] = {}
        self._bell = f"{{cb}}:bell:{uuid4().hex}"
        self._rung = b"0-0"
        self._heard: dict[str, bytes] = {}  # the last request of each run that is published here
        self._lock = Lock()

    # -- connecting ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """See `Log`.

        Raises:
            ImportError: redis-py is not installed.
            RelayUnreachableError: The server cannot be reached.
            RelayAccessError: The server refuses the user or the password.
            RelayVersionError: The server is too old.
        """
        self._redis = redis = _redis_py()
        exceptions = redis.exceptions
        try:
            self._connect(redis)
            self._check_server(self._client.info("server"))
        except exceptions.AuthenticationError as error:
            self._refuse(RelayAccessError(self.url, f"the server refuses the user or the password ({error})"), error)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            problem = f"no Redis or Valkey server answers there ({_brief(error)}); start one, or give another URL"
            self._refuse(RelayUnreachableError(self.url, problem), error)
        except exceptions.RedisClusterException as error:
            self._refuse(RelayUnreachableError(self.url, f"no cluster answers there ({_brief(error)})"), error)
        except exceptions.ResponseError as error:
            self._refuse(RelayAccessError(self.url, f"the server refuses us ({error}); see the URL's password and ACL"), error)
        except ValueError as error:
            self._refuse(RelayUnreachableError(self.url, f"is not the URL of a server ({error})"), error)
        self._scripts = {name: self._client.register_script(text) for name, text in SCRIPTS.items()}

    def _check_server(self, found: Mapping[str, Any]) -> None:
        version = str(found.get("redis_version", "0.0"))
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            self._refuse(
                RelayVersionError(self.url, f"the server is of version {version}; the oldest that will do is {oldest}")
            )
        mode = found.get("redis_mode", found.get("server_mode"))  # the second is Valkey's, from 8.0 on
        if mode == "cluster" and not self.is_clustered:
            self._refuse(
                RelayUnreachableError(self.url, "the server is a node of a cluster; write redis+cluster://HOST[:PORT]")
            )

    def _connect(self, redis: ModuleType) -> None:
        self._client = self._connected(redis, SOCKET_SECONDS)
        self._waiter = self._connected(redis, 2 * SOCKET_SECONDS)

    def _connected(self, redis: ModuleType, seconds: float) -> Any:
        # We retry ourselves: redis-py's own retries would hide how long the server has been away.
        return redis.Redis.from_url(
            self._address,
            socket_timeout=seconds,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            health_check_interval=0,
        )

    def _refuse(self, error: Exception, cause: Exception | None = None) -> None:
        self.close()
        raise error from cause

    def close(self) -> None:
        """See `Log`."""
        if self._client is not None:
            self.wake()
            for client in (self._client, self._waiter):
                if client is not None:
                    client.close()
                    client.connection_pool.disconnect()

    # -- calls --------------------------------------------------------------------------------------------------------

    def announce(self, run: str, owner: str, start_seconds: float, policy: Policy) -> RunState | None:
        """See `Log`."""
        fields = RunState(owner=owner).with_policy(policy).written()
        life = max(start_seconds, 0) + policy.orphan_seconds
        if self._call("announce", run, owner, start_seconds, life, *_flat(fields)):
            return self.state(run)
        return None

    def claim(self, run: str, owner: str, policy: Policy, *, restart: bool, dead_beat: int | None = None) -> Claim:
        """See `Log`."""
        seen = "" if dead_beat is None else dead_beat
        granted = self._call("claim", run, owner, int(restart), seen, *_flat(asdict(policy)))
        return Claim(self.state(run), is_granted=bool(granted))

    def append(self, run: str, attempt: int, first: int, bodies: Sequence[str]) -> Refusal | None:
        """See `Log`."""
        return _refusal(self._call("append", run, attempt, first, *bodies))

    def finish(self, run: str, attempt: int, ending: Ending) -> Refusal | None:
        """See `Log`."""
        return _refusal(self._call("finish", run, attempt, ending.status, ending.events, ending.written()))

    def beat(self, run: str, attempt: int) -> Refusal | bool:
        """See `Log`."""
        answer: Any = self._call("beat", run, attempt).decode()
        if answer in ("0", "1"):
            return bool(answer == "1")
        refusal: Refusal = answer
        return refusal

    def stop(self, run: str) -> bool:
        """See `Log`."""
        return bool(self._call("stop", run, Ending("stopped", 0).written()))

    def declare_lost(self, run: str, attempt: int, beat: int) -> None:
        """See `Log`."""
        self._call("declare_lost", run, attempt, beat)

    def forget(self, run: str) -> bool:
        """See `Log`."""
        return bool(self._call("forget", run))

    def state(self, run: str) -> RunState | None:
        """See `Log`."""
        found, now = self._call("state", run)
        if not found:
            return None
        pairs = found.items() if isinstance(found, Mapping) else zip(found[::2], found[1::2], strict=True)
        return RunState.read(run, {**{key.decode(): value.decode() for key, value in pairs}, "now": now.decode()})

    def runs(self) -> Iterator[str]:
        """See `Log`."""
        for key in self._asked(lambda: list(self._client.scan_iter(match="{cb:*}:run", count=1000))):
            match = _KEY.fullmatch(key)
            if match is not None:
                yield match[1].decode()

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        """See `Log`."""
        key = keys_of(run)[1]
        return [
            record_of(*entry) for entry in self._asked(lambda: self._client.xrange(key, f"({id_of(after)}", "+", count=limit))
        ]

    def _call(self, name: str, run: str, *arguments: Any) -> Any:
        return self._asked(lambda: self._scripts[name](keys=keys_of(run), args=arguments))

    def _asked(self, ask: Callable[[], T]) -> T:
        """Return the answer of the server.

        Raises:
            LogAwayError: The server cannot answer now.
        """
        assert self._redis is not None
        exceptions = self._redis.exceptions
        try:
            return ask()
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise LogAwayError(_brief(error)) from error
        except exceptions.ResponseError as error:
            # Out of memory, still loading, a replica, no disk: all of these pass, or end at `outage_seconds`.
            raise LogAwayError(str(error)) from error
        except (exceptions.ClusterError, exceptions.RedisClusterException) as error:  # a node of a cluster is away
            raise LogAwayError(_brief(error)) from error

    # -- waiting ------------------------------------------------------------------------------------------------------

    def wait(self, after: Mapping[str, Position], published: Sequence[str], seconds: float) -> Seen:
        """See `Log`."""
        logs = {keys_of(run)[1].encode(): run for run in after}
        controls = {keys_of(run)[2].encode(): run for run in published}
        self._heard = {run: self._heard.get(run, b"0-0") for run in published}
        streams: dict[Any, Any] = {key: id_of(after[run]) for key, run in logs.items()}
        streams.update({key: self._heard[run] for key, run in controls.items()})
        streams[self._bell.encode()] = self._rung
        found = self._asked(lambda: self._waiter.xread(streams, count=COUNT, block=max(1, int(seconds * 1000))))
        records: dict[str, list[Record]] = {}
        stopped: list[str] = []
        for key, entries in _entries(found):
            if key in logs:
                records[logs[key]] = [record_of(*entry) for entry in entries]
            elif key in controls:
                stopped.append(controls[key])
                self._heard[controls[key]] = entries[-1][0]
            else:
                self._rung = entries[-1][0]
        return Seen(records, stopped)

    def wake(self) -> None:
        """See `Log`."""

        def ring() -> None:
            with self._client.pipeline(transaction=True) as pipeline:
                pipeline.xadd(self._bell, {"ring": "1"}, maxlen=1, approximate=False)
                pipeline.pexpire(self._bell, _WAKE_MILLISECONDS)
                pipeline.execute()

        try:
            self._asked(ring)
        except LogAwayError:
            return  # the waiting thread has noticed, too


def _redis_py() -> ModuleType:
    try:
        import redis  # noqa: PLC0415 - an extra
        import redis.backoff  # noqa: PLC0415
        import redis.retry  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "a relay in Redis or Valkey needs redis-py, which is not installed: pip install 'callbridge[redis]'", name="redis"
        ) from error
    return redis


def _brief(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__


def keys_of(run: str) -> list[str]:
    """Return the keys of a run: its state, its log, and the requests to it."""
    return [f"{{cb:{run}}}:{name}" for name in ("run", "log", "ctl")]


def id_of(position: Position) -> str:
    """Return a position as the id of an entry."""
    return "0-0" if position == BEGINNING else f"{position.attempt}-{position.seq}"


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for name, value in fields.items() for part in (name, int(value) if isinstance(value, bool) else value)]


def _refusal(answer: bytes) -> Refusal | None:
    text: Any = answer.decode()
    return text or None


def record_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Record:
    """Return the record in an entry."""
    attempt, seq = entry_id.split(b"-")
    return Record(int(attempt), int(seq), fields[b"e"].decode())


def _entries(reply: Any) -> Iterator[tuple[bytes, Any]]:
    """Return streams and their entries: RESP2 gives a list of pairs, RESP3 a dict of lists with one more list in them."""
    if isinstance(reply, Mapping):
        for key, batches in reply.items():
            yield key, batches[0] if batches and isinstance(batches[0], list) else batches
        return
    yield from reply or ()
