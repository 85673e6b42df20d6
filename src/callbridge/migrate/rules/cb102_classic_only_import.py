"""CB102: imports of the streaming handlers that only langchain-classic still has."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.legacy_imports import facts, legacy_names
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in legacy_names(context):
        if each.home is not None and each.home.distribution == "langchain-classic":
            message = f"`{each.name}` is imported from {each.module}; only langchain-classic still has it"
            verdict: Verdict = "manual" if each.obstacle else "auto-review"
            reason = each.obstacle or "the edit adds langchain-classic as a dependency"
            yield context.finding("CB102", each.node, message, verdict, "error", reason, facts(each))


RULE = Rule(
    code="CB102",
    name="classic-only-import",
    severity="error",
    fix="auto-review, manual",
    summary="`AsyncIteratorCallbackHandler` and its relatives imported from `langchain.callbacks`",
    why=(
        "LangChain 1.x has no `langchain.callbacks`. These handlers moved to langchain-classic, which is a separate "
        "dependency. After CB301 or CB309 you do not need them at all."
    ),
    before="from langchain.callbacks import AsyncIteratorCallbackHandler",
    after="from langchain_classic.callbacks import AsyncIteratorCallbackHandler",
    when_not="If you convert the call site in the same change: then the import goes.",
    check=_check,
)
