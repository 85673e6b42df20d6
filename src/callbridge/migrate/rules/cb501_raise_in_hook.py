"""CB501: hooks that raise to steer the run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import HandlerClass
from callbridge.migrate.analysis.module import Function, Module, dotted_text
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_MISTAKES = frozenset({"AttributeError", "KeyError", "NotImplementedError", "TypeError", "ValueError"})
"""These report a wrong argument or a gap. Code that steers a run raises other exceptions."""


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    owners = {hook: handler for handler in context.handlers for hook in handler.own.values()}
    for node in module.of(ast.Raise):
        function = module.function_of(node)
        handler = owners.get(function) if function is not None else None
        if function is None or handler is None or function.name.endswith("_error") or not _steers(node, function, module):
            continue
        yield _finding(node, function, handler, context)


def _finding(node: ast.Raise, function: Function, handler: HandlerClass, context: Context) -> Finding:
    message = (
        f"{function.name} of {handler.node.name} raises; LangChain logs the error and goes on, unless `raise_error` is set"
    )
    reason = "to stop a run, leave the loop over its events, or interrupt it before the call"
    facts = {"handler": handler.dotted, "hook": function.name}
    return context.finding("CB501", node, message, "manual", "warning", reason, facts)


def _steers(node: ast.Raise, function: Function, module: Module) -> bool:
    if node.exc is None or dotted_text(node.exc).removesuffix("()") in _MISTAKES:
        return False
    inside = module.enclosing(node, ast.ExceptHandler)
    return inside is None or module.function_of(inside) is not function


RULE = Rule(
    code="CB501",
    name="raise-in-hook",
    severity="warning",
    fix="manual",
    summary="a hook that raises to stop the run",
    why=(
        "Unless `raise_error` is set, LangChain logs the exceptions of handlers and goes on: most code that means to cancel "
        "never does. If you leave the loop over an event stream, the model is cancelled."
    ),
    before=('def on_llm_new_token(self, token, **kwargs):\n    if self.stopped:\n        raise StopIteration("stopped")'),
    after=(
        "async with callbridge.astream_call(chain.acall, x) as stream:\n"
        "    async for text in stream.text():\n"
        "        if stopped:\n"
        "            break"
    ),
    when_not="If `raise_error` is set and a failed check must fail the run.",
    check=_check,
)
