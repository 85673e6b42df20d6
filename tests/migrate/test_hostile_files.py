"""Whatever a file holds, a scan says something about it or nothing, and goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callbridge.migrate.analysis.files import find_files
from callbridge.migrate.commands import scan
from callbridge.migrate.commands.scan import FileResult, Settings, scan_files, scan_source, scan_text
from callbridge.migrate.finding import Finding
from callbridge.migrate.words import words

LEGACY = "from langchain.callbacks import StdOutCallbackHandler\n"


def scan_bytes(tmp_path: Path, content: bytes, name: str = "given.py", **given: int) -> FileResult:
    """Scan a file with some content."""
    path = tmp_path / name
    path.write_bytes(content)
    return scan_files([(name, path)], Settings(**given))[0]


def rules(result: FileResult) -> list[str]:
    """Return the codes of what was found."""
    return [finding.rule for finding in result.findings]


BROKEN = {
    "syntax error": b"def (:\n",
    "Python 2": b"print 'callback'\nexec 'x' in y\n",
    "null bytes": b"x = 1\x00\n# callback\n",
    "unknown coding": b"# -*- coding: nothing -*-\nx = 1\n",
    "not the coding it names": b"# -*- coding: utf-8 -*-\nx = '\xff\xfe'\n",
    "utf-16": "x = 'callback'\n".encode("utf-16"),
    "latin-1 without saying so": "# callback café\n".encode("latin-1"),
    "binary": bytes(range(256)),
    "unterminated string": b"x = '''callback\n",
    "tabs and blanks": b"if True:\n\tx = 1\n        y = 2\n",
    "merge conflict": b"<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_parsed_is_one_finding(content: bytes, tmp_path: Path) -> None:
    result = scan_bytes(tmp_path, content)
    assert rules(result) == ["CB900"]
    assert result.findings[0].message.startswith("not scanned: ")
    assert result.findings[0].line >= 1
    assert "\n" not in result.findings[0].message


READABLE = {
    "empty": (b"", []),
    "byte order mark": (b"\xef\xbb\xbf" + LEGACY.encode(), ["CB101"]),
    "latin-1 by its comment": (("# coding: latin-1\nx = 'é'\n" + LEGACY).encode("latin-1"), ["CB101"]),
    "carriage returns": (LEGACY.replace("\n", "\r").encode(), ["CB101"]),
    "form feeds": (b"\x0c\n" + LEGACY.encode(), ["CB101"]),
    "no end of line": (LEGACY.strip().encode(), ["CB101"]),
    "invalid escapes": (b"x = '\\d callback'\n", []),
    "only a comment": (b"# callback", []),
    "lone surrogates": (b"x = '\\ud800 callback'\n", []),
}


@pytest.mark.parametrize(("content", "expected"), READABLE.values(), ids=READABLE)
def test_odd_files_are_scanned(content: bytes, expected: list[str], tmp_path: Path) -> None:
    assert rules(scan_bytes(tmp_path, content)) == expected


def test_columns_count_characters_not_bytes() -> None:
    """`ast` counts UTF-8 bytes; people and editors do not."""
    (finding,) = scan_source("x = 'ééé'; from langchain.callbacks import StdOutCallbackHandler\n", "a.py")
    assert finding.snippet == "StdOutCallbackHandler"
    assert finding.column == len("x = 'ééé'; from langchain.callbacks import ")


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000 + ")" * 5000,
        "x = " + "[" * 150 + "]" * 150,
        "x = " + "-" * 20000 + "1",
        "x = " + " + ".join(["1"] * 20000),
        "x = a" + ".b" * 20000,
        "x = f" + "(1)" * 5000,
        "".join(f"{' ' * depth}if x:\n" for depth in range(90)) + " " * 90 + "pass\n",
        "if x:\n    pass\n" + "elif x:\n    pass\n" * 3000,
        "x = 'a' " * 50,
        "lambda: " * 900 + "0",
        "x = " + "9" * 6000,
    ],
    ids=["brackets", "lists", "signs", "sums", "attributes", "calls", "blocks", "elifs", "garbage", "lambdas", "digits"],
)
def test_deep_nesting_is_a_finding_at_most(text: str) -> None:
    """The parser may refuse it; a rule that walks it may not fail."""
    found = scan_source(text + "\n# callback\n" + LEGACY, "deep.py")
    assert [finding.rule for finding in found] in (["CB900"], ["CB101"])


@pytest.mark.thorough
def test_a_large_file_is_said_not_to_be_scanned_if_it_matters(tmp_path: Path) -> None:
    """A generated table of ten megabytes is no news; one that mentions callbacks is."""
    row = b"x = ['0123456789']\n"
    table = row * (10_000_000 // len(row))
    assert rules(scan_bytes(tmp_path, table)) == []
    result = scan_bytes(tmp_path, table + LEGACY.encode())
    assert rules(result) == ["CB900"]
    assert "max-file-size" in result.findings[0].message
    assert rules(scan_bytes(tmp_path, LEGACY.encode(), max_bytes=10)) == ["CB900"]


def test_names_bound_to_each_other_end(tmp_path: Path) -> None:
    """Aliases, bases and re-exports that lead in a circle lead nowhere."""
    files = {
        "a.py": "from b import H\nfrom langchain_openai import ChatOpenAI\nllm = ChatOpenAI(callbacks=[H()])\n",
        "b.py": "from c import H\n",
        "c.py": "from b import H\nx = y\ny = x\nclass A(B): pass\nclass B(A):\n    def on_llm_new_token(self, t): x.run(t)\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    results = scan_files([(name, tmp_path / name) for name in files])
    assert "CB203" in rules(results[0])
    assert "CB900" not in [rule for result in results for rule in rules(result)]


def test_directories_are_searched_whatever_they_hold(tmp_path: Path) -> None:
    """Links in a circle, links that lead nowhere, pipes, and a directory that is called like a file."""
    package = tmp_path / "x.py"
    package.mkdir()
    (package / "real.py").write_text(LEGACY)
    (package / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.py").symlink_to("self.py")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    (tmp_path / "notes.txt").write_text(LEGACY)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "cached.py").write_text(LEGACY)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.py")
    found = find_files([str(tmp_path)], tmp_path)
    results = {result.path: rules(result) for result in scan_files(found)}
    assert results.pop("gone.py") == ["CB900"]
    assert results == {"x.py/real.py": ["CB101"]}
    assert [name for name, _ in find_files([str(package)], tmp_path)] == ["x.py/real.py"]


@pytest.mark.parametrize("kind", ["loop", "pipe", "directory"])
def test_what_is_named_and_cannot_be_read_is_a_finding(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "named.py"
    if kind == "loop":
        path.symlink_to("named.py")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    (result,) = scan_files([("named.py", path)])
    assert rules(result) == ["CB900"]
    assert "cannot be read" in result.findings[0].message


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "secret.py"
    path.write_text(LEGACY)
    path.chmod(0)
    assert rules(scan_files(find_files([str(tmp_path)], tmp_path))[0]) == ["CB900"]


def test_an_error_of_the_system_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root no permission is missing, so the system's answer is given here."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (tmp_path / "secret.py").touch()
    (result,) = scan_files([("secret.py", tmp_path / "secret.py")])
    assert result.findings[0].message == "not scanned: cannot be read: Permission denied"


# -- notebooks ------------------------------------------------------------------------------------------------------------


def notebook(*cells: object) -> str:
    """Return a notebook with code cells."""
    made = [{"cell_type": "code", "source": cell} if isinstance(cell, str | list) else cell for cell in cells]
    return json.dumps({"cells": made, "nbformat": 4})


def test_a_notebook_is_scanned_cell_by_cell() -> None:
    """Findings know their cell; a cell that does not parse hides no other; magics are no code."""
    text = notebook(
        {"cell_type": "markdown", "source": "from langchain.callbacks import x"},
        ["%pip install \\\n", "    langchain\n", "files = !ls \\\n", "    -l\n", "!ls\n", LEGACY],
        "%%bash\necho from langchain.callbacks import StdOutCallbackHandler",
        "def broken(:",
        "await chain.arun(1)\nStdOutCallbackHandler?\nhandler = StdOutCallbackHandler()",
    )
    found = scan_text(text, "book.ipynb").findings
    assert [(finding.rule, finding.facts["cell"], finding.facts["cell_line"]) for finding in found] == [
        ("CB101", "2", "6"),
        ("CB900", "4", "1"),
        ("CB404", "5", "3"),
    ]


NOTEBOOKS = {
    "no JSON": ("{", ["CB900"]),
    "no object": ("[]", ["CB900"]),
    "deep": ("[" * 200_000, ["CB900"]),
    "no cells": ('{"nbformat": 4}', []),
    "cells that are none": ('{"cells": 4}', []),
    "odd cells": ('{"cells": [1, null, {}, {"cell_type": "code"}, {"cell_type": "code", "source": 5}]}', []),
    "odd lines": ('{"cells": [{"cell_type": "code", "source": ["x = 1", null, 3]}]}', []),
    "empty": ("", ["CB900"]),
    "old format": (json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": LEGACY}]}, 3]}), ["CB101"]),
}


@pytest.mark.parametrize(("text", "expected"), NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_odd_notebooks(text: str, expected: list[str]) -> None:
    assert rules(scan_text(text, "book.ipynb")) == expected


# -- anything -------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *sorted(words("from import langchain.callbacks class ( ) [ ] : , = . BaseCallbackHandler def on_llm_new_token self")),
        *sorted(
            words("token callbacks async for in astream_events with_retry await lambda x + += if else return yield * ** @")
        ),
        *("#", "callbridge: ignore[CB101]", "\n", "\t", '"', "'", "1", "None"),
    ]
)
NO_LIMIT = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def well_formed(findings: tuple[Finding, ...] | list[Finding]) -> bool:
    """Return whether findings are in order, and their places are places."""
    placed = all(each.line >= 1 and each.column >= 0 and each.end_line >= each.line for each in findings)
    return placed and sorted(findings, key=lambda each: each.sort_key) == list(findings)


@NO_LIMIT
@given(st.text() | st.lists(WORDS).map(" ".join))
@example("\ud800")
@example("callback\x00")
def test_no_text_makes_a_scan_fail(text: str) -> None:
    assert well_formed(scan_text(text, "any.py").findings)
    assert well_formed(scan_text(text, "any.ipynb").findings)


@NO_LIMIT
@given(st.lists(WORDS).map(" ".join))
def test_no_cell_makes_a_scan_fail(text: str) -> None:
    assert well_formed(scan_text(notebook(text, LEGACY), "any.ipynb").findings)


@NO_LIMIT
@given(st.binary())
@example(b"# coding: rot13\nx")
@example(b"# coding: idna\n\xff")
@example(b"# coding: undefined\n")
@example(b"# coding: utf-7\n+AAA-")
def test_no_bytes_make_a_scan_fail(tmp_path: Path, content: bytes) -> None:
    assert well_formed(scan_bytes(tmp_path, content).findings)
    assert well_formed(scan_bytes(tmp_path, content, "given.ipynb").findings)


@pytest.mark.thorough
def test_a_parser_that_dies_takes_no_other_file_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of the chunk is scanned again in a process of its own; the one that kills it is a finding."""
    files = []
    for number in range(6):
        path = tmp_path / f"f{number}.py"
        path.write_text(LEGACY)
        files.append((path.name, path))
    (tmp_path / "sitecustomize.py").write_text(
        "import ast, os\nparse = ast.parse\n"
        "def dies(text, *args, **kwargs):\n    if isinstance(text, str) and 'kill' in text and 'lang' in text: os._exit(9)\n"
        "    return parse(text, *args, **kwargs)\nast.parse = dies\n"
    )
    files[3][1].write_text("# kill\n" + LEGACY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.setattr(scan, "WORTH_PROCESSES", 1)
    results = scan_files(files, jobs=2)
    assert [rules(result) for result in results] == [["CB101"]] * 3 + [["CB900"]] + [["CB101"]] * 2
    assert results[3].findings[0].message == "not scanned: the parser crashed"
