"""What a log holds: positions, records, and the state of a run. This is only data: nothing here waits or asks for the time.

A position counts the events of one attempt to publish a run, from 1, without gaps. The end of an attempt is a record too, at
`END`, behind every event there can be. It says how the attempt ended and how many events it had.

```
1-1  1-2  1-3 … 1-57  1-END        the first attempt: lost after 57 events
2-1  2-2  2-3 … 2-90  2-END        the second one: ended
```
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from callbridge.errors import PositionError, RecordVersionError, RunIdError

__all__ = [
    "BEGINNING",
    "END",
    "LIVE",
    "SCHEMA",
    "Ending",
    "Policy",
    "Position",
    "Record",
    "RunState",
    "Status",
    "check_run",
    "make_run",
    "parse_position",
]

SCHEMA: Final = 1
"""The version that is written, and the newest one that is read."""

END: Final = 2**63 - 1
"""Where the record of an attempt's end is: at SQLite's highest number, behind every event."""

Status: TypeAlias = Literal["queued", "running", "ended", "failed", "stopped", "lost", "limited"]
"""The status of a run: announced, being published, or how it ended."""

LIVE: Final = ("queued", "running")
"""The status of a run before its end."""

_RUN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_POSITION: Final = re.compile(r"(\d{1,9})-(\d{1,18})(?:~([0-9a-f]{8}))?")


class Position(NamedTuple):
    """A place in the events of a run: behind event `seq` of an attempt."""

    attempt: int
    seq: int

    def shown(self, run: str) -> str:
        """Return it in the form that users get. It names its run, so a position of another run is recognized."""
        return f"{self.attempt}-{self.seq}~{_tag(run)}"


BEGINNING: Final = Position(0, 0)


class Record(NamedTuple):
    """An event of a run as JSON, or the end of an attempt."""

    attempt: int
    seq: int
    body: str

    @property
    def position(self) -> Position:
        """Its position."""
        return Position(self.attempt, self.seq)


class Ending(NamedTuple):
    """How an attempt ended."""

    status: Status
    events: int
    """How many events it had."""

    error: dict[str, str] | None = None
    """If it failed: the `type` of the error, and the `message` if readers may know it."""

    def written(self) -> str:
        """Return it as the body of a record."""
        return json.dumps({"v": SCHEMA, "status": self.status, "count": self.events, "error": self.error})

    @classmethod
    def read(cls, run: str, body: str) -> Ending:
        """Return the ending in a record.

        Raises:
            RecordVersionError: A newer version has written it.
        """
        content = json.loads(body)
        check_version(run, content.get("v", SCHEMA))
        return cls(content["status"], content["count"], content.get("error"))


@dataclass(frozen=True)
class Policy:
    """How a publisher keeps its run. In seconds, events and bytes."""

    lease_seconds: float = 15
    keep_seconds: float = 3600
    orphan_seconds: float = 86400
    max_events: int = 100_000
    max_bytes: int = 64 * 2**20
    on_limit: Literal["fail", "trim"] = "fail"


@dataclass
class RunState:
    """What the log knows of a run besides its records. Times are in seconds, by the log's own clock."""

    version: int = SCHEMA
    status: Status = "queued"
    attempt: int = 0
    """The number of the last attempt, from 1. If it is 0, none has begun."""

    owner: str = ""
    """The publisher. It differs from any other that claims the run, and is the same if it claims the run again."""

    count: int = 0
    bytes: int = 0
    first: int = 1
    """The first event of the attempt that the log still has."""

    beat: int = 0
    """How many times the lease was renewed."""

    renewed_at: float = 0.0
    announced_at: float = 0.0
    start_by: float = 0.0
    stop: bool = False
    expires_at: float = 0.0
    lease_seconds: float = 15
    keep_seconds: float = 3600
    orphan_seconds: float = 86400
    max_events: int = 0
    max_bytes: int = 0
    on_limit: str = "fail"
    now: float = 0.0
    """When this was read."""

    @property
    def position(self) -> Position:
        """The position of its last event."""
        return Position(self.attempt, self.count)

    @property
    def is_overdue(self) -> bool:
        """Whether a run has not begun in time, or its lease has run out by the log's clock."""
        if self.status == "queued":
            return self.now > self.start_by
        return self.status == "running" and self.now > self.renewed_at + self.lease_seconds

    def with_policy(self, policy: Policy) -> RunState:
        """Return it with the policy that a publisher has chosen."""
        return replace(self, **asdict(policy))

    def written(self) -> dict[str, Any]:
        """Return it as plain values, by name."""
        return asdict(self)

    @classmethod
    def read(cls, run: str, content: dict[str, Any]) -> RunState:
        """Return the state that plain values, or their text, describe.

        Raises:
            RecordVersionError: A newer version has written them.
        """
        check_version(run, int(content.get("version", SCHEMA)))
        state, readers = cls(), _READERS
        for field in fields(cls):
            if field.name in content:
                setattr(state, field.name, readers[str(field.type)](content[field.name]))
        return state


def _flag(value: Any) -> bool:
    return value in (True, "1", 1)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {"int": int, "float": float, "str": str, "bool": _flag, "Status": str}
)


def check_version(run: str, version: int) -> None:
    """Check that this version can read what another one has written.

    Raises:
        RecordVersionError: The other version is newer.
    """
    if version > SCHEMA:
        problem = f"its log is of version {version}, and this callbridge reads up to {SCHEMA}; install a newer callbridge here"
        raise RecordVersionError(run, problem)


def make_run() -> str:
    """Return the id of a new run. Nobody can guess it, and everybody who knows it may read the run."""
    return f"r_{secrets.token_urlsafe(24)}"


def check_run(run: object) -> str:
    """Return an id.

    Raises:
        RunIdError: No run may have this id.
    """
    if not isinstance(run, str) or _RUN.fullmatch(run) is None:
        raise RunIdError("run", run, "1 to 128 of A-Z a-z 0-9 _ . : -, such as `relay.announce()` returns")
    return run


def parse_position(run: str, text: object) -> Position:
    """Return the position that a text names.

    Raises:
        PositionError: The text is not a position, or names one in another run.
    """
    match = _POSITION.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[2]) >= END:
        raise PositionError("after", text, "None, or a `.position` of a follower of this run, such as '1-12~0a1b2c3d'")
    if match[3] is not None and match[3] != _tag(run):
        raise PositionError("after", text, f"a position in the events of run {run!r}; this one is of another run")
    return Position(int(match[1]), int(match[2]))


def _tag(run: str) -> str:
    return sha256(run.encode()).hexdigest()[:8]
