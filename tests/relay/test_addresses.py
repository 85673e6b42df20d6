"""Bad input: each has an error of its own that names the value and the cure; secrets are hidden; nothing is half-started."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made import events
from servers import Server, free_port

import callbridge
from callbridge.relay import connect
from callbridge.relay.redis import RedisLog


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kafka://x",
        "sqlite://runs.db",
        "sqlite:///",
        "memory://x/y",
        "redis://",
        "redis://h:port",
        "unix://",
        "http://x",
        None,
    ],
)
def test_a_url_that_names_no_engine(url: Any) -> None:
    with pytest.raises(callbridge.RelayURLError, match="expected memory:, sqlite:///PATH, redis://") as error:
        connect(url)
    assert repr(url) in str(error.value)


def test_secrets_are_hidden() -> None:
    port = free_port()
    for url in (f"redis://tea:hunter2@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0?password=hunter2"):
        relay = connect(url, outage_seconds=0)
        assert "hunter2" not in relay.url + repr(relay)
        with pytest.raises(callbridge.RelayUnreachableError, match=r"127\.0\.0\.1") as error:
            relay.announce_sync()
        assert "hunter2" not in str(error.value)
    with pytest.raises(callbridge.RelayURLError) as wrong:
        connect("kafka://tea:hunter2@host")
    assert "hunter2" not in str(wrong.value)


def test_a_server_that_is_not_there() -> None:
    before = threading.active_count()
    with pytest.raises(callbridge.RelayUnreachableError, match="start one"), connect(f"redis://127.0.0.1:{free_port()}"):
        pass
    assert threading.active_count() == before


def test_a_folder_that_is_not_there_and_a_file_that_is_no_database(tmp_path: Path) -> None:
    with (
        pytest.raises(callbridge.RelayUnreachableError, match="there is no folder"),
        connect(f"sqlite:///{tmp_path}/no/runs.db"),
    ):
        pass
    (tmp_path / "text").write_text("tea" * 1000, encoding="utf-8")
    with pytest.raises(callbridge.RelayUnreachableError, match="cannot be used"), connect(f"sqlite:///{tmp_path}/text"):
        pass


def test_a_server_that_refuses_the_password(make_server: Callable[..., Server]) -> None:
    server = make_server("redis", "--requirepass", "hunter2")
    with pytest.raises(callbridge.RelayAccessError, match="refuses") as error, connect(server.url):
        pass
    assert "hunter2" not in str(error.value)
    with pytest.raises(callbridge.RelayAccessError, match="refuses"), connect(server.url.replace("//", "//:wrong@")):
        pass
    with connect(server.url.replace("//", "//:hunter2@")) as relay:
        run = relay.announce_sync()
        assert relay.publish_sync(run, events(3)) == "done"


def test_a_server_that_is_too_old(servers: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers("redis")
    monkeypatch.setattr("callbridge.relay.redis.OLDEST", (99, 0))  # the oldest server that Debian has is too new
    with pytest.raises(callbridge.RelayVersionError, match=r"version 7\.\d.*99\.0"), connect(server.url):
        pass


@pytest.mark.parametrize("run", ["", "a b", "x" * 129, "é", "a/b", "{x}", 7, None])
def test_an_id_that_is_not_allowed(run: Any, tmp_path: Path) -> None:
    with connect(f"memory:{tmp_path.name}") as relay:
        for call in (relay.follow, relay.stop_sync, relay.status_sync, relay.forget_sync):
            with pytest.raises(callbridge.RunIdError, match="1 to 128 of"):
                call(run)
        with pytest.raises(callbridge.RunIdError):
            relay.publish_sync(run, [])
        if run is not None:
            with pytest.raises(callbridge.RunIdError):
                relay.announce_sync(run)


def test_a_run_that_is_unknown(url: str) -> None:
    with connect(url) as relay:
        for call in (relay.stop_sync, relay.status_sync, relay.forget_sync, lambda run: next(iter(relay.follow(run)))):
            with pytest.raises(callbridge.UnknownRunError, match=r"nothing.*announce"):
                call("nothing")
        stream = iter(events(3))
        with pytest.raises(callbridge.UnknownRunError):
            relay.publish_sync("nothing", stream)
        assert len(list(stream)) == 3  # not begun


def test_a_position_of_another_run_or_of_none(url: str) -> None:
    with connect(url) as relay:
        run, other = relay.announce_sync(), relay.announce_sync()
        relay.publish_sync(run, events(3))
        relay.publish_sync(other, events(9))
        follower = relay.follow(other)
        list(follower)
        with pytest.raises(callbridge.PositionError, match="of another run"):
            relay.follow(run, after=follower.position)
        for text in ("", "x", "1", "1-", "-1-2", 3, "1-9223372036854775807"):
            with pytest.raises(callbridge.PositionError, match=r"a `\.position`"):
                relay.follow(run, after=text)  # type: ignore[arg-type]
        with pytest.raises(callbridge.PositionError, match="has reached"):
            next(iter(relay.follow(run, after="1-4")))
        assert len(list(relay.follow(run, after="1-1"))) == 2


def test_a_log_of_a_newer_version(shared_url: str) -> None:
    with connect(shared_url) as relay:
        run = relay.announce_sync()
        assert relay._tools is not None
        log: Any = relay._tools.log
        if isinstance(log, RedisLog):
            log._client.hset(f"{{cb:{run}}}:run", "version", 2)
        else:
            with log._transaction() as store:
                state = store.get(run)
                state.version = 2
                store.put(run, state)
        for call in (relay.status_sync, lambda run: next(iter(relay.follow(run)))):
            with pytest.raises(callbridge.RecordVersionError, match=r"version 2.*install a newer"):
                call(run)
        assert run not in [each.run for each in relay.runs_sync()]  # and the others are listed
        relay.forget_sync(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_seconds", 0.1),
        ("lease_seconds", "15"),
        ("keep_seconds", -1),
        ("orphan_seconds", None),
        ("outage_seconds", float("inf")),
        ("max_events", 0),
        ("max_bytes", 1.5),
        ("capacity", True),
        ("on_limit", "drop"),
        ("on_outage", ""),
    ],
)
def test_an_option_that_is_none(name: str, value: Any) -> None:
    with pytest.raises(callbridge.ArgumentError, match=f"^{name}="):
        connect(**{name: value})


@pytest.mark.parametrize("stream", [None, 7, "text", {"event": "x"}])
def test_what_is_no_stream(stream: Any, tmp_path: Path) -> None:
    with connect(f"memory:{tmp_path.name}") as relay:
        run = relay.announce_sync()
        with pytest.raises(callbridge.ArgumentError, match=r"^stream="):
            relay.publish_sync(run, stream)
        assert relay.status_sync(run) == "queued"
