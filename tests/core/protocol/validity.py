"""What makes a protocol stream valid: LangChain's own check where it is installed, and what that overlooks."""

from __future__ import annotations

import json
from typing import Any

try:
    from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
except ImportError:  # langchain-tests is no requirement of the suite
    assert_valid_event_stream = None

__all__ = ["assert_valid_message", "messages_of"]


def assert_valid_message(events: list[Any]) -> None:
    """Check the message events of one message: their order, their indices, and that parts add up to wholes."""
    if assert_valid_event_stream is not None:
        assert_valid_event_stream(events)
    names = [event["event"] for event in events]
    assert names[0] == "message-start"
    assert names[-1] == "message-finish"
    assert names.count("message-start") == names.count("message-finish") == 1
    parts: dict[int, dict[str, str]] = {}
    ended: set[int] = set()
    for event in events[1:-1]:
        index = event["index"]
        if event["event"] == "content-block-start":
            assert index == len(parts), "blocks are numbered in the order in which they begin"
            parts[index] = {"args": ""} if event["content"]["type"].endswith("_chunk") else {}
        elif event["event"] == "content-block-delta":
            assert index in parts
            assert index not in ended
            delta = event["delta"]
            for field in ("text", "reasoning", "args", "data"):
                if field in delta:
                    parts[index][field] = parts[index].get(field, "") + delta[field]
        else:
            assert index in parts
            assert index not in ended
            ended.add(index)
            _check_whole(parts[index], event["content"])
    assert ended == set(parts)


def _check_whole(parts: dict[str, str], content: dict[str, Any]) -> None:
    for field in ("text", "reasoning", "data"):
        if field in parts:
            assert content[field] == parts[field]
    if content["type"] in ("tool_call", "server_tool_call") and "args" in parts:
        assert content["args"] == json.loads(parts["args"] or "{}"), "the parts of the arguments add up to them"
    if content["type"] == "invalid_tool_call" and "args" in parts:
        assert content["args"] == parts["args"]


def messages_of(envelopes: list[Any]) -> dict[str, list[Any]]:
    """Return the message events of each run."""
    found: dict[str, list[Any]] = {}
    for one in envelopes:
        if one["method"] == "messages":
            found.setdefault(one["params"]["run_id"], []).append(one["params"]["data"])
    return found
