"""Runs in a real cluster of three nodes: what is said of sharding in `docs/relay.md`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from made import Gated, events, read
from servers import REQUIRED, Cluster, missing
from test_log_model import check

import callbridge
from callbridge.relay import connect
from callbridge.relay.cluster import ClusterLog
from callbridge.relay.redis import keys_of

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]  # servers that have to find each other


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes of whichever server is here."""
    kind = "redis" if missing("redis") is None else "valkey"
    reason = missing(kind)
    if reason is not None:
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    made = Cluster(kind, tmp_path_factory.mktemp("cluster"), 3)
    yield made
    made.kill()


async def test_runs_are_spread_over_the_nodes_and_read_from_all_of_them_at_once(cluster: Cluster) -> None:
    made = events(40)
    ends: dict[str, Any] = {}
    async with (
        connect(cluster.url) as web,
        connect(cluster.url.replace(str(cluster.nodes[0].port), str(cluster.nodes[2].port))) as worker,
    ):
        runs = [await web.announce() for _ in range(12)]

        async def follow(run: str) -> None:
            ends[run] = await read(web, run)

        async with anyio.create_task_group() as group:
            for run in runs:
                group.start_soon(follow, run)
                group.start_soon(worker.publish, run, made)
        assert list(ends.values()) == [(made, "ended")] * len(runs)
        assert {each.run for each in await web.runs()} >= set(runs)
        held = [len(clients_keys(node)) for node in cluster.nodes]
        assert sum(held) >= 2 * len(runs)
        assert sum(count > 0 for count in held) >= 2
        for run in runs:
            await web.forget(run)
        assert [len(clients_keys(node)) for node in cluster.nodes] == [0, 0, 0]


def clients_keys(node: Any) -> list[bytes]:
    """Return the keys that a node has itself."""
    client = node.client()
    found: list[bytes] = client.keys("*")
    client.close()
    return found


def test_the_keys_of_a_run_share_a_slot_and_those_of_others_do_not(cluster: Cluster) -> None:
    client: Any = cluster.nodes[0].client()
    slots = [{client.execute_command("CLUSTER", "KEYSLOT", key) for key in keys_of(f"run-{number}")} for number in range(50)]
    client.close()
    assert {len(each) for each in slots} == {1}
    assert len(set.union(*slots)) > 40


async def test_stopping_reaches_the_publisher_and_all_readers(cluster: Cluster) -> None:
    gated = Gated(events(30))
    async with connect(cluster.url) as web, connect(cluster.url) as worker:
        run = await web.announce()
        ends: list[Any] = []

        async def follow() -> None:
            ends.append(await read(web, run))

        async def publish() -> None:
            with pytest.raises(callbridge.RunStoppedError):
                await worker.publish(run, gated.stream())

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(follow)
            group.start_soon(publish)
            gated.let(10)
            follower = web.follow(run)
            for _ in range(10):
                await anext(follower)
            await web.stop(run)
        assert [(len(found), how) for found, how in ends] == [(10, "RunStoppedError")] * 2
        assert gated.left
        await web.forget(run)


def test_a_cluster_is_the_model(cluster: Cluster) -> None:
    url = cluster.url
    check(lambda: ClusterLog(url, url), 4)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_node_of_a_cluster_is_taken_for_what_it_is(kind: str, tmp_path: Path) -> None:
    reason = missing(kind)
    if reason is not None:
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    alone = Cluster(kind, tmp_path, 1)
    try:
        with pytest.raises(callbridge.RelayUnreachableError, match=r"node of a cluster; write redis\+cluster://"):
            connect(alone.nodes[0].url).__enter__()
    finally:
        alone.kill()


def test_a_server_that_is_no_cluster_is_told(servers: Any) -> None:
    kind = "redis" if missing("redis") is None else "valkey"
    url = servers(kind).url.replace("redis:", "redis+cluster:")
    with pytest.raises(callbridge.RelayUnreachableError, match="no cluster answers there"):
        connect(url).__enter__()
