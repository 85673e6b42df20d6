"""CB204: `invoke(x, callbacks=[h])`, a TypeError or silently nothing, to `invoke(x, config={"callbacks": [h]})`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.operations import Change, Refusal, RenameArgument, ReplaceExpression
from callbridge.migrate.edits.source import Source, keyword_of

__all__ = ["is_plumbing", "plan"]

_RUNNABLE = ("abatch", "ainvoke", "astream", "astream_events", "astream_log", "batch", "invoke", "stream")
"""Methods that every runnable has, with `config` as their second parameter."""


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for callbacks that the code passes to calls."""
    if not source.is_langchain_file():
        return
    for call in source.calls():
        keyword = keyword_of(call, "callbacks")
        if keyword is None or not isinstance(call.func, ast.Attribute) or is_langchain(source.origin(call.func)):
            continue
        if is_plumbing(keyword.value):
            continue
        if call.func.attr in _RUNNABLE:
            yield _plan_call(source, call, keyword)


def is_plumbing(value: ast.expr) -> bool:
    """Return whether this is `run_manager.get_child()`, by which a chain or tool passes its callbacks on."""
    return any(isinstance(node, ast.Attribute) and node.attr == "get_child" for node in ast.walk(value))


def _plan_call(source: Source, call: ast.Call, keyword: ast.keyword) -> Change | Refusal:
    place = source.span(keyword)
    if keyword_of(call, "config") is not None or len(call.args) > 1:
        return Refusal("CB204", place, "the call already has a config: put the callbacks into it")
    if any(each.arg is None for each in call.keywords) or any(isinstance(each, ast.Starred) for each in call.args):
        return Refusal("CB204", place, "the call has `*` or `**` arguments, which may contain a config")
    if not call.args and keyword_of(call, "input") is None:
        return Refusal("CB204", place, "the call has no input, so it may not be a runnable's")
    value = source.span(keyword.value)
    operations = (
        ReplaceExpression(value, '{"callbacks": HANDLERS}', {"HANDLERS": value}),
        RenameArgument(source.span(call), "callbacks", "config"),
    )
    return Change("CB204", place, "pass the callbacks in the config", operations)
