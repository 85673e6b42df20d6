"""The engines, each on the real thing; and workers in processes of their own.

Where a server is not installed, its tests skip; with `CALLBRIDGE_RELAY=required` they fail instead.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from failure_table import WRITES, Seen, Table, compare
from nursery import Nursery
from servers import REQUIRED, Server, missing

ENGINES = ("memory", "sqlite", "redis", "valkey")


def need(kind: str) -> None:
    """Skip, or fail, where a server is not here."""
    reason = missing(kind)
    if reason is not None:
        (pytest.fail if REQUIRED else pytest.skip)(reason)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """One server of each kind for all tests that do nothing to it."""
    started: dict[str, Server] = {}

    def get(kind: str) -> Server:
        need(kind)
        if kind not in started:
            started[kind] = Server(kind, tmp_path_factory.mktemp(kind))
        return started[kind]

    yield get
    for server in started.values():
        server.kill()


@pytest.fixture
def url_of(servers: Callable[[str], Server], tmp_path: Path) -> Callable[[str], str]:
    """Give the URL of an engine."""

    def get(engine: str) -> str:
        if engine == "memory":
            return f"memory:{uuid.uuid4().hex}"
        if engine == "sqlite":
            return f"sqlite:///{tmp_path / 'runs.db'}"
        return servers(engine).url

    return get


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """Give the URL of each engine in turn."""
    return url_of(request.param)


@pytest.fixture(params=ENGINES[1:])
def shared_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """Give the URL of each engine that several processes can use."""
    return url_of(request.param)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that a test may do anything to."""
    started: list[Server] = []

    def make(kind: str, *options: str) -> Server:
        need(kind)
        started.append(Server(kind, tmp_path, *options))
        return started[-1]

    yield make
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def failure_table() -> Iterator[Table]:
    """Collect what tests of failures see."""
    table = Table()
    yield table
    if WRITES:
        table.write()


@pytest.fixture
def seen(request: pytest.FixtureRequest, failure_table: Table) -> Iterator[Seen]:
    """Give an object that notes the outcome of a failure. The page must say the same."""
    marker = request.node.get_closest_marker("failure")
    (engine,) = [each for each in request.node.callspec.params.values() if each in ENGINES]
    noted = Seen(failure_table.of(marker), engine)
    yield noted
    if not WRITES:
        compare(noted)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What makes workers."""
    made = Nursery()
    yield made
    made.close()
