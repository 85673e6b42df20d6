"""CB202: `CallbackManager([handler])` where a list of handlers does the same."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.langchain_names import MANAGERS, is_langchain
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for call, dotted in module.calls:
        name = dotted.rpartition(".")[2]
        if name not in MANAGERS or not is_langchain(dotted) or not (call.args or call.keywords):
            continue
        reason = "the code does something with the manager that a list cannot do"
        message = f"{name} only wraps handlers: pass them as a plain list"
        yield context.finding("CB202", call, message, "manual", "warning", reason, {"symbol": dotted})


RULE = Rule(
    code="CB202",
    name="callback-manager-wrapper",
    severity="warning",
    fix="auto-safe, auto-review, manual",
    summary="`CallbackManager([...])` used as a list of handlers",
    why=(
        "Since 2023, `callbacks=` accepts the list itself. A manager that you make yourself is an internal of LangChain, "
        "shares its handlers with every run, and its constructor has changed several times."
    ),
    before="llm = ChatOpenAI(callbacks=CallbackManager([handler]))",
    after="llm = ChatOpenAI(callbacks=[handler])",
    when_not="If the code calls something on the manager: `add_handler`, `on_chain_start` (CB207).",
    check=_check,
)
