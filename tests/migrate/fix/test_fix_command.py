"""`callbridge fix`: patches, exit statuses, bytes that stay, and files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callbridge.__main__ import main
from callbridge.migrate.analysis import source_files
from callbridge.migrate.analysis.files import find_files
from callbridge.migrate.commands.fix import fix_files
from callbridge.migrate.commands.parallel import WORTH_PROCESSES
from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options

pytest.importorskip("libcst")

OLD = b"from langchain.callbacks.base import BaseCallbackHandler\n"
COMMAND = [sys.executable, "-m", "callbridge", "fix"]
NEW = b"from langchain_core.callbacks import BaseCallbackHandler\n"


def run(*arguments: str | Path) -> int:
    """Run the command."""
    return main(["fix", *map(str, arguments)])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty project, and stand in it."""
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(directory: Path, *arguments: str, data: bytes = b"") -> None:
    """Run git."""
    settings = ["-c", "core.autocrlf=false", "-c", "core.safecrlf=false"]
    done = subprocess.run(["git", *settings, *arguments], cwd=directory, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


# -- what is written


def test_files_are_rewritten_and_what_was_done_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "app.py").write_bytes(OLD)
    (project / "clean.py").write_bytes(NEW)
    assert run() == 0
    assert (project / "app.py").read_bytes() == NEW
    captured = capsys.readouterr()
    assert captured.out == "app.py:1: CB101 fixed: import BaseCallbackHandler from langchain_core.callbacks\n"
    assert captured.err == "1 edit made in 1 file, 0 places left\n"
    assert run() == 0
    assert capsys.readouterr().err == "0 edits made in 0 files, 0 places left\n"


def test_what_stays_is_said_with_a_reason(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "app.py").write_bytes(b"from langchain.callbacks import get_openai_callback\n")
    assert run("app.py") == 0
    assert "app.py:1: CB103 left: needs --unsafe: add langchain-community to the dependencies" in capsys.readouterr().out
    assert run("app.py", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert run("app.py", "--unsafe") == 0
    assert b"langchain_community" in (project / "app.py").read_bytes()


def test_check_writes_nothing_and_tells_by_its_status(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "app.py").write_bytes(OLD)
    assert run("--check") == 1
    assert (project / "app.py").read_bytes() == OLD
    assert "would fix" in capsys.readouterr().out
    (project / "app.py").write_bytes(NEW)
    assert run("--check") == 0


def test_only_selected_rules_are_applied(project: Path) -> None:
    (project / "app.py").write_bytes(OLD + b"x.astream_events(1)\n")
    assert run("--select", "cb7") == 0
    assert (project / "app.py").read_bytes() == OLD + b'x.astream_events(1, version="v2")\n'


def test_the_configuration_counts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pyproject.toml").write_text('[tool.callbridge]\nexclude = ["old"]\nignore = ["CB7"]\n', encoding="utf-8")
    (project / "old").mkdir()
    for name in ("old/a.py", "b.py"):
        (project / name).write_bytes(OLD + b"x.astream_events(1)\n")
    assert run() == 0
    assert (project / "old" / "a.py").read_bytes() == OLD + b"x.astream_events(1)\n"
    assert (project / "b.py").read_bytes() == NEW + b"x.astream_events(1)\n"
    assert run("--select", "CB999") == 2
    assert "no rule 'CB999'" in capsys.readouterr().err
    (project / "pyproject.toml").write_text('[tool.callbridge]\nignore = ["CB998"]\n', encoding="utf-8")
    assert run() == 2
    assert "no rule 'CB998'" in capsys.readouterr().err


@pytest.mark.thorough
def test_stdin_goes_to_stdout() -> None:
    data = b"# caf\xc3\xa9\r\n" + OLD
    done = subprocess.run([*COMMAND, "-"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"# caf\xc3\xa9\r\n" + NEW), done.stderr
    assert b"CB101 fixed" in done.stderr
    done = subprocess.run([*COMMAND, "-", "--diff"], input=data, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.endswith(b"\n+" + NEW)


def test_the_configuration_counts_for_stdin_too(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A handler that the configuration keeps stays attached, and what is too large stays, as in a file."""
    text = (
        "from langchain_core.callbacks import BaseCallbackHandler\nfrom langchain_openai import ChatOpenAI\n\n"
        "class Show(BaseCallbackHandler):\n    def on_llm_new_token(self, token, **kwargs):\n        print(token, end='')\n\n"
        "def ask(question):\n    return ChatOpenAI(callbacks=[Show()], streaming=True).invoke(question)\n"
    )

    def fixed() -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        run("-", "--stdin-filename", "app.py")
        return capsys.readouterr().out

    assert "stream_call" in fixed()
    (project / "pyproject.toml").write_text('[tool.callbridge]\nkeep = ["app.Show"]\n', encoding="utf-8")
    assert fixed() == text
    (project / "pyproject.toml").write_text("[tool.callbridge]\nmax-file-size = 100\n", encoding="utf-8")
    assert fixed() == text


# -- bytes


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OLD, id="plain"),
        pytest.param(OLD.rstrip(b"\n"), id="no newline at the end"),
        pytest.param(b"x = 1\r\n" + OLD.replace(b"\n", b"\r\n") + b"y = 2\r\n", id="crlf"),
        pytest.param(b"x = 1\r\n" + OLD + b"y = 2\r\nz = 3\n", id="mixed newlines"),
        pytest.param(b"\xef\xbb\xbf" + OLD, id="byte order mark"),
        pytest.param(b"# coding: latin-1\nx = '\xe9\xfc'\n" + OLD, id="latin-1"),
        pytest.param("# coding: cp1251\nx = 'привет'\n".encode("cp1251") + OLD, id="cp1251"),
        pytest.param("x = 'é 漢字 🎉'; y = 1\n".encode() + OLD, id="utf-8"),
        pytest.param(b"def f():\n\tif x:\n\t\t" + OLD + b"\t\treturn  1\n", id="tabs"),
        pytest.param(b"x = '''\n  a\t\n\n'''\n" + OLD + b"\n\n\n#  end  \n", id="blank lines"),
        pytest.param(b"#!/usr/bin/env python\n" + OLD + b"x = (1,\n      2 ,)\n", id="odd layout"),
        pytest.param("if x:\n    'é'; y = 'ü'\n    ".encode() + OLD, id="columns after wide characters"),
    ],
)
def test_bytes_that_no_edit_speaks_of_stay(project: Path, data: bytes, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Encoding, byte order mark, newlines, indentation; and the patch of it is one that git applies."""
    path = project / "café app.py"
    path.write_bytes(data)
    expected = data.replace(b"langchain.callbacks.base", b"langchain_core.callbacks")
    assert run("--diff") == 1
    assert path.read_bytes() == data
    patch = capfdbinary.readouterr().out
    assert run() == 0
    assert path.read_bytes() == expected
    path.write_bytes(data)
    git(project, "init", "-q")
    git(project, "apply", "-", data=patch)
    assert path.read_bytes() == expected


def test_a_patch_of_several_files_applies_from_a_directory_below(
    project: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (project / "a" / "b").mkdir(parents=True)
    for name in ("one.py", "a/two words.py", "a/b/three.py", 'a/"quoted".py'):
        (project / name).write_bytes(OLD)
    assert run("--diff", ".") == 1
    patch = capfdbinary.readouterr().out
    git(project, "init", "-q")
    git(project, "apply", "-", data=patch)
    assert {path.read_bytes() for path in project.rglob("*.py")} == {NEW}


def test_permissions_and_links_stay(project: Path) -> None:
    target = project / "real.py"
    target.write_bytes(OLD)
    target.chmod(0o755)
    link = project / "link.py"
    link.symlink_to(target)
    assert run("link.py") == 0
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


# -- what goes wrong


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"def f(:\n  CallbackManager\n", "line 1"),
        (b"print 'CallbackManager'\n", "line 1"),
        (b"# coding: no-such\nCallbackManager\n", "cannot be decoded"),
        (b"x = '\xff\xfe' # CallbackManager\n", "cannot be decoded"),
        ("x = 1 # CallbackManager\n".encode("utf-16"), "UTF-16"),
        (b"# coding: utf-7\n# CallbackManager +AGE-\n", "in utf-7 would change other bytes"),
        (b"x = 1\0 # CallbackManager\n", "null bytes"),
        (b"CallbackManager = " + b"(" * 3000 + b")" * 3000, ""),
        (b"x = " + b"-" * 20000 + b"1 # CallbackManager\n", ""),
    ],
)
def test_a_broken_file_is_one_finding_and_the_others_are_rewritten(
    project: Path, data: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "broken.py").write_bytes(data)
    (project / "fine.py").write_bytes(OLD)
    assert run() == 1
    assert (project / "broken.py").read_bytes() == data
    assert (project / "fine.py").read_bytes() == NEW
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("broken.py: CB900 not rewritten")]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x = 1\ry = 2\r" + OLD, "the edit would lose the carriage return without a line feed in line 1"),
        (b"x = 1\n\x0c\n" + OLD, "the edit would lose the form feed in line 2"),
    ],
)
def test_a_file_that_would_lose_more_stays_and_a_scan_says_so(
    project: Path, data: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lone carriage return and a form feed are newlines and blanks to Python, and LibCST gives them back otherwise."""
    (project / "odd.py").write_bytes(data)
    assert run() == 1
    assert (project / "odd.py").read_bytes() == data
    assert f"odd.py: not rewritten: {said}" in capsys.readouterr().out
    assert {(each.verdict, each.reason.partition(":")[0]) for each in scan_source(data.decode(), "odd.py")} == {
        ("manual", said)
    }


@pytest.mark.parametrize("tail", [b"   ", b"\n   \n", b"\n\n  \n \n\t", b"  # end\n\n    \n"])
def test_blank_lines_at_the_end_stay_as_they_are(project: Path, tail: bytes) -> None:
    (project / "blank.py").write_bytes(OLD + b"def f():\n    x = 1\n" + tail)
    assert run() == 0
    assert (project / "blank.py").read_bytes() == NEW + b"def f():\n    x = 1\n" + tail


def test_a_large_file_is_left_and_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pyproject.toml").write_text("[tool.callbridge]\nmax-file-size = 100\n", encoding="utf-8")
    data = OLD + b"#" * 100
    (project / "large.py").write_bytes(data)
    (project / "other.py").write_bytes(b"#" * 1000)
    assert run() == 1
    assert (project / "large.py").read_bytes() == data
    assert capsys.readouterr().out == "large.py: CB900 not rewritten: 157 bytes, more than max-file-size (100)\n"


def test_an_editor_that_fails_on_one_file_rewrites_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of ours is a line in the output, not a traceback, and harms no file."""
    from callbridge.migrate.edits import version

    def fail(source: Any) -> Any:
        if "astream_events" in source.text:
            raise KeyError("here")
        return iter(())

    (project / "a.py").write_bytes(OLD + b"x.astream_events(1)\n")
    (project / "b.py").write_bytes(OLD)
    monkeypatch.setattr(version, "plan", fail)
    assert run() == 1
    assert (project / "a.py").read_bytes() == OLD + b"x.astream_events(1)\n"
    assert (project / "b.py").read_bytes() == NEW
    assert "a.py: not rewritten: callbridge failed, please report this: KeyError: 'here'" in capsys.readouterr().out


def test_a_path_that_does_not_exist_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project / "nowhere.py") == 2
    assert "nowhere.py" in capsys.readouterr().err


def test_a_loop_of_links_does_no_harm(project: Path) -> None:
    (project / "loop").symlink_to(project, target_is_directory=True)
    (project / "app.py").write_bytes(OLD)
    assert run() == 0
    assert (project / "app.py").read_bytes() == NEW


def test_a_notebook_is_left_with_a_reason(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = b'{"cells": [{"cell_type": "code", "source": ["from langchain.callbacks.base import BaseCallbackHandler\\n"]}]}'
    (project / "notes.ipynb").write_bytes(data)
    (project / "empty.ipynb").write_bytes(b"{}")
    assert run() == 0
    assert (project / "notes.ipynb").read_bytes() == data
    assert capsys.readouterr().out.startswith("notes.ipynb:1: left: a notebook: ")


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
def test_a_disk_that_fails_leaves_the_old_file(
    project: Path, function: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error between writing and renaming: the old bytes stay, no temporary file does, and the rest is written."""
    (project / "a.py").write_bytes(OLD)
    (project / "b.py").write_bytes(OLD)
    real = getattr(os, function)
    failures = iter([OSError(28, "No space left on device")])

    def fail(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return real(*arguments)

    monkeypatch.setattr(source_files.os, function, fail)
    assert run() == 2
    assert "a.py: not written: No space left on device" in capsys.readouterr().err
    assert (project / "a.py").read_bytes() == OLD
    assert (project / "b.py").read_bytes() == NEW
    assert sorted(path.name for path in project.iterdir()) == ["a.py", "b.py", "pyproject.toml"]


def test_an_interrupt_leaves_the_old_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    (project / "a.py").write_bytes(OLD)
    monkeypatch.setattr(source_files.os, "replace", interrupt)
    assert run() == 130
    assert (project / "a.py").read_bytes() == OLD
    assert sorted(path.name for path in project.iterdir()) == ["a.py", "pyproject.toml"]


def test_a_file_that_somebody_else_changes_meanwhile_stays_theirs(project: Path) -> None:
    path = project / "a.py"
    path.write_bytes(b"theirs")
    with pytest.raises(BlockingIOError, match="changed since"):
        source_files.write_atomically(path, NEW, expected=OLD)
    assert path.read_bytes() == b"theirs"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_an_error(project: Path) -> None:
    (project / "a.py").write_bytes(OLD)
    project.chmod(0o555)
    try:
        assert run() == 2
    finally:
        project.chmod(0o755)
    assert (project / "a.py").read_bytes() == OLD


def test_libcst_is_asked_for_only_when_there_is_something_to_edit(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without LibCST: clean files pass, and an edit ends with an error that names the extra."""
    for name in [name for name in sys.modules if name.startswith(("libcst", "callbridge.migrate.edits.apply"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "callbridge.migrate.edits.import_nodes", raising=False)
    monkeypatch.setitem(sys.modules, "libcst", None)
    (project / "clean.py").write_bytes(NEW)
    assert run() == 0
    (project / "app.py").write_bytes(OLD)
    assert run() == 2
    assert "pip install 'callbridge[migrate]'" in capsys.readouterr().err
    assert (project / "app.py").read_bytes() == OLD


def test_names_that_other_files_use_stay(project: Path) -> None:
    """The import of a manager that nobody here needs any more is what another file imports."""
    text = b"from langchain_core.callbacks import CallbackManager\nfrom langchain_openai import OpenAI\n"
    text += b"llm = OpenAI(callbacks=CallbackManager([h]))\n"
    for name in ("kept.py", "starred.py", "named.py", "free.py"):
        (project / name).write_bytes(text)
    (project / "user.py").write_bytes(b"from .kept import CallbackManager\nfrom starred import *\nimport a.named as n\n")
    assert run("kept.py", "starred.py", "named.py", "free.py") == 0
    kept = {path.name for path in project.glob("*.py") if b"import CallbackManager" in path.read_bytes()}
    assert kept == {"kept.py", "starred.py", "named.py", "user.py"}


WRAPPED = """
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI

class Show(BaseCallbackHandler):
    def __init__(self, box):
        self.box = box
        self.text = ""

    def on_llm_new_token(self, token, **kwargs):
        self.text += token
        self.box.show(self.text)

def ask(q, box):
    llm = ChatOpenAI(streaming=True, callbacks=[Show(box)])
    return llm.invoke(q)
"""
LEFT = "def ask(chain, q, h):\n    return chain.run(q, callbacks=[h()])\n"


def many_files(folder: Path) -> int:
    """Write more files than one process works on: with edits, with places that stay, broken ones, and others."""
    imported = "from langchain.callbacks.base import BaseCallbackHandler\n"
    texts = [
        f"{imported}\nclass H(BaseCallbackHandler): pass\n",
        f"{imported}\n\n{LEFT}",
        f"{imported}\ndef (:\n",
        "x = 1\n",
        WRAPPED,
    ]
    for number in range(WORTH_PROCESSES + 8):
        (folder / f"m{number:03}.py").write_text(texts[number % len(texts)])
    return WORTH_PROCESSES + 8


@pytest.mark.thorough
def test_several_processes_say_and_do_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    files = find_files(["."], tmp_path)
    steps: list[int] = []
    alone = fix_files(files, dict(files), Options(unsafe=True))
    together = fix_files(files, dict(files), Options(unsafe=True), jobs=2, progress=steps.append)
    assert together == alone
    assert sum(steps) == len(files)
    assert (
        sum(each.changed for each in together) == sum(bool(each.rewritten and each.rewritten.changes) for each in alone) > 100
    )


def test_a_number_of_processes_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert main(["fix", "--jobs", "0", str(tmp_path)]) == 2
    assert "--jobs must be 1 or more, got 0" in capsys.readouterr().err
