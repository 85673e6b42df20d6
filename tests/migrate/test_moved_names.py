"""Where the names of `langchain.callbacks` live now: the table is true, and scan and fix say the same of every name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from functools import partial

import pytest

from callbridge.migrate.analysis import moved_names
from callbridge.migrate.analysis.langchain_names import is_producer_name
from callbridge.migrate.commands.scan import scan_source
from callbridge.migrate.edits.rewriting import Options, rewrite
from callbridge.migrate.finding import Finding
from callbridge.migrate.words import words

NAMES = sorted(moved_names._HOMES)
OLD_MODULES = words(
    "aim_callback argilla_callback arize_callback arthur_callback base clearml_callback comet_ml_callback "
    "confident_callback context_callback file flyte_callback human infino_callback labelstudio_callback "
    "llmonitor_callback manager mlflow_callback openai_info promptlayer_callback sagemaker_callback shared stdout "
    "streaming_aiter streaming_aiter_final_only streaming_stdout streaming_stdout_final_only streamlit "
    "streamlit.mutable_expander streamlit.streamlit_callback_handler tracers tracers.base tracers.comet "
    "tracers.evaluation tracers.langchain tracers.langchain_v1 tracers.log_stream tracers.logging tracers.root_listeners "
    "tracers.run_collector tracers.schemas tracers.stdout tracers.wandb trubrics_callback utils wandb_callback "
    "whylabs_callback"
)
"""Those below `langchain.callbacks` in langchain 0.3, and one that came to an end before it."""


def test_names_are_where_the_table_says() -> None:
    """They can be imported from there where the package is installed, and are found there without being imported."""
    checked = 0
    named = [*moved_names._HOMES.items(), *((name, home) for (_, name), home in moved_names._HOMES_BY_PLACE.items())]
    for name, home in named:
        if importlib.util.find_spec(home.module.partition(".")[0]) is None:
            assert moved_names.provides(home.module, name) == "not installed"
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # langchain-community says at its import that it comes to an end
            assert hasattr(importlib.import_module(home.module), name), f"{home.module} has no {name}"
        assert moved_names.provides(home.module, name) == "yes"
        assert moved_names.provides(home.module, f"{name}_") == "no"
        checked += 1
    assert checked > 50
    assert not moved_names.REMOVED_NAMES & {*NAMES}


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def answers(text: str) -> Iterator[tuple[str, Finding, str, str]]:
    """Yield for each line of imports: the name, what scan says, and fix's rule and verdict."""
    found = {each.line: each for each in scan_source(text, "app.py")}
    fixed = rewrite(text, Options(unsafe=True, scan=partial(scan_source, path="app.py")))
    said = {each.place.line: (each.rule, "auto-review" if each.reason else "auto-safe") for each in fixed.changes}
    said |= {each.place.line: (each.rule, "manual") for each in fixed.refusals}
    for line, ((_, name), now) in enumerate(zip(imported(text), imported(fixed.text), strict=True), 1):
        finding = found[line]
        if finding.verdict != "manual":
            assert now == (finding.facts["home"], name)
        yield name, finding, *said[line]


@pytest.mark.parametrize("place", ["langchain.callbacks", *(f"langchain.callbacks.{each}" for each in sorted(OLD_MODULES))])
def test_scan_and_fix_agree_on_every_name_of_every_old_module(place: str) -> None:
    """Rule and verdict are the same, and what scan calls automatic is imported from where scan says, once fix was there.

    Of the names that mean the same in every module, the innermost ones take a quarter each, by turns.
    """
    pytest.importorskip("libcst")
    names = [name for name in [*NAMES, *sorted(moved_names.REMOVED_NAMES), "NoSuchName"] if not is_producer_name(name)]
    if place != "langchain.callbacks":
        depends = {name for _, name in moved_names._HOMES_BY_PLACE}
        turn = len(place) % 4
        names = [name for number, name in enumerate(names) if number % 4 == turn or name in depends or name == "NoSuchName"]
    text = "".join(f"from {place} import {name}\n" for name in names)
    checked = 0
    for name, finding, rule, verdict in answers(text):
        assert (finding.rule, finding.verdict) == (rule, verdict), name
        assert (verdict == "manual") == (moved_names.home_of(name) is None), name
        checked += 1
    assert checked == len(names)


def test_a_class_stays_a_class_where_a_function_has_its_name() -> None:
    """Streamlit's handler of the innermost module can be derived from, that of the modules above it cannot."""
    pytest.importorskip("libcst")
    inner = "callbacks.streamlit.streamlit_callback_handler"
    for place, module in (
        (f"langchain.{inner}", f"langchain_community.{inner}"),
        ("langchain.callbacks.streamlit", "langchain_community.callbacks"),
        ("langchain.callbacks", "langchain_community.callbacks"),
    ):
        ((_, finding, *said),) = answers(f"from {place} import StreamlitCallbackHandler\n")
        assert (finding.facts["home"], *said) == (module, "CB103", "auto-review")


def test_neither_speaks_of_producers() -> None:
    names = [name for name in NAMES if is_producer_name(name)]
    text = "".join(f"from langchain.callbacks.manager import {name}\n" for name in names)
    fixed = rewrite(text, Options(unsafe=True, scan=partial(scan_source, path="app.py")))
    assert len(names) > 15
    assert not scan_source(text, "app.py")
    assert (fixed.text, fixed.changes, fixed.refusals) == (text, (), ())


@pytest.mark.parametrize(
    "text",
    [
        "from langchain.callbacks import *\n",
        "from langchain import callbacks, set_handler\n",
        "import langchain.callbacks.base\n",
        "from langchain.callbacks import manager\n",
        "from langchain.callbacks import StdOutCallbackHandler; x = 1\n",
        "if x: from langchain.callbacks import get_openai_callback; y = 1\n",
        "from langchain.callbacks import StdOutCallbackHandler, get_openai_callback  # both\n",
        "try:\n    from langchain.callbacks import StdOutCallbackHandler\nexcept ImportError:\n    pass\n",
        "try:\n    from langchain.callbacks import get_openai_callback\n    run()\nfinally:\n    stop()\n",
        "def f():\n    from langchain.callbacks import StdOutCallbackHandler as Out, tracing_v2_enabled\n",
    ],
)
def test_scan_and_fix_agree_however_the_import_is_written(text: str) -> None:
    """Where the layout keeps fix from an edit, scan promises none."""
    pytest.importorskip("libcst")
    fixed = rewrite(text, Options(unsafe=True, scan=partial(scan_source, path="app.py")))
    said = [(each.rule, each.place.line, "auto-review" if each.reason else "auto-safe") for each in fixed.changes]
    said += [(each.rule, each.place.line, "manual") for each in fixed.refusals]
    found = scan_source(text, "app.py")
    assert sorted((each.rule, each.line, each.verdict) for each in found) == sorted(said)
    assert found
    assert all(each.reason for each in found if each.verdict == "manual")
