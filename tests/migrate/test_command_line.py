"""`callbridge scan`, `explain` and `report` from the command line: arguments, configuration, outputs, exit statuses."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest

import callbridge
from callbridge.__main__ import main
from callbridge.migrate.commands import config, progress
from callbridge.migrate.commands.cli import COMMANDS, FORMATS
from callbridge.migrate.commands.explain import rules_table
from callbridge.migrate.finding import Finding
from callbridge.migrate.outputs import github, markdown, text
from callbridge.migrate.outputs.outcome import Outcome
from callbridge.migrate.rules.table import RULES

SOURCE = """\
from langchain.callbacks import StdOutCallbackHandler, get_openai_callback
x = StdOutCallbackHandler()
# callbridge: ignore[CB104] gone in May
from langchain.callbacks import get_callback_manager
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one legacy file, as the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "app.py").write_text(SOURCE)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command and return its status and what it printed."""
    status = main(arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def codes(output: str) -> list[str]:
    """Return the codes in a text output."""
    return re.findall(r"^\S+: (CB\d+) ", output, re.MULTILINE)


def test_findings_are_lines_that_editors_open(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "scan")
    assert status == 1
    assert err == ""
    assert out.splitlines()[0].startswith("app.py:1:33: CB101 [auto-safe] `StdOutCallbackHandler` is imported from ")
    assert codes(out) == ["CB101", "CB103"]
    summary = "2 findings in 1 file (1 auto-safe, 1 auto-review); 1 observer kept, 1 suppressed, 1 file scanned"
    summed, following = out.split("\n\n")[-2:]
    assert summed == summary
    assert following.splitlines() == [
        "Next:",
        "  callbridge fix --diff           what is auto-safe, as a patch (1)",
        "  callbridge fix --unsafe --diff  with what you should review (1)",
        "  callbridge explain CB101        why, before, after, when not to",
    ]


def test_colour_is_for_terminals(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule says by its colour how bad it is, unless NO_COLOR is set."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = []
    for refused in (False, True):
        if refused:
            monkeypatch.setenv("NO_COLOR", "1")
        terminal = io.StringIO()
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdout", terminal)
        main(["scan"])
        shown.append(terminal.getvalue())
    assert "\x1b[31mCB101\x1b[0m" in shown[0]
    assert re.sub(r"\x1b\[\d*m", "", shown[0]) == shown[1]


def test_a_clean_tree_has_status_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Observers alone are clean, too."""
    (project / "app.py").write_text("from langchain_core.callbacks import StdOutCallbackHandler\nx = StdOutCallbackHandler()\n")
    assert run(capsys, "scan") == (0, "no findings; 1 observer kept, 1 file scanned\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--show-kept"], ["CB101", "CB103", "CB404"]),
        (["--show-suppressed"], ["CB101", "CB103", "CB104"]),
        (["--select", "CB103"], ["CB103"]),
        (["--select", "CB101,CB103"], ["CB101", "CB103"]),
        (["--ignore", "cb10"], []),
        (["--exclude", "app.py"], []),
        (["app.py", "./app.py", "."], ["CB101", "CB103"]),
        (["--jobs", "1"], ["CB101", "CB103"]),
    ],
)
def test_options_choose_what_is_shown(
    arguments: list[str], expected: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert codes(run(capsys, "scan", *arguments)[1]) == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.py"], "no such file or directory: nowhere.py"),
        (["--select", "E501"], "no rule 'E501'"),
        (["--jobs", "0"], "--jobs must be 1 or more"),
        (["-", "app.py"], "give no other path with it"),
        (["--update-baseline"], "no baseline"),
        (["--baseline", "nowhere.txt"], "no baseline at nowhere.txt"),
        (["--config", "nowhere.toml"], "cannot read nowhere.toml"),
        (["-o", "nowhere/out.txt"], "cannot write nowhere/out.txt"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], told: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one line on standard error, that begins with the command."""
    status, out, err = run(capsys, "scan", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("callbridge scan: ")
    assert told in err
    assert err.count("\n") == 1


def test_nothing_to_scan_is_a_mistake(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that was mistyped is no clean one; files that are named may all be excluded."""
    (project / "empty").mkdir()
    told = "callbridge scan: no Python file or notebook to scan in empty\n"
    assert run(capsys, "scan", "empty") == (2, "", told)
    assert run(capsys, "scan", "empty", "--exit-zero") == (2, "", told)
    assert run(capsys, "scan", "--exclude", "app.py")[0] == 2
    assert run(capsys, "scan", "app.py", "--exclude", "app.py")[0] == 0
    assert run(capsys, "report", "empty")[0] == 0


def test_what_is_broken_is_said_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "app.py").write_text("print 'langchain callbacks'\n")
    out = run(capsys, "scan")[1].splitlines()[0]
    assert out.startswith("app.py:1:1: CB900 [manual] not scanned: ")
    assert out.count("scanned") == 1
    assert len(out) <= 100


def test_exit_zero_reports_and_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "scan", "--exit-zero")
    assert (status, codes(out)) == (0, ["CB101", "CB103"])


@pytest.mark.parametrize("name", ["page.py", "page.ipynb"])
def test_standard_input_is_scanned(
    name: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {"cells": [{"cell_type": "code", "source": SOURCE}]}
    content = json.dumps(cells) if name.endswith("ipynb") else SOURCE
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    status, out, _ = run(capsys, "scan", "-", "--stdin-filename", name)
    assert (status, codes(out.replace(":cell 1", ""))) == (1, ["CB101", "CB103"])
    assert out.startswith(name)


def test_standard_input_that_is_no_text_is_a_finding(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\x00\xff")))
    status, out, _ = run(capsys, "scan", "-")
    assert (status, codes(out)) == (1, ["CB900"])


def test_standard_input_that_is_too_large_is_a_finding(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text("[tool.callbridge]\nmax-file-size = 100\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SOURCE.encode())))
    status, out, _ = run(capsys, "scan", "-")
    assert (status, codes(out)) == (1, ["CB900"])
    assert "CB900 [manual] not scanned: 196 bytes, more than max-file-size (100)" in out


# -- configuration --------------------------------------------------------------------------------------------------------


def test_the_configuration_is_that_of_the_project(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any directory below, paths are relative to the file."""
    (project / "pyproject.toml").write_text('[tool.callbridge]\nexclude = ["old"]\nignore = ["CB103"]\nkeep = ["app.Show"]\n')
    (project / "old").mkdir()
    (project / "old" / "x.py").write_text(SOURCE)
    (project / "src").mkdir()
    (project / "src" / "app.py").write_text("class Show:\n    def on_llm_new_token(self, token):\n        self.q.put(token)\n")
    assert codes(run(capsys, "scan")[1]) == ["CB101"]
    monkeypatch.chdir(project / "src")
    status, out, _ = run(capsys, "scan", "--show-kept")
    assert out.startswith("src/app.py:1:1: CB404 [keep] Show stays a callback: your configuration keeps it")
    assert status == 0


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[tool.callbridge]\nexlude = []\n", "did you mean 'exclude'?"),
        ("[tool.callbridge]\nexclude = 'x'\n", "exclude must be a list of strings"),
        ("[tool.callbridge]\nselect = ['E1']\n", "there is no rule 'E1'"),
        ("[tool.callbridge]\nmax-file-size = 0\n", "max-file-size must be a number of bytes"),
        ("[tool.callbridge]\nbaseline = 1\n", "baseline must be a path"),
        ("[tool]\ncallbridge = 1\n", "must be a table"),
        ("[tool.callbridge\n", "is not valid TOML"),
    ],
)
def test_a_configuration_that_says_what_is_not_there_is_an_error(
    toml: str, told: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text(toml)
    status, _, err = run(capsys, "scan")
    assert status == 2
    assert told in err


def test_without_a_reader_of_toml_the_extra_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CPython 3.10, and only if there is something to read."""
    monkeypatch.setattr(config, "_toml", lambda: None)
    assert run(capsys, "scan")[0] == 1
    (project / "pyproject.toml").write_text("[tool.callbridge]\nignore = []\n")
    status, _, err = run(capsys, "scan")
    assert status == 2
    assert "pip install 'callbridge[migrate]'" in err


# -- outputs --------------------------------------------------------------------------------------------------------------


def test_json_has_a_version_and_everything(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "scan", "--format", "json")[1])
    assert document["version"] == 1
    assert [each["rule"] for each in document["findings"]] == ["CB101", "CB103", "CB404"]
    assert [each["rule"] for each in document["suppressed"]] == ["CB104"]
    first = document["findings"][0]
    assert (first["path"], first["line"], first["column"], first["end_column"]) == ("app.py", 1, 32, 53)
    assert first["facts"]["home"] == "langchain_core.callbacks"
    assert re.fullmatch("[0-9a-f]{16}", first["fingerprint"])
    assert document["summary"]["findings"] == 2
    assert document["summary"]["verdicts"] == {"keep": 1, "auto-safe": 1, "auto-review": 1, "adapter": 0, "manual": 0}


def test_sarif_is_what_code_scanning_reads(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The properties that SARIF 2.1.0 requires, with values that it allows, and indexes that point where they say."""
    (project / "a b.py").write_text("def (\n")
    log = json.loads(run(capsys, "scan", "--format", "sarif")[1])
    assert log["version"] == "2.1.0"
    (each_run,) = log["runs"]
    rules = each_run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    results = each_run["results"]
    assert [result["ruleId"] for result in results] == ["CB900", "CB101", "CB103", "CB404", "CB104"]
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        region = place["region"]
        assert 1 <= region["startLine"] <= region["endLine"]
        assert region["startColumn"] >= 1
        assert region["startLine"] < region["endLine"] or region["startColumn"] <= region["endColumn"]
        assert " " not in place["artifactLocation"]["uri"]
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.py"
    assert results[-1]["suppressions"] == [{"kind": "inSource"}]
    prints = [str(result["partialFingerprints"]) for result in results]
    assert len(set(prints)) == len(prints)


def odd() -> Outcome:
    """A finding whose texts hold everything that a format could take for its own."""
    message = "50 % of `a|b`\nnext, <line>::error:: \x1b[31m"
    return Outcome((Finding("a,b:c.py", 1, 0, 2, 3, "CB101", message, "manual", "error", reason="why"),), files=1)


def test_texts_cannot_break_out_of_their_format() -> None:
    """Percent signs, line breaks, bars, commands and escapes are shown, not obeyed."""
    annotation = github.render(odd()).splitlines()
    assert annotation[0].startswith("::error file=a%2Cb%3Ac.py,line=1,endLine=2,title=CB101 [manual]::50 %25 of `a|b`%0Anext,")
    assert len(annotation) == 2
    assert "a\\|b" in markdown.render(odd())
    assert "&lt;line>" in markdown.render(odd())
    assert "\x1b" not in text.render(odd())
    assert len(text.render(odd()).splitlines()) == 8


@pytest.mark.parametrize(
    "path", ["a.py", f"{'deep/' * 30}app.py", "很长的目录名字/" * 9 + "应用程序.py", "e\u0301" * 90, "bell\x07.py"]
)
@pytest.mark.parametrize("reason", ["short", "a long reason " * 20, "原因" * 80, ""])
def test_a_line_of_text_has_a_hundred_columns_at_most(path: str, reason: str) -> None:
    """Place and verdict, then the reason as far as there is room; wide characters fill two columns, accents none."""
    finding = Finding(path, 1234, 5, 1234, 9, "CB203", "the message", "auto-review", "warning", reason=reason)
    line = text.render(Outcome((finding,), files=1)).splitlines()[0]
    filled = [0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "FW" else 1 for c in line]
    assert sum(filled) <= 100
    assert line.isprintable()
    assert f":1234:6: CB203 [auto-review] {(reason or 'the message')[:5]}" in line


def test_text_shows_what_fails_first_and_ends_with_a_count_of_each_rule() -> None:
    rules = [("CB306", "warning"), ("CB404", "info"), ("CB201", "error"), ("CB306", "warning")]
    found = tuple(Finding("a.py", n, 0, n, 1, rule, "m", "manual", level) for n, (rule, level) in enumerate(rules, 1))
    lines = text.render(Outcome(found, files=1), show_kept=True).splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["CB201", "CB306", "CB306", "CB404"]
    assert [line.split()[:2] for line in lines[5:8]] == [["CB201", "1"], ["CB306", "2"], ["CB404", "1"]]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_to_a_file(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file holds what would have been printed; nothing is printed."""
    printed = run(capsys, "scan", "--format", name)[1]
    assert run(capsys, "scan", "--format", name, "-o", "out.txt") == (1, "", "")
    assert (project / "out.txt").read_text(encoding="utf-8") == printed
    assert printed.endswith("\n")


def test_markdown_counts_by_rule(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "scan", "--format", "markdown")[1]
    assert "| CB404 | observer-handler | keep 1 | 1 |" in out
    assert "| app.py:1:33 | CB101 | auto-safe |" in out


# -- explain --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By its code and by its name, with all parts."""
    rule = RULES[code]
    status, out, _ = run(capsys, "explain", code.lower())
    assert status == 0
    assert out.startswith(f"{code} {rule.name}  ({rule.severity}; {rule.fix})\n")
    assert "\nWhy\n" in out
    assert "\nWhen not to\n" in out
    assert f"# callbridge: ignore[{code}] the reason" in out
    assert run(capsys, "explain", rule.name)[1] == out


def test_without_a_rule_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "explain")[1]
    assert [line.split()[0] for line in out.splitlines()] == list(RULES)


def test_a_rule_that_does_not_exist_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "explain", "aiter-tsk")
    assert (status, out) == (2, "")
    assert "no rule or error 'aiter-tsk'; did you mean aiter-task? `callbridge explain` lists" in err
    assert "no rule or error 'nothing-like-it'; `callbridge explain` lists" in run(capsys, "explain", "nothing-like-it")[2]


# -- report ---------------------------------------------------------------------------------------------------------------


def test_the_report_counts_by_package(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first directory is the package; `src` is none; the most comes first."""
    for name in ("src/shop/a.py", "src/shop/deep/b.py", "bots/c.py"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE)
    status, out, _ = run(capsys, "report")
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["src/shop", "4"], [".", "2"], ["bots", "2"], ["total", "8"]]
    assert "src/shop/deep" in run(capsys, "report", "--depth", "2")[1]
    document = json.loads(run(capsys, "report", "--format", "json")[1])
    assert (document["version"], document["left"]) == (1, 8)
    assert "| src/shop | 4 |" in run(capsys, "report", "--format", "markdown")[1]
    assert run(capsys, "report", "--depth", "0")[0] == 2


def test_the_picture_is_well_formed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that look like markup are text; an empty project has a picture, too."""
    (project / "<b>&").mkdir()
    (project / "<b>&" / "a.py").write_text(SOURCE)
    root = ElementTree.fromstring(run(capsys, "report", "--format", "svg")[1])
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>&" in texts
    assert "callbacks left: 4" in texts
    assert ElementTree.fromstring(run(capsys, "report", "--exclude", "*", "--format", "svg")[1]) is not None


# -- the whole ------------------------------------------------------------------------------------------------------------


def test_the_commands_need_neither_langchain_nor_the_extra(project: Path) -> None:
    """A scan in a bare environment: what is imported is the standard library and this package."""
    blocked = ["langchain_core", "anyio", "libcst", "tqdm", "tomli", "pydantic"]
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
from callbridge.__main__ import main
sys.exit(main(["scan"]))
"""
    env = {**os.environ, "PYTHONPATH": str(Path(callbridge.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (1, "")
    assert codes(done.stdout) == ["CB101", "CB103"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert f"callbridge {name}" in out
    if name == "scan":
        assert "Exit status" in out
        assert "examples:" in out


def test_long_scans_show_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, if that is one; short scans and logs show nothing; without tqdm neither."""
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown(stream: io.StringIO, total: int) -> str:
        monkeypatch.setattr("sys.stderr", stream)
        with progress.progress_bar(total) as advance:
            advance(total)
        return stream.getvalue()

    assert "500" in shown(Terminal(), 500)
    assert shown(Terminal(), 5) == ""
    assert shown(io.StringIO(), 500) == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert shown(Terminal(), 500) == ""


def test_the_hook_of_pre_commit_names_the_command() -> None:
    """Its entry is a command that exists."""
    text = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    entry = re.search(r"^  entry: callbridge (\w+)$", text, re.MULTILINE)
    assert entry is not None
    assert entry[1] in COMMANDS


def test_the_documentation_lists_the_rules_and_the_configuration() -> None:
    """Its table is the one that is made from the rules; the keys that it shows are those that exist."""
    documented = (Path(__file__).parents[2] / "docs" / "scan.md").read_text(encoding="utf-8")
    assert rules_table() in documented
    toml = documented.split("```toml\n")[1].split("```")[0]
    shown = set(re.findall(r"^([\w-]+) =", toml, re.MULTILINE))
    assert shown == {"include", "exclude", "select", "ignore", "keep", "baseline", "max-file-size"}
    for name in ("text", *FORMATS):
        assert f"`{name}`" in documented or f"--format {name}" in documented
