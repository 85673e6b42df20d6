"""Events as JSON and back, compared with LangChain's own way, and with parsers and writers in C that know no messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

from langchain_core.messages import AIMessageChunk

import callbridge
from benchmarks.scenario import EVENT, OURS, Contender, Goal, Scenario, check

__all__ = ["SCENARIOS"]

CALLS = 5000

CHUNK: dict[str, Any] = {
    "event": "on_chat_model_stream",
    "run_id": "019aa0b4-19e0-77ce-aa88-8cc33ae96ccf",
    "name": "ChatOpenAI",
    "tags": ["seq:step:2"],
    "metadata": {"ls_provider": "openai", "ls_model_name": "gpt-5", "ls_model_type": "chat", "thread_id": "12"},
    "data": {"chunk": AIMessageChunk(content="tea ", id="run-019aa0b4")},
    "parent_ids": ["019aa0b4-19df-7a70-8f0a-2f2a37d3a8c1"],
}
"""One token of a chain."""


def _langchain_dumps() -> Callable[[Any], Any]:
    from langchain_core.load import dumps  # noqa: PLC0415 - imported for its measurement

    return dumps


def _langchain_loads() -> Callable[[Any], Any]:
    from langchain_core.load import loads  # noqa: PLC0415 - imported for its measurement

    return loads


def _orjson_dumps() -> Callable[[Any], Any]:
    import orjson  # noqa: PLC0415 - imported for its measurement

    return partial(orjson.dumps, default=lambda message: message.__dict__)


def _orjson_loads() -> Callable[[Any], Any]:
    import orjson  # noqa: PLC0415 - imported for its measurement

    loads: Callable[[Any], Any] = orjson.loads
    return loads


def _pydantic_dumps() -> Callable[[Any], Any]:
    from pydantic_core import to_json  # noqa: PLC0415 - imported for its measurement

    return to_json


def _pydantic_loads() -> Callable[[Any], Any]:
    from pydantic_core import from_json  # noqa: PLC0415 - imported for its measurement

    return from_json


def _run(get: Callable[[], Callable[[Any], Any]], argument: Any, items: int) -> float:
    """Return the processor time of a call."""
    function = get()
    began = process_time()
    for _ in range(items):
        made = function(argument)
    seconds = process_time() - began
    event = made if isinstance(made, dict) else json.loads(made)
    check("event", event["event"], CHUNK["event"])
    return seconds / items


def _scenario(
    name: str, title: str, argument: Any, contenders: dict[str, Callable[[], Callable[[Any], Any]]], goal: Goal
) -> Scenario:
    roles = {OURS: "ours", "langchain_core.load": "incumbent"}
    return Scenario(
        name=name,
        title=title,
        what="Processor time for one event of a token. The parsers and writers in C make no message: a dict is all they know.",
        unit=EVENT,
        contenders=tuple(
            Contender(label, partial(_run, get, argument), CALLS, roles.get(label, "floor"))  # type: ignore[arg-type]
            for label, get in contenders.items()
        ),
        goals=(goal,),
    )


SCENARIOS = (
    _scenario(
        "json-dumps",
        "an event as JSON",
        CHUNK,
        {
            OURS: lambda: callbridge.dumps,
            "langchain_core.load": _langchain_dumps,
            "orjson": _orjson_dumps,
            "pydantic_core": _pydantic_dumps,
        },
        Goal(None, at_most=12),
    ),
    _scenario(
        "json-loads",
        "an event out of JSON",
        callbridge.dumps(CHUNK),
        {
            OURS: lambda: callbridge.loads,
            "langchain_core.load": _langchain_loads,
            "orjson": _orjson_loads,
            "pydantic_core": _pydantic_loads,
        },
        Goal(None, at_most=15),
    ),
)
