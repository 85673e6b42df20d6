"""Assumptions of edits: facts that the file does not show. An edit with an assumption needs `--unsafe`.

All planners call one function for each assumption. If the file shows that an assumption is wrong, the reason says so.
"""

from __future__ import annotations

import ast

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.analysis.streaming_models import flag_of, told
from callbridge.migrate.edits.assignments import is_assignment, value_of
from callbridge.migrate.edits.models import is_configuring, is_model, parts_of, receiver, run_models, values_of
from callbridge.migrate.edits.other_printing import called
from callbridge.migrate.edits.source import Source

__all__ = ["silence", "unstreamed"]

_FLAGS = ("stream", "streaming")
_CACHES = ("set_llm_cache", "llm_cache")
_NO_CACHE = "a direct stream asks no cache of models: make sure that no program sets one (`set_llm_cache`)"


def silence(source: Source, attached: ast.Call, run: ast.Call, consequence: str) -> str:
    """Return why the handler may have heard nothing before; empty if the file shows that its models stream.

    Args:
        source: The file.
        attached: What the handler is attached to: a model, the call itself, or something of the project's own.
        run: The call.
        consequence: What changes then, as a clause.
    """
    models = run_models(source, run)
    whole = attached is run or is_configuring(attached)
    heard = models.found if whole else models.found & {attached}
    for each in sorted(heard, key=source.span):
        reason = _of_model(source, each)
        if reason:
            return f"{reason}: {consequence}"
    if whole and not (models.complete and models.found):
        return f"this file does not show whether the call's models stream: if they do not, {consequence}"
    switch = _switch(source, run)
    return f"{switch} may turn streaming off: then {consequence}" if switch and heard else ""


def _of_model(source: Source, model: ast.Call) -> str:
    name = (source.origin(model.func) or "").rpartition(".")[2]
    flag = flag_of(name, model, source.value)
    if flag == "on":
        return ""
    said = {each.arg: each for each in model.keywords}
    given = next((said[name] for name in ("disable_streaming", *_FLAGS) if name in said), None)
    if given is not None:
        shown = f"{name} has `{given.arg}={source.code(given.value)}`"
        return shown if flag == "off" else f"{shown}, which may be off"
    if flag == "off":
        return f"{name} has no `streaming=True`"
    return f"{name} has arguments that this file does not show, and may not stream"


def _switch(source: Source, run: ast.Call) -> str:
    """Return what may turn streaming off or on after the models were made; empty if nothing does."""
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr in (*_FLAGS, "disable_streaming") and isinstance(node.ctx, ast.Store):
            statement = source.statement(node)
            if not is_assignment(statement) or told(value_of(statement)) != "on":
                return f"`{source.code(node)} = …`"
    parts = [each for each in parts_of(source, receiver(run)) if isinstance(each, ast.Call)]
    for call in [run, *(each for each in parts if _is_bind(each))]:
        for keyword in call.keywords:
            if keyword.arg in _FLAGS and told(keyword.value, source.value) != "on":
                return f"`{keyword.arg}={source.code(keyword.value)}`"
            if keyword.arg is None and (call is not run or _is_of_model(source, run)):
                return f"`**{source.code(keyword.value)}`"
    return ""


def _is_bind(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "bind"


def _is_of_model(source: Source, run: ast.Call) -> bool:
    node = receiver(run)
    values = values_of(source, node) if isinstance(node, ast.Name) else [node]
    return any(isinstance(each, ast.Call) and is_model(source, each) for each in values)


def unstreamed(source: Source, run: ast.Call) -> str | None:
    """Return what a direct stream of a runnable would lose, compared with its call.

    Returns:
        None if it certainly loses something: a retry, a fallback, a cache. An assumption as a clause if it may lose something;
        an empty text if it loses nothing.
    """
    attributes = {node.attr for node in source.nodes if isinstance(node, ast.Attribute)}
    if attributes & {"with_retry", "with_fallbacks"}:
        return None
    if _is_legacy_chain(source, run):
        return ""  # its stream makes the call, which uses the cache
    models = run_models(source, run).found
    caches = [each.value for model in models for each in model.keywords if each.arg == "cache"]
    names = {called(node) for node in source.nodes} | attributes | source.names
    if any(told(each, source.value) != "off" for each in caches) or names & set(_CACHES):
        return None
    return "" if models and len(caches) == len(models) else _NO_CACHE


def _is_legacy_chain(source: Source, run: ast.Call) -> bool:
    node = receiver(run)
    made = source.value(node) if isinstance(node, ast.Name) else node
    return isinstance(made, ast.Call) and is_langchain(source.origin(made.func)) and not is_model(source, made)
