"""CB201: `callback_manager=`, which chat models of LangChain 1.x accept and ignore."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.attach import Attachment
from callbridge.migrate.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.keyword == "callback_manager" and each.style != "attribute" and (not each.passed or each.owner == "model"):
            yield _finding(each, context)


def _finding(each: Attachment, context: Context) -> Finding:
    name = each.callee.rpartition(".")[2]
    silent = "which ignores it silently" if each.owner == "model" else "which newer versions do not take"
    message = f"`callback_manager=` is passed to {name}, {silent}; the keyword is `callbacks`"
    ours = each.style == "factory"
    reason = f"{name} is a function of the project: its parameter has to be renamed, too" if ours else ""
    facts = {"keyword": "callback_manager", "callee": each.callee, "owner": each.owner}
    return context.finding("CB201", each.place, message, "manual" if ours else "auto-safe", "error", reason, facts)


RULE = Rule(
    code="CB201",
    name="callback-manager-kwarg",
    severity="error",
    fix="auto-safe",
    summary="`callback_manager=` given to a model, chain, agent or tool",
    why=(
        "Chat models of LangChain 1.x accept the keyword and ignore it: no warning, and no handler is ever called. This "
        "is how streaming, cost counting and tracing get lost without a trace."
    ),
    before="llm = ChatOpenAI(callback_manager=CallbackManager([handler]))",
    after="llm = ChatOpenAI(callbacks=[handler])",
    when_not="For classes of your own that take `callback_manager` and use it.",
    check=_check,
)
