"""What a scan says of an edit is what `fix` does, over all the sources that the tests of the rules have."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import find_all, scan_source
from callbridge.migrate.edits.rewriting import Options, rewrite
from callbridge.migrate.edits.verdicts import REWRITTEN_BY
from callbridge.migrate.finding import Finding

pytest.importorskip("libcst")

RULES = sorted((Path(__file__).parents[1] / "rules").glob("test_cb*.py"))


def sources(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the sources of a rule's tests, each with the other files of its project."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases = getattr(module, "CASES", {}).values()
    return [case if isinstance(case, tuple) else (case, {}) for case in cases]


def left(text: str, others: dict[str, str], *, unsafe: bool) -> tuple[list[Finding], set[tuple[str, int]]]:
    """Return what a scan still finds when `fix` was there, and the places that `fix` names."""

    def project(text: str) -> Project:
        return Project.build([("app.py", text), *others.items()])

    options = Options(unsafe=unsafe, scan=lambda now: find_all(now, "app.py", project(now)))
    rewritten = rewrite(text, options, foreign_uses=project(text).foreign_uses("app.py"))
    named = {(each.rule, each.place.line) for each in rewritten.refusals if each.reason}
    return scan_source(rewritten.text, "app.py", project(rewritten.text)), named


@pytest.mark.parametrize("path", RULES, ids=[path.stem for path in RULES])
def test_what_a_scan_calls_automatic_is_edited(path: Path) -> None:
    """Whatever is auto-safe is gone after `fix`, and whatever is auto-review after `fix --unsafe`."""
    for source, more in sources(path):
        text = dedent(source).lstrip("\n")
        others = {name: dedent(each) for name, each in more.items()}
        safe, named = left(text, others, unsafe=False)
        assert not [each for each in safe if each.verdict == "auto-safe"], text
        unsafe, _ = left(text, others, unsafe=True)
        assert not [each for each in unsafe if each.automatic], text
        if not [each for each in scan_source(text, "app.py") if each.verdict == "auto-safe"]:
            waiting = {(each.rule, each.line) for each in safe if each.rule in REWRITTEN_BY and each.verdict != "keep"}
            assert waiting <= named, text


def test_a_verdict_needs_no_edit_to_be_proved_anew() -> None:
    """Settled findings that are settled again stay as they are."""
    text = "from langchain.callbacks.base import BaseCallbackHandler\n"
    options = Options(scan=partial(scan_source, path="app.py"))
    assert [each.verdict for each in scan_source(text, "app.py")] == ["auto-safe"]
    assert rewrite(text, options).text == text.replace("langchain.callbacks.base", "langchain_core.callbacks")
