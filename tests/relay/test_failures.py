"""What readers see when workers, servers and connections fail: real ones, each in a process of its own."""

from __future__ import annotations

import ast
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from failure_table import COMMAND, Row, Seen, compare, shown
from made import Gated, events, read, until
from nursery import Nursery
from proxy import Proxy
from servers import Server

import callbridge
from callbridge.relay import connect
from callbridge.relay.records import Policy, Position
from callbridge.relay.redis import RedisLog

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]  # servers and workers that are killed, and leases that run out

POINTS = 50 if os.environ.get("CALLBRIDGE_RELAY_POINTS") == "all" else 3
"""At how many random points a worker is killed, for each engine; `CALLBRIDGE_RELAY_POINTS=all` kills at 50."""

PATIENCE = 60
"""Seconds; a safety net."""


def is_prefix(found: list[Any], count: int) -> bool:
    """Whether events are the first ones of a run of so many, without holes."""
    chunks = [event["data"]["chunk"].content for event in found[1:] if event["event"] == "on_chain_stream"]
    return chunks == [f"tea {number}" for number in range(len(chunks))] and len(found) <= count


async def outcome_of(path: Path) -> str:
    """Return how a worker came out."""
    await until(path.exists, PATIENCE)
    return path.read_text(encoding="utf-8")


@pytest.mark.failure("the worker is killed, anywhere", "a prefix without holes, then {}, all the same")
@pytest.mark.parametrize("point", range(POINTS))
async def test_a_worker_that_is_killed_anywhere_is_lost_to_all_readers_alike(
    shared_url: str, nursery: Nursery, point: int, seen: Seen
) -> None:
    lease = 0.9
    made = 400 if point % 2 else 3000
    async with connect(shared_url) as relay:
        run = await relay.announce()
        ends: list[tuple[int, str, float]] = []

        async def follow() -> None:
            found, how = await read(relay, run)
            assert is_prefix(found, made)
            ends.append((len(found), how, time.monotonic()))

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(follow)
            pid = nursery.make(shared_url, run, made=made, pause=0.002 if point % 2 else 0, lease_seconds=lease)
            await until(lambda: _is(relay, run, "running"))
            await anyio.sleep(random.Random(point).uniform(0, 0.25))
            killed = time.monotonic()
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(pid, signal.SIGKILL)
        assert len({end[:2] for end in ends}) == 1
        assert ends[0][1] in ("RunLostError", "ended")  # it may have been quicker
        late = [await read(relay, run), await read(relay, run)]
        assert {(len(found), how) for found, how in late} == {ends[0][:2]}
        assert await relay.status(run) == ("lost" if ends[0][1] == "RunLostError" else "ended")
        assert ends[0][2] - killed < PATIENCE
        if ends[0][1] != "ended":
            seen.readers(ends[0][1])


async def _is(relay: Any, run: str, *statuses: str) -> bool:
    return await relay.status(run) in statuses


async def test_status_alone_finds_a_dead_worker(shared_url: str, nursery: Nursery) -> None:
    async with connect(shared_url) as relay:
        run = await relay.announce()
        pid = nursery.make(shared_url, run, made=100, pause=0.05, lease_seconds=0.6)
        await until(lambda: _is(relay, run, "running"))
        os.kill(pid, signal.SIGKILL)
        await until(lambda: _is(relay, run, "lost"))


@pytest.mark.failure("its loop is blocked by sync code for longer than the lease", "{}: a thread keeps the lease")
async def test_a_worker_whose_loop_is_blocked_is_not_lost(
    shared_url: str, nursery: Nursery, tmp_path: Path, seen: Seen
) -> None:
    outcome = tmp_path / "outcome"
    async with connect(shared_url) as relay:
        run = await relay.announce()
        nursery.make(shared_url, run, made=20, block=3.6, lease_seconds=1.2, outcome=str(outcome))
        found, how = await read(relay, run)
    assert (len(found), how) == (20, "ended")
    assert await outcome_of(outcome) == "done"
    seen.readers(how)
    seen.worker("done")


async def stop_between_writes(pid: int, url: str) -> None:
    """Stop a process, but not while it holds SQLite's lock, for which all others would have to wait until it goes on."""
    path = url.removeprefix("sqlite:///")
    while True:
        os.kill(pid, signal.SIGSTOP)
        if path == url or is_free(path):
            return
        os.kill(pid, signal.SIGCONT)
        await anyio.sleep(0.01)


def is_free(path: str) -> bool:
    """Return whether nobody holds the lock of a file of SQLite."""
    with contextlib.closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


@pytest.mark.failure(
    "it stands still for longer than the lease (SIGSTOP, a paused machine)",
    "{}; the next attempt is whole",
    "{}; its writes are refused",
)
async def test_a_zombie_is_fenced_and_its_successor_is_whole(
    shared_url: str, nursery: Nursery, tmp_path: Path, seen: Seen
) -> None:
    zombie, successor = tmp_path / "zombie", tmp_path / "successor"
    async with connect(shared_url) as relay:
        run = await relay.announce()
        options: dict[str, Any] = {"made": 60, "pause": 0.02, "lease_seconds": 0.6}
        pid = nursery.make(shared_url, run, outcome=str(zombie), **options)
        follower = relay.follow(run)
        await anext(follower)
        await stop_between_writes(pid, shared_url)
        try:
            with pytest.raises(callbridge.RunLostError):
                async for _ in follower:
                    pass
            nursery.make(shared_url, run, restart=True, outcome=str(successor), **options)
            await until(lambda: _is(relay, run, "running", "ended"))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await outcome_of(zombie) == "LeaseLostError"
        seen.readers("RunLostError")
        seen.worker("LeaseLostError")
        assert await outcome_of(successor) == "done"
        found, how = await read(relay, run)
        assert (len(found), how) == (60, "ended")
        assert is_prefix(found, 60)


@pytest.mark.failure(
    "the job of a worker that was killed is delivered once more, with `restart=True`",
    "a reader that comes then: {}; the new attempt is whole",
    "the second one: {}, or `RunTakenError` before the lease has run out",
)
async def test_a_dead_attempt_is_taken_over_without_a_reader(
    shared_url: str, nursery: Nursery, tmp_path: Path, seen: Seen
) -> None:
    """A job queue delivers once more what a worker has not acknowledged."""
    outcome = tmp_path / "outcome"
    async with connect(shared_url) as relay:
        run = await relay.announce()
        pid = nursery.make(shared_url, run, made=200, pause=0.02, lease_seconds=0.6)
        await until(lambda: _is(relay, run, "running"))
        os.kill(pid, signal.SIGKILL)
        await anyio.sleep(0.7)
        nursery.make(shared_url, run, made=10, restart=True, lease_seconds=0.6, outcome=str(outcome))
        if await outcome_of(outcome) == "RunTakenError":  # it came before the lease had run out, and comes again
            outcome.unlink()
            nursery.make(shared_url, run, made=10, restart=True, lease_seconds=0.6, outcome=str(outcome))
            assert await outcome_of(outcome) == "done"
        found, how = await read(relay, run)
        assert len(found) == 10
        seen.readers(how)
        seen.worker("done")


@pytest.mark.failure("a job is delivered twice", worker="the second one: {}")
async def test_of_two_workers_with_one_id_one_publishes(shared_url: str, nursery: Nursery, tmp_path: Path, seen: Seen) -> None:
    async with connect(shared_url) as relay:
        run = await relay.announce()
        outcomes = [tmp_path / str(number) for number in range(4)]
        for number, path in enumerate(outcomes):
            nursery.make(shared_url, run, "sync" if number % 2 else "publish", made=30, outcome=str(path))
        found, how = await read(relay, run)
        assert (len(found), how) == (30, "ended")
        ways = sorted([await outcome_of(path) for path in outcomes])
        assert ways == ["RunTakenError"] * 3 + ["done"]
        seen.readers(how)
        seen.worker(*ways[:3])


@pytest.mark.failure("somebody stops it", worker="{}, within a second; sync code at its next callback")
async def test_stopping_reaches_a_worker_in_another_process(
    shared_url: str, nursery: Nursery, tmp_path: Path, seen: Seen
) -> None:
    outcome = tmp_path / "outcome"
    async with connect(shared_url) as relay:
        run = await relay.announce()
        nursery.make(shared_url, run, made=5000, pause=0.02, outcome=str(outcome))
        follower = relay.follow(run)
        await anext(follower)
        await relay.stop(run)
        with pytest.raises(callbridge.RunStoppedError):
            async for _ in follower:
                pass
        assert await outcome_of(outcome) == "RunStoppedError"
        seen.readers("RunStoppedError")
        seen.worker("RunStoppedError")


async def test_five_processes_of_forty_readers_of_which_a_third_leaves(
    shared_url: str, nursery: Nursery, tmp_path: Path
) -> None:
    async with connect(shared_url) as relay:
        run = await relay.announce()
        outcomes = [tmp_path / str(number) for number in range(5)]
        for path in outcomes:
            nursery.make(shared_url, run, "count", readers=40, leaves=13, outcome=str(path))
        await relay.publish(run, events(60))
        assert [await outcome_of(path) for path in outcomes] == ["[60]"] * 5


# -- servers ----------------------------------------------------------------------------------------------------------

SERVERS = ("redis", "valkey")


@pytest.mark.parametrize("kind", SERVERS)
async def test_two_hundred_followers_of_a_process_have_one_connection_that_waits(
    servers: Callable[[str], Server], kind: str
) -> None:
    server = servers(kind)
    made = events(50)
    counts: list[int] = []
    async with connect(server.url) as relay:
        run = await relay.announce()

        async def follow() -> None:
            counts.append(len([event async for event in relay.follow(run)]))

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(follow)
            await until(lambda: relay._tools is not None and relay._tools.hub.listeners() == 200)
            client: Any = server.client()
            waiting = [each for each in client.client_list() if each["cmd"] == "xread"]
            client.close()
            await relay.publish(run, made)
        assert counts == [50] * 200
        assert len(waiting) <= 1 + 1  # and one of another test, perhaps


@pytest.mark.failure("the server is killed, and started again with its append-only file", "{} but a pause", "{} but a pause")
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_is_killed_and_has_a_file_loses_nothing(
    make_server: Callable[..., Server], kind: str, seen: Seen
) -> None:
    server = make_server(kind, "--appendonly", "yes", "--appendfsync", "always")
    made = events(300)
    gated = Gated(made)
    async with connect(server.url, lease_seconds=2, outage_seconds=60) as relay:
        run = await relay.announce()
        found: list[Any] = []
        results: list[Any] = []

        async def follow() -> None:
            async for event in relay.follow(run):
                found.append(event)

        async def publish() -> None:
            results.append(await relay.publish(run, gated.stream()))

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(publish)
            for _ in range(2):
                gated.let(100)
                await until(lambda: len(found) >= 20)
                server.kill()
                gated.let(20)
                await anyio.sleep(3)  # longer than the lease
                server.start()
            gated.let(60)
        assert found == made
        assert results == ["done"]
        assert await read(relay, run) == (made, "ended")
        seen.readers("ended")
        seen.worker(*results)


@pytest.mark.failure("the same without the file")
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_forgets_leaves_nobody_waiting(make_server: Callable[..., Server], kind: str, seen: Seen) -> None:
    server = make_server(kind)
    gated = Gated(events(50))
    async with connect(server.url, lease_seconds=0.9, outage_seconds=60) as relay:
        run = await relay.announce()
        ends: list[str] = []

        async def follow() -> None:
            ends.append((await read(relay, run))[1])

        async def publish() -> None:
            with pytest.raises(callbridge.LeaseLostError, match="gone"):
                await relay.publish(run, gated.stream())

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(publish)
            gated.let(10)
            await until(lambda: _events(relay, run, 10))
            server.kill()
            server.start()
        assert ends == ["RelayGapError"]
        assert gated.left
        seen.readers(*ends)
        seen.worker("LeaseLostError")


async def _events(relay: Any, run: str, count: int) -> bool:
    return any(each.run == run and each.events >= count for each in await relay.runs())


@pytest.mark.parametrize(
    "on_outage",
    [
        pytest.param("fail", marks=pytest.mark.failure("the server is away for longer than `outage_seconds`")),
        pytest.param("detach", marks=pytest.mark.failure('the same with `on_outage="detach"`')),
    ],
)
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_stays_away(make_server: Callable[..., Server], kind: str, on_outage: Any, seen: Seen) -> None:
    server = make_server(kind)
    gated = Gated(events(50))
    async with connect(server.url, lease_seconds=1, outage_seconds=0.5, on_outage=on_outage) as relay:
        run = await relay.announce()
        ends: list[str] = []
        results: list[Any] = []

        async def follow() -> None:
            ends.append((await read(relay, run))[1])

        async def publish() -> None:
            try:
                results.append(await relay.publish(run, gated.stream()))
            except callbridge.RelayUnreachableError as error:
                results.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(publish)
            gated.let(10)
            await until(lambda: _events(relay, run, 10))
            server.kill()
            gated.let(10)
            if on_outage == "detach":
                await until(lambda: bool(ends))
            gated.let(30)
        assert ends == ["RelayUnreachableError"]
        assert gated.left
        if on_outage == "detach":
            assert results == ["done"]
        else:
            assert "outage_seconds" in str(results[0])
        seen.readers(*ends)
        seen.worker(*("done" if each == "done" else type(each).__name__ for each in results))


@pytest.mark.failure("the server is out of memory", "a prefix without holes, then {}", "{} that says why")
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_without_memory_leaves_no_hole(make_server: Callable[..., Server], kind: str, seen: Seen) -> None:
    server = make_server(kind, "--maxmemory", "6mb", "--maxmemory-policy", "noeviction")
    async with connect(server.url, lease_seconds=0.9, outage_seconds=0.5) as relay:
        run = await relay.announce()
        with pytest.raises(callbridge.RelayUnreachableError, match="maxmemory"):
            await relay.publish(run, events(12_000, text="tea " * 200))
        client: Any = server.client()
        client.config_set("maxmemory", "200mb")
        client.close()
        found, how = await read(relay, run)
        seen.readers(how)
        seen.worker("RelayUnreachableError")
        assert [event["data"]["chunk"].content[-len(str(number)) :] for number, event in enumerate(found[1:])] == [
            str(number) for number in range(len(found) - 1)
        ]


@pytest.mark.failure(
    "the server stands still for longer than the lease, and for less than `outage_seconds`", "{} but a pause", "{} but a pause"
)
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_stands_still_costs_no_healthy_run(
    make_server: Callable[..., Server], kind: str, seen: Seen
) -> None:
    server = make_server(kind)
    made = events(40)
    gated = Gated(made)
    async with connect(server.url, lease_seconds=3, outage_seconds=60) as relay:
        run = await relay.announce()
        found: list[Any] = []
        results: list[Any] = []

        async def follow() -> None:
            async for event in relay.follow(run):
                found.append(event)

        async def publish() -> None:
            results.append(await relay.publish(run, gated.stream()))

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(publish)
            gated.let(20)
            await until(lambda: len(found) == 20)
            server.pause()
            await anyio.sleep(4)
            server.resume()
            gated.let(20)
        assert found == made
        assert results == ["done"]
        seen.readers("ended")
        seen.worker(*results)


@pytest.mark.failure("a connection is cut at any byte of a request or a reply")
@pytest.mark.parametrize("kind", SERVERS)
def test_a_connection_that_is_cut_at_every_byte_costs_and_doubles_nothing(
    servers: Callable[[str], Server], kind: str, seen: Seen
) -> None:
    server = servers(kind)
    proxy = Proxy(server.port)
    log = RedisLog(f"redis://127.0.0.1:{proxy.port}/0", "redis://proxy")
    direct = RedisLog(server.url, server.url)
    log.open()
    direct.open()
    run = f"cut-{kind}-{os.getpid()}"
    expected: list[str] = []
    try:
        log.announce(run, "a", 600, Policy())
        assert log.claim(run, "a", Policy(), restart=False).is_granted
        for direction, most in (("request", 600), ("reply", 40)):
            for count in range(most):
                bodies = [f"{direction} {count} {number}" for number in range(3)]
                cuts = proxy.cuts
                proxy.cut_after(direction, count)
                _insist(partial(log.append, run, 1, len(expected) + 1, bodies))
                expected += bodies
                if proxy.cuts == cuts:
                    break  # there were fewer bytes
            else:
                pytest.fail(f"a {direction} of more than {most} bytes")
            assert count > 3
        found = direct.read(run, Position(1, 0), 10_000)
        assert [record.body for record in found] == expected
        assert [record.seq for record in found] == list(range(1, len(expected) + 1))
        seen.readers("ended")
        seen.worker("done")
    finally:
        direct.forget(run)
        log.close()
        direct.close()
        proxy.close()


def _insist(call: Callable[[], Any]) -> None:
    from callbridge.relay.patience import insist

    assert insist(call, "redis://proxy", PATIENCE) is None


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("kind", SERVERS)
async def test_both_protocols_of_servers_are_spoken(servers: Callable[[str], Server], kind: str, protocol: int) -> None:
    made = events(30)
    gated = Gated(made)
    async with connect(f"{servers(kind).url}?protocol={protocol}") as relay:
        run = await relay.announce()
        found: list[Any] = []

        async def follow() -> None:
            with suppress(callbridge.RunStoppedError):
                async for event in relay.follow(run):
                    found.append(event)

        async def publish() -> None:
            with pytest.raises(callbridge.RunStoppedError):
                await relay.publish(run, gated.stream())

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(publish)
            gated.let(20)
            await until(lambda: len(found) == 20)
            await relay.stop(run)
        assert found == made[:20]


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_of_the_page_has_the_rows_of_the_tests_and_no_others() -> None:
    marked = [
        ast.literal_eval(call.args[0])
        for path in sorted(Path(__file__).parent.glob("test_*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.failure"
    ]
    assert sorted(row[0] for row in shown()) == sorted(marked), COMMAND


def test_a_row_that_is_no_longer_true_fails_the_test_that_saw_it() -> None:
    row = Row("a job is delivered twice", worker="the second one: {}")
    seen = Seen(row, "redis")
    seen.readers("ended")
    seen.worker("RunTakenError")
    compare(seen)
    seen.readers("RunLostError")
    with pytest.raises(AssertionError, match="stale"):
        compare(seen)
