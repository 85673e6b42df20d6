"""`python -m callbridge relay`: runs on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from made import events

import callbridge
from callbridge.__main__ import main
from callbridge.relay import connect


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.db'}"


def test_a_run_is_listed_followed_and_stopped(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(url) as relay:
        run, waiting = relay.announce_sync("answered"), relay.announce_sync("waiting")
        relay.publish_sync(run, callbridge.stream_events(FakeListChatModel(responses=["Tea and milk."]), "q"))
    assert main(["relay", "list", "--url", url]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "status", "attempt", "events", "bytes", "age"]
    assert {tuple(line.split()[:3]) for line in lines} == {("answered", "ended", "1"), ("waiting", "queued", "0")}
    assert main(["relay", "follow", run, "--url", url]) == 0
    assert capsys.readouterr().out == "Tea and milk.\n[answered: ended]\n"
    assert main(["relay", "stop", waiting, "--url", url]) == 0
    assert main(["relay", "follow", waiting, "--url", url]) == 1
    assert "was stopped" in capsys.readouterr().out


def test_events_have_lines_and_positions(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(url) as relay:
        run = relay.announce_sync()
        relay.publish_sync(run, events(5))
    main(["relay", "follow", run, "--url", url, "--events"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:5]] == ["on_chain_start", *["on_chain_stream"] * 3, "on_chain_end"]
    main(["relay", "follow", run, "--url", url, "--events", "--after", lines[3].split()[0]])
    assert capsys.readouterr().out.splitlines() == lines[4:]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["list"], "CALLBRIDGE_RELAY_URL"),
        (["list", "--url", "kafka://x"], "sqlite:///PATH"),
        (["follow", "nothing", "--url", "URL"], "is not known"),
        (["stop", "a b", "--url", "URL"], "expected 1 to 128 of"),
        (["follow", "nothing", "--url", "URL", "--after", "x"], "a `.position`"),
    ],
)
def test_what_cannot_be_done_is_said(
    url: str, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBRIDGE_RELAY_URL", raising=False)
    assert main(["relay", *(url if each == "URL" else each for each in arguments)]) == 2
    assert problem in capsys.readouterr().err
