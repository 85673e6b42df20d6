"""Why models end, as providers say it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from callbridge.core.usage import Usage


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "stop"),
        ({"finish_reason": "stop"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"stop_reason": "tool_use"}, "tool-calls"),
        ({"finish_reason": "SAFETY"}, "content-filter"),
        ({"done_reason": "load"}, "other"),
    ],
)
def test_the_reason_is_read_as_providers_write_it(metadata: dict[str, Any], reason: str) -> None:
    usage = Usage()
    usage.add(AIMessage("x", response_metadata=metadata), last=True)
    assert usage.reason == reason


@pytest.mark.parametrize("output", [None, "x", {"generations": []}, AIMessage("x")])
def test_what_says_nothing_costs_nothing(output: Any) -> None:
    usage = Usage()
    usage.add(output, last=True)
    assert usage.total_tokens == 0
