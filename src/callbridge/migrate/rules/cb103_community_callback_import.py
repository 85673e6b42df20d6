"""CB103: imports from `langchain.callbacks` of names that live in langchain-community."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.legacy_imports import facts, legacy_names
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in legacy_names(context):
        if each.home is not None and each.home.distribution == "langchain-community":
            message = f"`{each.name}` is imported from {each.module}; it moved to {each.home.module}"
            verdict: Verdict = "manual" if each.obstacle else "auto-review"
            reason = each.obstacle or "the edit adds langchain-community as a dependency"
            yield context.finding("CB103", each.node, message, verdict, "error", reason, facts(each))


RULE = Rule(
    code="CB103",
    name="community-callback-import",
    severity="error",
    fix="auto-review, manual",
    summary="a name imported from `langchain.callbacks` that lives in langchain-community",
    why=(
        "LangChain 1.x has no `langchain.callbacks`. Streamlit's handler, the OpenAI cost counter and the handlers of "
        "vendors moved to langchain-community, which is a separate dependency."
    ),
    before="from langchain.callbacks import get_openai_callback",
    after="from langchain_community.callbacks import get_openai_callback",
    when_not=(
        "If you only need token counts: `get_usage_metadata_callback` of langchain-core counts them without another "
        "dependency, around event loops too. It does not know prices."
    ),
    check=_check,
)
