"""CB604: methods of a handler that look like callbacks, but LangChain never calls them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.langchain_names import DEAD_HOOKS, HOOKS
from callbridge.migrate.analysis.module import called_name, dotted_text
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_LOOKS_ALIKE = re.compile(r"on_(llm|chat_model|chain|tool|agent|retriever)_(start|end|error|new_token|token|finish|stream)$")


def _check(context: Context) -> Iterator[Finding]:
    called = {called_name(call) for call in context.module.of(ast.Call)}
    for handler in context.handlers:
        if any(dotted_text(base).endswith("Tracer") for base in handler.node.bases):
            continue  # tracers have other methods
        for method in handler.node.body:
            if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or method.name in HOOKS or method.name in called:
                continue
            if method.name in DEAD_HOOKS or _LOOKS_ALIKE.match(method.name):
                message = f"LangChain never calls {method.name} of {handler.node.name}"
                reason = "rename it to the callback that you meant, or remove it"
                facts = {"handler": handler.dotted, "hook": method.name}
                yield context.finding("CB604", method, message, "manual", "warning", reason, facts)


RULE = Rule(
    code="CB604",
    name="dead-hook",
    severity="warning",
    fix="manual",
    summary="a method of a handler with a name that LangChain never calls",
    why=(
        "`on_chat_model_end` and `handle_llm_new_token` look right, but LangChain has no such callbacks and never calls "
        "them. Chat models end in `on_llm_end`."
    ),
    before=("def on_chat_model_end(self, response, **kwargs):\n    self.close()"),
    after=("def on_llm_end(self, response, **kwargs):\n    self.close()"),
    when_not="If other code of yours calls the method.",
    check=_check,
)
