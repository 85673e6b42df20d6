"""`log_at`: the engine that a URL names."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from callbridge.errors import RelayURLError
from callbridge.relay.log import Log

__all__ = ["hidden", "log_at"]

_EXPECTED: Final = (
    "memory:, sqlite:///PATH, redis://HOST[:PORT][/DB], rediss://…, unix:///SOCKET or redis+cluster://HOST[:PORT]"
)
_SECRETS: Final = (
    (re.compile(r"(?<=//)([^/@:]*):[^/]*@"), r"\1:***@"),
    (re.compile(r"([?&](?:password|username|ssl_password)=)[^&]*", re.IGNORECASE), r"\1***"),
)


def hidden(url: str) -> str:
    """Return a URL as it may be shown."""
    for pattern, shown in _SECRETS:
        url = pattern.sub(shown, url)
    return url


def log_at(url: object) -> Log:
    """Return the engine at a URL. It is not connected yet.

    Raises:
        RelayURLError: The URL does not name an engine.
    """
    if not isinstance(url, str):
        raise RelayURLError("url", url, _EXPECTED)
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and re.fullmatch(r"[\w.-]*", rest):
        from callbridge.relay.memory import MemoryLog  # noqa: PLC0415 - import only the engine in use

        return MemoryLog(rest)
    if scheme == "sqlite" and rest.startswith("///") and rest != "///":
        from callbridge.relay.sqlite import SQLiteLog  # noqa: PLC0415

        return SQLiteLog(rest[3:])
    if scheme in ("redis", "rediss", "unix") and _is_address(url):
        from callbridge.relay.redis import RedisLog  # noqa: PLC0415

        return RedisLog(url, hidden(url))
    if scheme in ("redis+cluster", "rediss+cluster") and _is_address(url):
        from callbridge.relay.cluster import ClusterLog  # noqa: PLC0415

        return ClusterLog(url, hidden(url))
    raise RelayURLError("url", hidden(url), _EXPECTED)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.path if parts.scheme == "unix" else parts.hostname)
