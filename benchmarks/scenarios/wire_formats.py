"""One token as a server-sent event of other people's protocols, beside the JSON of the same data."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

from langchain_core.messages import AIMessageChunk

from benchmarks.scenario import EVENT, OURS, Contender, Goal, Scenario, check

__all__ = ["SCENARIOS"]

TOKENS = 5000
RUN = "019aa0b4-19e0-77ce-aa88-8cc33ae96ccf"


def _token(number: int) -> dict[str, Any]:
    return {
        "event": "on_chat_model_stream",
        "run_id": RUN,
        "name": "ChatOpenAI",
        "tags": ["seq:step:2"],
        "metadata": {"ls_provider": "openai"},
        "data": {"chunk": AIMessageChunk(content=f"tea {number} ", id=f"run-{RUN}")},
        "parent_ids": ["019aa0b4-19df-7a70-8f0a-2f2a37d3a8c1"],
    }


def _encode(name: str, items: int) -> float:
    """Return the processor time of a token, from its event to the bytes that are sent."""
    from callbridge.web import format_named  # noqa: PLC0415 - an extra, asked for when it is measured
    from callbridge.web.wire import sse_bytes  # noqa: PLC0415

    events = [_token(number) for number in range(items)]
    encoder = format_named(name).begin()
    made = 0
    began = process_time()
    for event in events:
        for frame in encoder.feed(event):
            made += len(sse_bytes(frame, "\n"))
    seconds = process_time() - began
    check("bytes are made of each token", made > 20 * items, True)
    return seconds / items


def _plain(items: int) -> float:
    """Return the processor time of the same data by `json.dumps`, whatever it is called in the protocol."""
    events = [_token(number) for number in range(items)]
    made = 0
    began = process_time()
    for event in events:
        made += len(json.dumps({"type": "text-delta", "id": "text-1", "delta": event["data"]["chunk"].content}))
    seconds = process_time() - began
    check("bytes are made of each token", made > 20 * items, True)
    return seconds / items


def _scenario(name: str) -> Scenario:
    run: Callable[[int], float] = partial(_encode, name)
    return Scenario(
        name=f"format-{name}",
        title=f'a token as the format "{name}"',
        what="Processor time for one token of a model, from the event to the bytes of a server-sent event.",
        unit=EVENT,
        contenders=(Contender(OURS, run, TOKENS, "ours"), Contender("json.dumps", _plain, TOKENS, "floor")),
        goals=(Goal(None, at_most=15),),
    )


SCENARIOS = tuple(map(_scenario, ("ai-sdk", "ag-ui", "openai")))
