"""CB201: `callback_manager=`, which the models and tools of LangChain 1.x ignore or refuse."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from callbridge.migrate.analysis.attach_sites import Attachment
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

# Tried with langchain-core 0.3, 1.7 and 1.8, langchain-openai 0.2 and 1.7, langchain-classic 1.0.
_IGNORED = "which does not call its handlers on LangChain 1.x"
_FATES = MappingProxyType({"model": _IGNORED, "tool": _IGNORED, "chain": "where it is deprecated"})
_UNKNOWN = "and newer versions do not accept it"


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.keyword == "callback_manager" and each.style != "attribute" and (not each.passed or each.owner == "model"):
            yield _finding(each, context)


def _finding(each: Attachment, context: Context) -> Finding:
    name = each.callee.rpartition(".")[2]
    message = f"`callback_manager=` is passed to {name}, {_FATES.get(each.owner, _UNKNOWN)}; use `callbacks=`"
    ours = each.style == "factory"
    reason = "rename it to `callbacks`, and pass a list of handlers"
    if ours:
        reason = f"{name} is a function of your project: rename its parameter, too"
    facts = {"keyword": "callback_manager", "callee": each.callee, "owner": each.owner}
    return context.finding("CB201", each.place, message, "manual", "error", reason, facts)


RULE = Rule(
    code="CB201",
    name="callback-manager-kwarg",
    severity="error",
    fix="auto-safe, auto-review, manual",
    summary="`callback_manager=` passed to a model, chain, agent or tool",
    why=(
        "Up to langchain-core 0.3, `callback_manager=` works, with a DeprecationWarning. Models and tools of LangChain 1.x "
        "no longer know it. Most ignore it silently, so you lose streaming, cost counting and tracing without any sign. "
        "ChatOpenAI of langchain-openai 1.x moves it to `model_kwargs` with a warning, and every call raises TypeError. The "
        "chains of langchain-classic still accept it, and warn."
    ),
    before="llm = ChatOpenAI(callback_manager=CallbackManager([handler]))",
    after="llm = ChatOpenAI(callbacks=[handler])",
    when_not="If the class is your own, and takes `callback_manager` and uses it.",
    check=_check,
)
