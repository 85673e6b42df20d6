"""`SQLiteLog`: the log of the processes of one machine, in a file, without a server.

In WAL mode, readers and the one writer do not wait for each other, and written data survives the death of any process.
Nothing announces a change that another process makes. So a process that waits looks every 20 ms, which costs some microseconds
each time.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from callbridge.errors import RelayAccessError, RelayUnreachableError
from callbridge.relay.log import LogAwayError
from callbridge.relay.records import Position, Record, RunState
from callbridge.relay.statelog import StateLog, Store

__all__ = ["SQLiteLog"]

LOOK_SECONDS: Final = 0.02
_LOCK_SECONDS: Final = 5.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, expires_at REAL NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_expire ON runs (expires_at);
CREATE TABLE IF NOT EXISTS records (run TEXT, attempt INTEGER, seq INTEGER, body TEXT NOT NULL,
    PRIMARY KEY (run, attempt, seq)) WITHOUT ROWID;
"""


class _Tables:
    """A `Store`: the tables in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._many = connection.executemany

    def get(self, run: str) -> RunState | None:
        row = self._run("SELECT state FROM runs WHERE run = ?", (run,)).fetchone()
        return None if row is None else RunState.read(run, json.loads(row[0]))

    def put(self, run: str, state: RunState) -> None:
        self._run("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run, state.expires_at, json.dumps(state.written())))

    def add(self, run: str, records: Sequence[Record]) -> None:
        self._many("INSERT INTO records VALUES (?, ?, ?, ?)", [(run, *record) for record in records])

    def drop_before(self, run: str, position: Position) -> None:
        self._run("DELETE FROM records WHERE run = ? AND attempt = ? AND seq < ?", (run, *position))

    def delete(self, run: str) -> None:
        self._run("DELETE FROM runs WHERE run = ?", (run,))
        self._run("DELETE FROM records WHERE run = ?", (run,))

    def runs(self) -> Sequence[str]:
        return [run for (run,) in self._run("SELECT run FROM runs")]

    def expired(self, now: float) -> Sequence[str]:
        return [run for (run,) in self._run("SELECT run FROM runs WHERE expires_at <= ?", (now,))]

    def read(self, run: str, after: Position, limit: int) -> list[Record]:
        rows = self._run(
            "SELECT attempt, seq, body FROM records WHERE run = ? AND (attempt, seq) > (?, ?) ORDER BY attempt, seq LIMIT ?",
            (run, *after, limit),
        )
        return [Record(*row) for row in rows]


class SQLiteLog(StateLog):
    """A log in a file.

    Args:
        path: The file. It is created if it does not exist.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"sqlite:///{path}", time.time)  # all processes of a machine share its clock
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._is_closed = True
        self._looker: sqlite3.Connection | None = None
        self._version = -1
        self._woken = threading.Event()

    def open(self) -> None:
        """See `Log`.

        Raises:
            RelayUnreachableError: The file does not exist and cannot be created, or is not a database.
            RelayAccessError: You may not write the file.
        """
        self._is_closed = False
        folder = Path(self._path).absolute().parent
        if not folder.is_dir():
            raise RelayUnreachableError(self.url, f"there is no folder {str(folder)!r}; make it, or name another file")
        try:
            with self._connection() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_TABLES)
        except (sqlite3.Error, LogAwayError) as error:
            self.close()
            if "readonly" in str(error) or "unable to open" in str(error):
                raise RelayAccessError(self.url, f"the file cannot be written ({error}); see its permissions") from error
            raise RelayUnreachableError(self.url, f"the file cannot be used ({error}); name another one") from error

    def close(self) -> None:
        """See `Log`."""
        self._is_closed = True
        self._woken.set()
        with self._idle_lock:
            idle, self._idle = [*self._idle, *([self._looker] if self._looker is not None else [])], []
            self._looker = None
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection, to one call at a time."""
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = _connect(self._path)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._idle_lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Store]:
        try:
            with self._connection() as connection:
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    yield _Tables(connection)
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:  # locked for too long, the disk is full, the file is gone
            raise LogAwayError(str(error)) from error

    def _pause(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._has_changed():
                return True
            if self._woken.wait(min(LOOK_SECONDS, left)):
                self._woken.clear()
                return False
        return False

    def _has_changed(self) -> bool:
        with self._idle_lock:
            if self._is_closed:
                return True
            if self._looker is None:
                self._looker = _connect(self._path)
            (version,) = self._looker.execute("PRAGMA data_version").fetchone()
        changed = bool(version != self._version)
        self._version = version
        return changed

    def wake(self) -> None:
        """See `Log`."""
        self._woken.set()


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:  # the file is not a database
        connection.close()
        raise
    return connection
