"""The command line: `python -m callbridge`."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import callbridge
from callbridge import demo
from callbridge.__main__ import command_parsers, main

SOURCE = Path(callbridge.__file__).parents[1]


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def run_module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m callbridge` in a process of its own."""
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    command = [sys.executable, "-m", "callbridge", *arguments]
    return subprocess.run(command, env=env, capture_output=True, check=False, timeout=100)


def test_the_demo_shows_both_directions_and_that_they_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """All claims hold, and every word of the answer is on the screen both as an event and from the handler."""
    assert main(["demo", "--delay", "0"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("✓") == 4
    assert "✗" not in shown.out
    for word in ("on_chat_model_start", "Warm·the·pot", "Warm the pot", "stream_call", "drive", "astream_call"):
        assert word in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == ""


def test_the_demo_shows_whole_events_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """`--events` prints each event as the dict that it is."""
    assert main(["demo", "--delay", "0", "--events"]) == 0
    assert capsys.readouterr().out.count("'parent_ids'") > 10


def test_the_demo_runs_without_legacy_chains(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the required dependencies alone it shows an LCEL chain, and says so."""
    for name in ("langchain_classic.chains", "langchain.chains"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["demo", "--delay", "0"]) == 0
    shown = capsys.readouterr().out
    assert "legacy chains are not installed" in shown
    assert shown.count("✓") == 4


def test_a_claim_that_does_not_hold_is_shown_and_is_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo is honest: a handler that hears nothing is reported."""
    monkeypatch.setattr(callbridge, "drive", lambda events, handlers: None)
    assert main(["demo", "--delay", "0"]) == 1
    assert "✗ 0 callbacks" in capsys.readouterr().out


def test_colour_is_for_terminals_and_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences on a terminal, none if NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = Terminal()
    monkeypatch.setattr(sys, "stdout", coloured)
    demo.run_demo(delay=0)
    plain = Terminal()
    monkeypatch.setattr(sys, "stdout", plain)
    monkeypatch.setenv("NO_COLOR", "1")
    demo.run_demo(delay=0)
    assert "\x1b[" in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()


@pytest.mark.thorough
def test_the_demo_runs_as_a_module_on_a_terminal_without_unicode() -> None:
    """Where the encoding has no arrows and ticks, letters stand for them; nothing is on stderr."""
    done = run_module("demo", "--delay", "0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr.decode()
    assert b"ok 2" in done.stdout
    assert done.stderr == b""


@pytest.mark.thorough
def test_a_reader_that_goes_ends_the_demo_in_silence() -> None:
    """`... demo | head -1` prints no traceback."""
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "callbridge", "demo", "--delay", "0"]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=100) == 141
    assert errors == b""


@pytest.mark.parametrize("delay", ["soon", "-1", "3600", "nan"])
def test_a_delay_that_is_none_is_refused(delay: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(SystemExit) as raised:
        main(["demo", f"--delay={delay}"])
    assert raised.value.code == 2
    assert f"{delay!r} is not a number of seconds from 0 to 10" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, and with `--help`, there are examples to copy."""
    assert main([]) == 2
    assert "python -m callbridge demo" in capsys.readouterr().out
    with pytest.raises(SystemExit) as raised:
        main(["demo", "--help"])
    assert raised.value.code == 0
    assert "callbacks -> events" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["callbridge", "callbridge.exe"])
def test_help_names_the_command_that_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}"])
    with pytest.raises(SystemExit):
        main(["scan", "--help"])
    assert capsys.readouterr().out.startswith("usage: callbridge scan ")
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert "  callbridge explain CB301 " in shown
    assert "python -m" not in shown


def test_the_version_names_what_it_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    """What a bug report needs."""
    with pytest.raises(SystemExit):
        main(["--version"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"callbridge {callbridge.__version__}, langchain-core ")


def test_replay_says_in_words_what_it_cannot_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As `scan` does: no number and no name of an exception."""
    missing = tmp_path / "none.jsonl"
    assert main(["replay", str(missing)]) == 2
    assert capsys.readouterr().err == f"python -m callbridge replay: no such file: {missing}\n"
    assert main(["replay", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert f"{tmp_path} cannot be read" in shown
    assert "Errno" not in shown


@pytest.mark.parametrize("name", command_parsers())
def test_help_teaches_by_example_and_fits_a_narrow_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command shows how it is typed, in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    told = command_parsers()[name].format_help()
    assert "examples:\n  " in told
    assert [line for line in told.splitlines() if len(line) > 80] == []


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """The script is bash's own business: it is asked what it would offer."""
    pytest.importorskip("shtab")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    script = tmp_path / "completion.bash"
    script.write_bytes(run_module("--print-completion", "bash").stdout)
    ask = 'source "$0"; COMP_WORDS=(callbridge "${@}"); COMP_CWORD=$#; _shtab_callbridge 2>/dev/null; echo "${COMPREPLY[@]}"'
    offered = [
        subprocess.run([bash, "-c", ask, script, *words], capture_output=True, check=True, text=True).stdout.split()
        for words in (["s"], ["fix", "--u"])
    ]
    assert offered == [["scan"], ["--unsafe"]]
