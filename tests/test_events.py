"""The typed events: the names are all names, the types tell the truth about real events, and the check says what is wrong."""

from __future__ import annotations

import json
import re
import types
from collections import UserDict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge import events
from callbridge.core.calls import Call
from callbridge.core.encode import CallsToEvents
from callbridge.core.methods import METHODS
from callbridge.errors import EventFormatError
from callbridge.events import EVENT_NAMES, EXTENDED_EVENT_NAMES, Event, V2Event, check_event, is_event
from oracle.running import reference_events
from scenarios import SCENARIOS, WARNINGS, Scenario, as_params
from strategies import transcripts

RUN_TYPES = {"on_llm": ("chat_model", "llm"), "on_chain": ("chain", "prompt", "parser")}
"""Beginning of a callback method's name to the run types that report through it."""

CLASSES = {get_args(get_type_hints(kind)["event"])[0]: kind for kind in get_args(Event)}
"""Event name to its type."""


def fits(value: object, hint: Any) -> bool:
    """Return whether a value is what an annotation says, as deep as the types of the events go."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(key, arguments[0]) for key in value)
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        return (
            isinstance(value, dict)
            and hint.__required_keys__ <= value.keys() <= hints.keys()
            and all(fits(item, hints[key]) for key, item in value.items())
        )
    return isinstance(value, hint)


def event(**changes: Any) -> dict[str, Any]:
    """Return an event with some fields other than usual; a field that is `...` is left out."""
    whole: dict[str, Any] = {
        "event": "on_chain_start",
        "name": "chain",
        "run_id": "5f1c1a36-2f3c-4b1e-9d55-1d0f2a4f6b10",
        "tags": [],
        "metadata": {},
        "parent_ids": [],
        "data": {"input": 1},
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


# -- names


def test_the_names_are_those_of_the_unions() -> None:
    """Every name has one type, and every type a name of its own."""
    assert len(CLASSES) == len(get_args(Event))
    assert CLASSES.keys() == EXTENDED_EVENT_NAMES
    assert {name for name, kind in CLASSES.items() if kind in get_args(V2Event)} == EVENT_NAMES


def named(pattern: str | None, method: str) -> Iterator[str]:
    """Return the names that a callback method's event may have."""
    if pattern is not None:
        family = next((family for family in RUN_TYPES if method.startswith(family)), "")
        yield from {pattern.replace("{}", run_type) for run_type in RUN_TYPES.get(family, ("",))}


def test_every_callback_method_has_its_events() -> None:
    """What the table of methods maps to has a type, and nothing else has but the chunks that come from taps."""
    plain = {name for row in METHODS.values() for name in named(row.event, row.name)}
    extended = {name for row in METHODS.values() for name in named(row.extended, row.name)}
    tapped = {name for name in EVENT_NAMES if name.endswith("_stream")}
    assert plain | tapped == EVENT_NAMES
    assert plain | tapped | extended == EXTENDED_EVENT_NAMES


def test_all_that_is_defined_is_public() -> None:
    """`__all__` has every public name of the module, and the annotations of every type resolve at run time."""
    own = {name for name, value in vars(events).items() if getattr(value, "__module__", None) == events.__name__}
    public = {name for name in own if not name.startswith("_")}
    assert public <= set(events.__all__)
    assert all(get_type_hints(vars(events)[name]) for name in public)


# -- types


@pytest.mark.filterwarnings(*WARNINGS)
@pytest.mark.parametrize("scenario", as_params([one for one in SCENARIOS if "astream_events" in one.modes]))
def test_langchains_events_are_what_the_types_say(scenario: Scenario) -> None:
    """Of real runs of every kind each event fits its type, and passes the check as it is."""
    found, _ = reference_events(scenario)
    assert all(check_event(one) is one for one in found)
    # The parrot is a fake of LangChain's that answers with the human's message, which no real model does.
    typed = [one for one in found if one["name"] != "ParrotFakeChatModel"]
    assert not [one for one in typed if not fits(one, CLASSES[one["event"]])]


@given(transcripts(finished=False), st.booleans())
def test_our_events_are_what_the_types_say(calls: list[Call], extended: bool) -> None:
    """Whatever the calls, and at whatever point the runs are ended from outside."""
    translator = CallsToEvents(extended=extended)
    made = [one for call in calls for one in translator.feed(call)] + translator.close()
    names = EXTENDED_EVENT_NAMES if extended else EVENT_NAMES
    assert not [one for one in made if one["event"] not in names or not fits(one, CLASSES[one["event"]])]
    assert all(check_event(one) is one for one in made)


# -- the check


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "NoneType is not a mapping"),
        ("on_chain_start", "str is not a mapping; callbridge.loads reads JSON"),
        ([("event", "on_chain_start")], "list is not a mapping"),
        ({}, "event is missing"),
        (event(event=...), "event is missing"),
        (event(event=7), "event is int, not str"),
        (event(event=[]), "event is list, not str"),
        (event(event="on_llm_new_token"), "no event is named 'on_llm_new_token'"),
        (event(event="chain_start"), "no event is named 'chain_start'"),
        (event(event="on__start"), "no event is named 'on__start'"),
        (event(event="on_chain_started"), "no event is named 'on_chain_started'"),
        (event(name=...), "name is missing"),
        (event(name=None), "name is NoneType, not str"),
        (event(run_id=...), "run_id is missing"),
        (event(run_id=b"5f1c"), "run_id is bytes, not str"),
        (event(tags="tag"), "tags is str, not list"),
        (event(metadata=[]), "metadata is list, not dict"),
        (event(parent_ids="5f1c"), "parent_ids is str, not list"),
        (event(parent_ids=["5f1c", 7]), "parent_ids has int, not str"),
        (event(data=...), "data is missing"),
        (event(data=None), "data of on_chain_start is NoneType, not dict"),
        (event(event="on_chain_stream"), "data of on_chain_stream has no chunk"),
        (event(event="on_tool_end"), "data of on_tool_end has no output"),
        (event(event="on_llm_error"), "data of on_llm_error has no error"),
        (event(event="on_agent_action"), "data of on_agent_action has no action"),
        (event(event="on_agent_finish"), "data of on_agent_finish has no finish"),
        (event(event="on_text"), "data of on_text has no text"),
        (event(event="on_retry"), "data of on_retry has no retry_state"),
        (event(event="on_graph_stream"), "data of on_graph_stream has no chunk"),
        (event(event="on_custom_event", data=...), "data is missing"),
    ],
)
def test_what_is_no_event_is_named(value: Any, problem: str) -> None:
    """The error says what is wrong, and carries the value."""
    assert not is_event(value)
    with pytest.raises(EventFormatError, match=re.escape(problem)) as caught:
        check_event(value)
    assert caught.value.value is value
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    "value",
    [
        event(),
        event(data={}),
        event(event="on_custom_event", data=None),
        event(event="on_custom_event", data="text"),
        event(event="on_graph_start", data={}),
        event(event="on_my_own_type_stream", data={"chunk": None}),
        event(parent_ids=["5f1c", "6a2d"], extra="field"),
    ],
)
def test_an_event_passes_as_it_is(value: dict[str, Any]) -> None:
    """Custom data of any kind, run types that only the user knows and fields of later versions included."""
    assert is_event(value)
    assert check_event(value) is value


@pytest.mark.parametrize("absent", [..., None], ids=["missing", "null"])
@pytest.mark.parametrize("field", ["tags", "metadata", "parent_ids"])
def test_what_servers_leave_out_is_empty(field: str, absent: Any) -> None:
    """Tags, metadata and parents that are not there are empty, in a dict of our own."""
    value = event(**{field: absent})
    before = deepcopy(value)
    assert not is_event(value)
    assert check_event(value) == event()
    assert value == before


def test_what_is_filled_in_is_not_shared() -> None:
    """Two events without tags do not end up with one list of them."""
    first, second = (check_event(event(tags=..., metadata=..., parent_ids=...)) for _ in range(2))
    assert first["tags"] is not second["tags"]
    assert first["metadata"] is not second["metadata"]
    assert first["parent_ids"] is not second["parent_ids"]


def test_any_mapping_is_taken() -> None:
    """Other mappings become dicts."""
    checked = check_event(UserDict(event()))
    assert checked == event()
    assert type(checked) is dict


def test_json_passes() -> None:
    """An event that was text on its way is one again."""
    value = event(event="on_chat_model_stream", data={"chunk": {"type": "AIMessageChunk", "content": "Hi"}})
    assert is_event(json.loads(json.dumps(value)))


fields = st.sampled_from([*event(), "extra"])
names = st.one_of(st.sampled_from(sorted(EXTENDED_EVENT_NAMES)), st.just("on_x_end"), st.text(max_size=4))
values = st.recursive(
    st.one_of(st.none(), st.integers(), names, st.binary(max_size=2)),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["chunk", "output", "error"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.dictionaries(fields, values), st.sets(fields), names)
def test_both_checks_agree(changes: dict[str, Any], gone: set[str], name: str) -> None:
    """An event either passes as it is, or comes back completed, or is refused with an error of ours; it is never written to."""
    value = {key: item for key, item in {**event(event=name), **changes}.items() if key not in gone}
    before = deepcopy(value)
    try:
        checked = check_event(value)
    except EventFormatError:
        assert not is_event(value)
    else:
        assert is_event(checked)
        assert (checked is value) == is_event(value)
    assert value == before
