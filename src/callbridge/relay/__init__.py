"""Runs published in one process and followed in any other: a log of events between workers and web servers.

Names are resolved on first use, as in `callbridge` itself, so the import costs nothing.

```python
async with callbridge.relay.connect("sqlite:///runs.db") as relay:
    run = await relay.announce()
    answer = await relay.publish(run, callbridge.astream_events(chain, {"drink": "tea"}))  # in a worker
    async for event in relay.follow(run):  # anywhere
        print(event["event"])
```
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from callbridge.relay.follow import Follower
    from callbridge.relay.records import Status
    from callbridge.relay.relay import Relay, RunSummary, connect

__all__ = ["Follower", "Relay", "RunSummary", "Status", "connect"]

_HOMES = MappingProxyType(
    {"Follower": "follow", "Relay": "relay", "RunSummary": "relay", "Status": "records", "connect": "relay"}
)


def __getattr__(name: str) -> Any:
    """Resolve a public name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
