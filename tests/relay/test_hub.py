"""The thread that reads the log for all followers of a process."""

from __future__ import annotations

import threading

import anyio
import pytest
from made import Gated, events, until

from callbridge.relay import connect

pytestmark = pytest.mark.anyio


async def test_a_follower_may_be_collected_where_the_hub_is_at_work() -> None:
    """The garbage collector runs in any thread, at any line: in the hub's own, too, with the lock that leaving takes."""
    gated = Gated(events(10))
    async with connect("memory:") as relay, anyio.create_task_group() as group:
        run = await relay.announce()
        group.start_soon(relay.publish, run, gated.stream())
        kept = [relay.follow(run)]
        async with anyio.create_task_group() as reading:
            reading.start_soon(kept[0].__anext__)
            await until(lambda: relay._tools is not None and relay._tools.hub.listeners() == 1)
            gated.let(1)
        assert relay._tools is not None
        hub = relay._tools.hub

        def collect() -> None:
            with hub._lock:
                kept.clear()

        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        await anyio.to_thread.run_sync(thread.join, 20)
        assert not thread.is_alive()
        assert hub.listeners() == 0
        gated.let(9)
