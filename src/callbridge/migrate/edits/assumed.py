"""Assumptions of edits: facts that the file does not show. An edit with an assumption needs `--unsafe`.

All planners call one function for each assumption. If the file shows that an assumption is wrong, the reason says so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.analysis.streaming_models import flag_of, told
from callbridge.migrate.edits.assigning import is_assignment, value_of
from callbridge.migrate.edits.models import is_configuring, is_model, receiver, run_models, values_of
from callbridge.migrate.edits.source import Source

__all__ = ["company", "disorder", "silence", "unstreamed"]

_FLAGS = ("stream", "streaming")
_CACHES = ("set_llm_cache", "llm_cache")
_VERBOSE = ("set_debug", "set_verbose")
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
    calls = [run, *(each for each in _calls_in(source, receiver(run), 0) if _is_bind(each))]
    for call in calls:
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


def _calls_in(source: Source, node: ast.expr, depth: int) -> Iterator[ast.Call]:
    """Return the calls in an expression, including those in its variables."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            yield each
        elif isinstance(each, ast.Name) and depth < 12:
            for value in values_of(source, each):
                yield from _calls_in(source, value, depth + 1)


def disorder(source: Source, run: ast.Call) -> str:
    """Return what else may print during a call, so that lines may swap places with the text; empty if nothing does."""
    for node in source.nodes:
        name = _called(node)
        if name in _VERBOSE or (
            isinstance(node, ast.Attribute) and node.attr in ("debug", "verbose") and _is_set(source, node)
        ):
            return _shuffled(f"`{name or source.code(node)}`" if isinstance(node, ast.expr) else "")
    for call in _calls_in(source, receiver(run), 0):
        for keyword in call.keywords:
            chain = keyword.arg == "verbose" and is_langchain(source.origin(call.func)) and not is_model(source, call)
            if chain and told(keyword.value, source.value) != "off":
                return _shuffled("`verbose=`")
    return ""


def company(source: Source, others: Sequence[ast.expr]) -> str:
    """Return which other attached handler may print during the call; empty if none may.

    Args:
        source: The file.
        others: The other attached handlers.
    """
    found = next((each for each in others if _may_print(source, each)), None)
    return "" if found is None else _shuffled(f"`{ast.unparse(found)}`, which is also attached,")


def _may_print(source: Source, handler: ast.expr) -> bool:
    made = source.value(handler) if isinstance(handler, ast.Name) else handler
    if not isinstance(made, ast.Call):
        return True
    origin = source.origin(made.func)
    if origin is not None:
        return not is_langchain(origin) or "StdOut" in origin
    name = _called(made)
    own = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return not own or any(isinstance(node, ast.Name) and node.id in ("print", "sys") for each in own for node in ast.walk(each))


def _shuffled(what: str) -> str:
    return f"what {what} prints may swap places with the text, which another thread or task prints"


def _is_set(source: Source, node: ast.Attribute) -> bool:
    """Return whether this sets `langchain.debug` or `langchain.verbose`."""
    return isinstance(node.ctx, ast.Store) and is_langchain(source.origin(node.value))


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


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
    names = {_called(node) for node in source.nodes} | attributes | source.names
    if any(told(each, source.value) != "off" for each in caches) or names & set(_CACHES):
        return None
    return "" if models and len(caches) == len(models) else _NO_CACHE


def _is_legacy_chain(source: Source, run: ast.Call) -> bool:
    node = receiver(run)
    made = source.value(node) if isinstance(node, ast.Name) else node
    return isinstance(made, ast.Call) and is_langchain(source.origin(made.func)) and not is_model(source, made)
