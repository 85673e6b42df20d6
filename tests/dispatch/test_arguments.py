"""Every argument of every callback: carried by extended events, or a row of the losses in `docs/divergences.md`.

LangChain's signatures say little, since managers hand on whatever a run passes. So the arguments are those that the installed
LangChain and LangGraph declare, and those that the scenarios of this suite are seen to pass.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

import callbridge as cb
from callbridge.compat import CORE_VERSION
from callbridge.core.methods import METHODS
from oracle import LoggedCall, Recorder, normalise, run_attached
from scenarios import SCENARIOS, WARNINGS, Scenario

pytestmark = [pytest.mark.filterwarnings(one) for one in WARNINGS]

ROWS = Path(__file__).parents[2] / "docs" / "divergences.md"

IDS = "run_id parent_run_id tags"
NAMED = f"{IDS} metadata name"

CARRIED: dict[str, str] = {
    "on_llm_start": f"prompts {NAMED}",
    "on_chat_model_start": f"messages {NAMED}",
    "on_llm_new_token": f"token {IDS}",
    "on_llm_end": f"response {IDS}",
    "on_llm_error": f"error response {IDS}",
    "on_chain_start": f"inputs {NAMED}",
    "on_chain_end": f"outputs {IDS}",
    "on_chain_error": f"error inputs {IDS}",
    "on_tool_start": f"input_str inputs color llm_prefix observation_prefix {NAMED}",
    "on_tool_end": f"output color name llm_prefix observation_prefix {IDS}",
    "on_tool_error": f"error {IDS}",
    "on_retriever_start": f"query {NAMED}",
    "on_retriever_end": f"documents {IDS}",
    "on_retriever_error": f"error {IDS}",
    "on_custom_event": "name data run_id tags metadata",
    "on_agent_action": f"action color verbose {IDS}",
    "on_agent_finish": f"finish color verbose {IDS}",
    "on_text": f"text color end verbose {IDS}",
    "on_retry": f"retry_state {IDS}",
}
"""What a handler that is driven by extended events hears as an attached one does."""

MODEL = {"serialized": "`serialized`", "invocation_params": "`invocation_params`"} | dict.fromkeys(
    ("options", "batch_size"), "`options`, `batch_size`"
)
TOLD_TO_LANGGRAPH = "LangGraph's `on_interrupt`, `on_resume`"

LOST: dict[str, dict[str, str]] = {
    "on_llm_start": MODEL,
    "on_chat_model_start": MODEL,
    "on_llm_new_token": {"chunk": "D11"},
    "on_chain_start": {"serialized": "`serialized`"}
    | dict.fromkeys(("run_type", "defers_inputs"), "`run_type=None`, `defers_inputs`"),
    "on_chain_end": {"inputs": "falsy inputs of a chain at its end"},
    "on_tool_start": {"serialized": "`serialized`", "tool_call_id": "`tool_call_id` of tools"},
    "on_tool_error": {"tool_call_id": "`tool_call_id` of tools"},
    "on_retriever_start": {"serialized": "`serialized`"},
    # Version 3 speaks in a protocol of its own, which becomes tokens.
    "on_stream_event": dict.fromkeys(("event", *IDS.split()), "D19"),
    "on_interrupt": {"event": TOLD_TO_LANGGRAPH},
    "on_resume": {"event": TOLD_TO_LANGGRAPH},
}
"""What such a handler may hear otherwise, or not at all: a row of the losses, or a numbered divergence."""


def handlers() -> list[type]:
    """The classes that handlers inherit from."""
    classes: list[type] = [BaseCallbackHandler, AsyncCallbackHandler]
    if find_spec("langgraph.callbacks"):
        from langgraph.callbacks import GraphCallbackHandler

        classes.append(GraphCallbackHandler)
    return classes


def parameters(method: Any) -> list[str]:
    """What a callback names."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [name for name, one in inspect.signature(method).parameters.items() if name != "self" and one.kind not in kinds]


def known(method: str) -> set[str]:
    """What the tables above know of a callback."""
    return {*CARRIED.get(method, "").split(), *LOST.get(method, {})}


Keyed = dict[tuple[Any, str, int], dict[str, Any]]


def by_name(calls: Iterable[LoggedCall]) -> Keyed:
    """Each call's arguments by name; calls by run, method and number."""
    counted: Counter[tuple[Any, str]] = Counter()
    found: Keyed = {}
    for method, args, kwargs in calls:
        key = (kwargs["run_id"], method)
        counted[key] += 1
        positional = dict(zip(parameters(getattr(BaseCallbackHandler, method)), args, strict=False))
        found[(*key, counted[key])] = {**positional, **kwargs}
    return found


def heard(scenario: Scenario) -> tuple[Keyed, Keyed]:
    """What an attached handler hears of a scenario, and what one does that is driven by its extended events."""
    source, driven, attached = cb.EventStreamHandler(extended=True, roots=None), Recorder(), Recorder()
    run_attached(scenario, "ainvoke" if "ainvoke" in scenario.modes else scenario.modes[0], [source, attached])
    source.finish()
    cb.drive(source, driven)
    return by_name(attached.calls), by_name(driven.calls)


CHOSEN = [
    one
    for one in SCENARIOS
    if not one.missing
    and one.modes[0] != "astream_events"
    and one.name != "graph_generator_node"  # LangChain closes its generator after its parent (D12)
    and (one.name != "executor_react_unknown_tool" or CORE_VERSION >= (1,))  # before that it writes into the input
]


@cache
def all_heard() -> list[tuple[str, Keyed, Keyed]]:
    """The calls of all scenarios, made once."""
    return [(one.name, *heard(one)) for one in CHOSEN]


def test_what_langchain_and_langgraph_declare_is_carried_or_a_documented_loss() -> None:
    """Each argument that a handler's method names is in one of the tables; each method that extended events know has a row."""
    for kind in handlers():
        for method in (name for name in dir(kind) if name.startswith("on_")):
            named = set(parameters(getattr(kind, method)))
            assert named <= known(method), f"{kind.__name__}.{method}: {named - known(method)}"
    assert {method for method in METHODS if METHODS[method].extended or METHODS[method].event} <= {*CARRIED, *LOST}


@pytest.mark.thorough
def test_what_runs_pass_is_carried_or_a_documented_loss() -> None:
    """Arguments that no signature names, too: managers hand on whatever a run gives them."""
    passed = {(key[1], name) for _, attached, _ in all_heard() for key, args in attached.items() for name in args}
    assert {(method, name) for method, name in passed if name not in known(method)} == set()


def test_what_is_carried_is_equal() -> None:
    """In every scenario, call by call; nothing is passed that LangChain does not pass but what is said of losses."""
    for scenario, attached, driven in all_heard():
        assert attached.keys() == driven.keys(), scenario
        for key, args in attached.items():
            lost = LOST.get(key[1], {})
            # Old versions leave out what newer ones pass as None.
            there, here = (
                {name: value for name, value in one.items() if name not in lost and value is not None}
                for one in (args, driven[key])
            )
            assert normalise(here) == normalise(there), (scenario, key[1])


def test_each_loss_is_documented() -> None:
    """By the first cell of its row, or by its number."""
    text = ROWS.read_text(encoding="utf-8")
    for row in {row for rows in LOST.values() for row in rows.values()}:
        assert f"**{row}. " in text or f"\n| {row} | " in text, row
