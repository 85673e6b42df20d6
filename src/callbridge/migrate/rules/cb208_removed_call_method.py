"""CB208: calls of methods that models no longer have, on models with callbacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.langchain_names import REMOVED_METHODS, is_langchain, owner_of
from callbridge.migrate.analysis.module import Module, called_name
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    attached = {each.call for each in context.attachments if each.call is not None and each.handlers}
    if not attached:
        return
    for call in module.of(ast.Call):
        receiver = _receiver(call)
        if receiver is not None and _is_model_with_callbacks(receiver, call, attached, module):
            method = called_name(call) if isinstance(call.func, ast.Attribute) else "__call__"
            message = f"models of LangChain 1.x have no `{method}`: call `{_successor(method)}`, which returns a message"
            reason = "change the code that uses the result as well"
            facts = {"method": method, "successor": _successor(method)}
            yield context.finding("CB208", call, message, "manual", "error", reason, facts)


def _successor(method: str) -> str:
    return "ainvoke" if method.startswith("a") else "invoke"


def _receiver(call: ast.Call) -> ast.Name | None:
    function = call.func
    if isinstance(function, ast.Attribute):
        function = function.value if function.attr in REMOVED_METHODS else function
    return function if isinstance(function, ast.Name) else None


def _is_model_with_callbacks(receiver: ast.Name, call: ast.Call, attached: set[ast.Call], module: Module) -> bool:
    found = module.binding(receiver.id, module.scope_of(receiver))
    for value in found[1] if found else ():
        if isinstance(value, ast.Call):
            dotted = module.resolve(value.func)
            if dotted and is_langchain(dotted) and owner_of(dotted) == "model" and (value in attached or call in attached):
                return True
    return False


RULE = Rule(
    code="CB208",
    name="removed-call-method",
    severity="error",
    fix="manual",
    summary="`llm(...)`, `llm.predict(...)` and the like on a model with callbacks",
    why=(
        "LangChain 1.x removed these calls: they raise AttributeError or TypeError. `invoke` returns a message for chat "
        "models, a string for others."
    ),
    before=("llm = ChatOpenAI(callbacks=[handler])\nanswer = llm.predict(q)"),
    after=("llm = ChatOpenAI(callbacks=[handler])\nanswer = llm.invoke(q).text"),
    when_not="Never on LangChain 1.x.",
    check=_check,
)
