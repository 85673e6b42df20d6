"""Which models report tokens although nobody reads a stream: those that are told to, and those that always do."""

from __future__ import annotations

import ast

__all__ = ["may_stream"]

_ALWAYS = frozenset({"LlamaCpp", "GPT4All", "CTransformers", "ChatOllama", "Ollama", "OllamaLLM", "ExLlamaV2"})


def may_stream(name: str, call: ast.Call) -> bool:
    """Return whether a model may stream when it is invoked.

    Args:
        name: The model's class, without its module.
        call: Makes it. It may say `streaming` or `stream`, or have arguments that cannot be seen.
    """
    return name in _ALWAYS or any(each.arg in (None, "streaming", "stream", "model_kwargs") for each in call.keywords)
