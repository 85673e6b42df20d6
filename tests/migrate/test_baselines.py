"""The baseline: it survives edits elsewhere, shrinks, grows only when told to, and is never taken for empty."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from callbridge.__main__ import main
from callbridge.migrate.outputs.baseline import Entry, parse_baseline
from callbridge.migrate.problems import MigrateError

ONE = "from langchain.callbacks import StdOutCallbackHandler\n"
TWO = "from langchain.callbacks import FileCallbackHandler\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one finding and a baseline that knows it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.callbridge]\nbaseline = "callbridge-baseline.txt"\n')
    (tmp_path / ".gitignore").write_text("log\n")
    (tmp_path / "a b.py").write_text(ONE)
    assert main(["scan", "-o", "log", "--update-baseline", "--allow-new"]) == 0
    return tmp_path


def scan(*arguments: str) -> tuple[int, list[str]]:
    """Run a scan and return its status and the codes that it reports."""
    status = main(["scan", "-o", "log", *arguments])
    lines = Path("log").read_text().splitlines() if status < 2 else []
    return status, [line.split(": ")[1].split()[0] for line in lines if "[" in line and ": CB" in line]


def git(*arguments: str) -> None:
    """Run git as somebody."""
    settings = ("user.name=a", "user.email=a@example.org", "init.defaultBranch=main", "commit.gpgsign=false")
    who = [part for setting in settings for part in ("-c", setting)]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def commit(message: str = "x") -> None:
    """Commit everything."""
    git("add", "-A")
    git("commit", "-qm", message)


def test_a_baseline_is_sorted_lines_without_numbers(project: Path) -> None:
    (project / "c.py").write_text(TWO + ONE)
    scan("--update-baseline", "--allow-new")
    header, *lines = (project / "callbridge-baseline.txt").read_text().splitlines()
    assert header == "# callbridge baseline 1"
    assert lines == sorted(lines)
    assert [line.split()[:3] for line in lines] == [
        ["CB101", "a%20b.py", "<module>"],
        ["CB101", "c.py", "<module>"],
        ["CB101", "c.py", "<module>"],
    ]


def test_known_findings_do_not_count_and_new_ones_do(project: Path) -> None:
    assert scan() == (0, [])
    (project / "c.py").write_text(TWO)
    assert scan() == (1, ["CB101"])
    assert scan("--no-baseline") == (1, ["CB101", "CB101"])


def test_lines_that_move_change_nothing(project: Path) -> None:
    """White space within the code, neither."""
    path = project / "a b.py"
    path.write_text("import os\n\n\n" + path.read_text())
    assert scan() == (0, [])


def test_the_same_code_twice_has_two_entries(project: Path) -> None:
    """A copy of a known finding is a new finding."""
    (project / "a b.py").write_text(ONE + ONE)
    assert scan() == (1, ["CB101"])


def test_entries_that_are_gone_are_reported_and_removed(project: Path) -> None:
    (project / "a b.py").write_text("# callback\n")
    assert scan() == (1, ["CB902"])
    assert scan("--update-baseline") == (0, [])
    assert (project / "callbridge-baseline.txt").read_text() == "# callbridge baseline 1\n"


def test_entries_of_files_that_are_gone_are_stale_even_if_others_are_scanned(project: Path) -> None:
    """A file that is merely not among those that were named is none."""
    (project / "c.py").write_text("x = 1\n")
    assert scan("c.py") == (0, [])
    (project / "a b.py").unlink()
    assert scan("c.py") == (1, ["CB902"])


def test_rules_that_are_not_looked_for_leave_entries_alone(project: Path) -> None:
    (project / "a b.py").write_text("# callback\n")
    assert scan("--select", "CB3,CB9") == (0, [])


def test_it_grows_only_when_told_to(project: Path) -> None:
    (project / "c.py").write_text(TWO)
    before = (project / "callbridge-baseline.txt").read_text()
    assert scan("--update-baseline") == (1, ["CB101"])
    assert (project / "callbridge-baseline.txt").read_text() == before
    assert scan("--update-baseline", "--allow-new") == (0, [])
    assert scan() == (0, [])
    assert scan("--allow-new")[0] == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"CB101 a.py x 0123456789abcdef\n",
        b"# callbridge baseline 2\n",
        b"# callbridge baseline 1\n<<<<<<< HEAD\n",
        b"# callbridge baseline 1\nCB101 a.py x\n",
        b"# callbridge baseline 1\nCB101 a.py x 0123\n",
        b"\xff\xfe",
        None,
    ],
    ids=["empty", "no header", "other version", "conflict", "short line", "short hash", "binary", "missing"],
)
def test_a_baseline_that_cannot_be_read_is_no_empty_one(
    content: bytes | None, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and the file is left as it is: also when it is to be updated."""
    path = project / "callbridge-baseline.txt"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for arguments in ([], ["--update-baseline"]):
        assert scan(*arguments)[0] == 2
        assert "callbridge-baseline.txt" in capsys.readouterr().err
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_baseline_that_cannot_be_written_stays_as_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk: status 2, the old entries, and no temporary file."""
    path = project / "callbridge-baseline.txt"
    (project / "c.py").write_text(TWO)
    before, names = path.read_bytes(), sorted(project.iterdir())

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        assert scan("--update-baseline", "--allow-new")[0] == 2
    assert re.search("cannot write the baseline .*callbridge-baseline.txt: No space left", capsys.readouterr().err)
    assert (path.read_bytes(), sorted(project.iterdir())) == (before, names)
    assert scan("--update-baseline", "--allow-new")[0] == 0
    assert path.read_bytes() != before


def test_a_baseline_behind_a_link_stays_there(project: Path) -> None:
    path = project / "callbridge-baseline.txt"
    (project / "kept").mkdir()
    real = path.rename(project / "kept" / "baseline.txt")
    path.symlink_to(real)
    (project / "c.py").write_text(TWO)
    before = real.read_bytes()
    assert scan("--update-baseline", "--allow-new")[0] == 0
    assert path.is_symlink()
    assert real.read_bytes() != before


def test_entries_are_text_that_reads_back() -> None:
    """Paths with blanks, percent signs and line breaks."""
    entry = Entry("dir/a b%20\n#ü.py", "CB101", "Class.method", "0123456789abcdef")
    line = str(entry)
    assert "\n" not in line
    assert len(line.split(" ")) == 4
    assert parse_baseline(f"# callbridge baseline 1\n{line}\n", "x").lines == {entry: [2]}
    with pytest.raises(MigrateError, match="x:2"):
        parse_baseline("# callbridge baseline 1\nsomething\n", "x")


# -- with git -------------------------------------------------------------------------------------------------------------


def test_an_entry_cannot_come_in_with_its_finding(project: Path) -> None:
    """With `--baseline-ref` only what the baseline knew where the branch began is accepted."""
    git("init", "-q")
    commit()
    git("checkout", "-qb", "topic")
    (project / "c.py").write_text(TWO)
    scan("--update-baseline", "--allow-new")
    commit()
    assert scan() == (0, [])
    assert scan("--baseline-ref", "main") == (1, ["CB101"])
    git("checkout", "-q", "main")
    (project / "d.py").write_text("x = 1\n")
    commit("the other branch goes on")
    git("checkout", "-q", "topic")
    assert scan("--baseline-ref", "main") == (1, ["CB101"])


def test_a_baseline_that_is_new_on_the_branch_is_accepted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare it with, and that is said."""
    baseline = project / "callbridge-baseline.txt"
    kept = baseline.read_bytes()
    baseline.unlink()
    git("init", "-q")
    commit()
    git("checkout", "-qb", "topic")
    baseline.write_bytes(kept)
    commit()
    assert scan("--baseline-ref", "main") == (0, [])
    assert "nothing to compare it with" in capsys.readouterr().err


@pytest.mark.parametrize("repository", [True, False])
def test_a_reference_that_git_does_not_know_is_an_error(repository: bool, project: Path) -> None:
    if repository:
        git("init", "-q")
        commit()
    assert scan("--baseline-ref", "nowhere")[0] == 2


def test_the_burn_down_is_the_history_of_the_baseline(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day's last version, and what is there now; the picture shows the same."""
    (project / "app").mkdir()
    (project / "app" / "c.py").write_text(TWO + ONE)
    scan("--update-baseline", "--allow-new")
    git("init", "-q")
    with monkeypatch.context() as then:
        then.setenv("GIT_COMMITTER_DATE", "2024-03-01T00:00:00Z")
        commit()
    (project / "app" / "c.py").write_text(ONE)
    scan("--update-baseline")
    commit()
    assert main(["report"]) == 0
    text = capsys.readouterr().out
    assert "3 -> 2 (1 done, 33 %)" in text
    assert [line.split()[:2] for line in text.splitlines()[1:3]] == [[".", "1"], ["app", "1"]]
    assert main(["report", "--format", "svg", "-o", "burn.svg"]) == 0
    picture = (project / "burn.svg").read_text()
    assert picture.count("<polygon") == 2
    assert "callbacks left: 2" in picture
