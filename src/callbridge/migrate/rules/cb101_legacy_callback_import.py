"""CB101: imports from `langchain.callbacks`, which LangChain 1.x no longer has, of names that live in langchain-core."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.legacy_imports import facts, legacy_names
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in legacy_names(context):
        if each.home is not None and each.home.distribution == "langchain-core":
            message = f"`{each.name}` is imported from {each.module}; it moved to {each.home.module}"
            verdict: Verdict = "manual" if each.obstacle else "auto-safe"
            yield context.finding("CB101", each.node, message, verdict, "error", each.obstacle, facts(each))
        elif each.home is None and not each.removed:
            what = f"`{each.name}`" if each.name not in ("", "*", "callbacks") else "the module"
            message = f"{what} is imported from {each.module}, which LangChain 1.x does not have"
            reason = "import each name that you use from where it lives now"
            yield context.finding("CB101", each.node, message, "manual", "error", reason, facts(each))


RULE = Rule(
    code="CB101",
    name="legacy-callback-import",
    severity="error",
    fix="auto-safe, manual",
    summary="a name imported from `langchain.callbacks` that lives in langchain-core",
    why=(
        "LangChain 1.x has no `langchain.callbacks`: the import fails before anything runs. The same class is in "
        "langchain-core, which every LangChain installation has."
    ),
    before="from langchain.callbacks.base import BaseCallbackHandler",
    after="from langchain_core.callbacks import BaseCallbackHandler",
    when_not="If the code must run on a LangChain older than 0.1, which has no langchain-core.",
    check=_check,
)
