"""Which models report tokens on a plain `invoke`: those with a streaming flag, and those that always do."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["Flag", "flag_of", "may_stream", "told"]

_ALWAYS = frozenset({"CTransformers", "ChatOllama", "GPT4All", "Ollama", "OllamaLLM"})
"""These report each token, whatever their flags say."""

_UNLESS_TOLD = frozenset({"ChatLlamaCpp", "ExLlamaV2", "LlamaCpp"})
"""These stream unless `streaming=False`."""

_FLAGS = ("streaming", "stream")

Flag: TypeAlias = Literal["on", "off", "unknown"]
Value: TypeAlias = Callable[[ast.Name], "ast.expr | None"]
"""Returns the value of a variable that is assigned once."""


def flag_of(name: str, call: ast.Call, value: Value = lambda _: None) -> Flag:
    """Return whether a model streams on `invoke`, as far as its constructor says.

    Args:
        name: The model's class, without its module.
        call: The constructor call.
        value: Looks up a variable.
    """
    disabled = next((each.value for each in call.keywords if each.arg == "disable_streaming"), None)
    if disabled is not None and told(disabled, value) != "off":
        return "off" if told(disabled, value) == "on" else "unknown"
    if name in _ALWAYS:
        return "on"
    given = next((each.value for each in call.keywords if each.arg in _FLAGS), None)
    if given is not None:
        return told(given, value)
    if any(each.arg in (None, "model_kwargs") for each in call.keywords):
        return "unknown"
    return "on" if name in _UNLESS_TOLD else "off"


def told(node: ast.expr, value: Value = lambda _: None) -> Flag:
    """Return the value of a flag: a literal, or a variable that holds one."""
    if isinstance(node, ast.Name):
        found = value(node)
        return told(found) if found is not None else "unknown"
    if not isinstance(node, ast.Constant) or isinstance(node.value, str):
        return "unknown"
    return "on" if node.value else "off"


def may_stream(name: str, call: ast.Call) -> bool:
    """Return whether a model may stream on `invoke`: nothing shows that it does not."""
    return flag_of(name, call) != "off"
