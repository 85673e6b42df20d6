"""The page of real handlers is in shape, and so is the command that writes it; neither needs the handlers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from real_handlers.comparing import differences, flat
from real_handlers.kinds import KINDS
from real_handlers.page import PAGE, faults, letters_of, rendered, written
from real_handlers.results import Cell, Results, add, begin
from real_handlers.rows import LETTERS, letter_of
from real_handlers.runs import RUNS
from real_handlers.ways import WAYS

DIVERGENCES = (PAGE.parent / "divergences.md").read_text(encoding="utf-8")
VERSIONS = {"python": "3", "langchain": "1", "langgraph": "1", "langchain-openai": "1", "langchain-core": "1"}


def whole(versions: dict[str, str] = VERSIONS) -> dict[str, Results]:
    """Results without a difference, of all handlers and runs."""
    cells = {run: dict.fromkeys(WAYS, Cell()) for run in RUNS}
    return {name: Results("", {**versions, kind.distribution: "1"}, dict(cells)) for name, kind in KINDS.items()}


def test_the_page_has_every_handler_run_and_way_and_its_letters_are_losses() -> None:
    """Each letter is a row of the losses or a numbered divergence, and the sum is that of the cells."""
    assert faults(PAGE.read_text(encoding="utf-8"), DIVERGENCES) == []


def test_each_letter_is_a_row_of_the_losses() -> None:
    """Also one that the page does not use at present."""
    page = written("", rendered(whole()))
    assert faults(page, DIVERGENCES) == []
    for letter, row in LETTERS.items():
        told = page.replace("|---|---|\n", f"|---|---|\n| {letter} | {row} |\n", 1)
        assert faults(told, DIVERGENCES) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("| agent | = |", "| agent | Q |"), "Q is no letter"),
        (("| agent | = |", "| agent | **3** |"), r"\*\*3\*\* is no letter"),
        (("| agent | = |", "| agent |"), "runs and ways"),
        (("| agent |", "| another |"), "runs and ways"),
        (("### Opik", "### Optic"), "its handlers are"),
        (("are equal", "are unequal"), "it should say"),
        (("|---|---|\n", "|---|---|\n| J | what nobody has written down |\n"), "no row of the losses"),
    ],
)
def test_what_is_out_of_shape_is_said(change: tuple[str, str], said: str) -> None:
    """A letter without a meaning, a cell or run that is missing, a handler that is not there, a wrong sum."""
    page = written("", rendered(whole()))
    assert change[0] in page
    assert any(re.search(said, fault) for fault in faults(page.replace(*change, 1), DIVERGENCES))


def test_a_page_is_of_one_state_of_things() -> None:
    """Results that are not whole, or of environments or code that differ, make no page."""
    known = whole()
    del known["opik"].cells["agent"]
    with pytest.raises(ValueError, match="opik"):
        rendered(known)
    with pytest.raises(ValueError, match="differ"):
        rendered({**whole(), "opik": whole({**VERSIONS, "langgraph": "2"})["opik"]})
    known = whole()
    known["opik"].stamp = "other code"
    with pytest.raises(ValueError, match="run it again"):
        rendered(known)


def test_results_are_kept_and_go_with_another_state_of_things(tmp_path: Path) -> None:
    """What is done is not done again; with other code it is."""
    path = tmp_path / "one.jsonl"
    begin(path, "a", "langchain-core")
    add(path, "agent", {"live": Cell((("place", "there", "here"),))})
    assert begin(path, "a", "langchain-core").cells == {"agent": {"live": Cell((("place", "there", "here"),))}}
    assert begin(path, "b", "langchain-core").cells == {}


def test_records_are_compared_leaf_by_leaf_and_without_what_is_not_stable() -> None:
    """Ids and times are masked; a place that differs between two references counts for nothing."""
    run = {"path": ("root", "model"), "id": "0b0e5c5e-2f9e-4d0e-9f43-1a6f3a0f4c11", "said": {"text": "a", "took": 1}}
    again = {**run, "id": "7c4f1a7e-8a0f-4b3e-8d53-2b6f3a0f4c22", "said": {"text": "a", "took": 2}}
    other = {**again, "said": {"text": "b", "took": 3}}
    assert differences(flat([run]), flat([again]), flat([other])) == [("root > model | said.text", '"a"', '"b"')]


def test_runs_below_another_run_are_compared_all_the_same() -> None:
    """Where they stand is one difference; what they have said is compared with what those have said that stand elsewhere."""
    models = [{"path": ("model",), "said": "a"}, {"path": ("model",), "said": "b"}]
    chain = {"path": ("chain",), "said": "b"}
    below = [{**model, "path": ("chain", "model")} for model in models]
    there = flat([chain, *models])
    assert differences(there, there, flat([chain, *below])) == [("model | parents", "-", "chain")]
    assert differences(there, there, flat([chain, below[1], below[1]])) == [
        ("model | parents", "-", "chain"),
        ("model | said", '"a"', '"b"'),
    ]


@pytest.mark.parametrize("handler", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_fault_is_no_loss(handler: str, way: str) -> None:
    """Another answer, another parent, a run that is missing or failed: no row explains them, in any run."""
    wrong = [
        ("chain > ChatOpenAI | outputs.text", '"It is sunny."', '"It is"'),
        ("chain > ChatOpenAI", "is there", "-"),
        ("chain > chain > ChatOpenAI", "-", "is there"),
        ("chain > ChatOpenAI | usage_metadata.total_tokens", "16", "32"),
        ("chain > ChatOpenAI | status", '"OK"', '"ERROR"'),
        ("chain | outputs", '"a"', "-"),
    ]
    runs = ("agent", "react executor", "interrupt", "fallback", "cut off")  # those that rows name
    kinds = Counter(letter_of(handler, run, way, difference) for run in runs for difference in wrong)
    assert kinds == {None: len(runs) * len(wrong)}
    assert letters_of(handler, "agent", way, Cell(tuple(wrong))) == "**6**"
