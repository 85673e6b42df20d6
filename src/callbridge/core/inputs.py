"""Finds the arguments of a model, tool or retriever in the `input` of its start event.

Mostly they are in its dict. But the first event of a stream shows the argument of the call itself (the root rules of
`astream_events`), before the component has coerced it. So this module coerces it as the component does. With filters, that
event may belong to a run deep inside, whose own input is then lost: it gets the text of the value.

Source: `BaseChatModel._convert_input`, `BaseLLM._convert_input` (`langchain_core/language_models`), `_prep_run_args`
(`langchain_core/tools/base.py`), 0.3.0 to 1.8.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages, get_buffer_string
from langchain_core.prompt_values import PromptValue

from callbridge.core.calls import Payload
from callbridge.core.revive import revive_message
from callbridge.core.runs import MISSING

__all__ = ["messages_of", "prompts_of", "query_of", "tool_input_of"]


def messages_of(value: Payload) -> list[list[Payload]]:
    """Return the messages of a chat model run, in a list of length one. All lists are new.

    Args:
        value: `{"messages": [[...]]}`, or anything that `BaseChatModel.invoke` takes.
    """
    if value is MISSING:
        return [[]]
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
        if _is_batch(value):
            return [[revive_message(message) for message in group] for group in value]
    return [_coerced(value)]


def prompts_of(value: Payload) -> list[str]:
    """Return the prompts of a completion model run, in a new list.

    Args:
        value: `{"prompts": [...]}`, or anything that `BaseLLM.invoke` takes.
    """
    if value is MISSING:
        return [""]
    if isinstance(value, dict) and isinstance(value.get("prompts"), list):
        return list(value["prompts"])
    if isinstance(value, PromptValue):
        return [value.to_string()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [get_buffer_string(_coerced(value))]
    return [str(value)]


def tool_input_of(value: Payload) -> tuple[str, dict[str, Any] | None, str | None]:
    """Return a tool's input as text, its named arguments if there are any, and the id of its call if known.

    Args:
        value: The arguments, a tool call dict, or a string.
    """
    if value is MISSING or value is None:
        return "", None, None
    if not isinstance(value, dict):
        return str(value), None, None
    if value.get("type") == "tool_call" and isinstance(value.get("args"), dict):
        return str(value["args"]), value["args"], value.get("id")
    return str(value), value, None


def query_of(value: Payload) -> str:
    """Return the query of a retriever.

    Args:
        value: `{"query": ...}`, or the query itself.
    """
    if value is MISSING:
        return ""
    if isinstance(value, dict) and value.keys() == {"query"}:
        value = value["query"]
    return value if isinstance(value, str) else str(value)


def _is_batch(value: Payload) -> bool:
    """Return whether these are lists of messages. `[["human", "hi"]]` is not: it is a list of one message."""
    return isinstance(value, list) and all(
        isinstance(group, list) and all(isinstance(message, (BaseMessage, dict)) for message in group) for group in value
    )


def _coerced(value: Payload) -> list[BaseMessage]:
    if isinstance(value, PromptValue):
        return list(value.to_messages())
    if isinstance(value, BaseMessage):
        return [value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        try:
            return convert_to_messages([revive_message(message) for message in value])
        except (NotImplementedError, TypeError, ValueError):
            pass  # no model accepts this: it is the input of another run
    return [HumanMessage(content=str(value))]
