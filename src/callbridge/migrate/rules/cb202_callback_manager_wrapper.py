"""CB202: `CallbackManager([handler])` where a list of handlers does the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.known import MANAGERS, is_langchain
from callbridge.migrate.analysis.module import Module
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for call, dotted in module.calls:
        name = dotted.rpartition(".")[2]
        if name not in MANAGERS or not is_langchain(dotted) or not (call.args or call.keywords):
            continue
        simple = _is_list_alone(call) and _is_handed_over(call, module)
        reason = "" if simple else "the manager itself is used: what is called on it has no counterpart on a list"
        message = f"{name} wraps handlers that a plain list holds as well"
        verdict: Verdict = "auto-safe" if simple else "manual"
        yield context.finding("CB202", call, message, verdict, "warning", reason, {"symbol": dotted})


def _is_list_alone(call: ast.Call) -> bool:
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "handlers")]
    return len(values) == 1 == len(call.args) + len(call.keywords) and isinstance(values[0], ast.List | ast.Name)


def _is_handed_over(call: ast.Call, module: Module) -> bool:
    """Return whether the manager is only ever passed on: as a keyword, or from a variable that nothing is called on."""
    parent = module.parents.get(call)
    if isinstance(parent, ast.keyword):
        return parent.arg in ("callbacks", "callback_manager")
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        used = [node for node in module.of(ast.Name) if node.id == name and isinstance(node.ctx, ast.Load)]
        return bool(used) and all(_is_callbacks_value(node, module) for node in used)
    return False


def _is_callbacks_value(node: ast.Name, module: Module) -> bool:
    parent = module.parents.get(node)
    return isinstance(parent, ast.keyword) and parent.arg in ("callbacks", "callback_manager")


RULE = Rule(
    code="CB202",
    name="callback-manager-wrapper",
    severity="warning",
    fix="auto-safe",
    summary="`CallbackManager([...])` used as a list of handlers",
    why=(
        "Since 2023 `callbacks=` takes the list itself. A manager made by hand is one of LangChain's inner parts, shares "
        "its handlers with every run, and its constructor has changed several times."
    ),
    before="llm = ChatOpenAI(callbacks=CallbackManager([handler]))",
    after="llm = ChatOpenAI(callbacks=[handler])",
    when_not="Where something is called on the manager: `add_handler`, `on_chain_start` (CB207).",
    check=_check,
)
