"""CB104: imports of names of `langchain.callbacks` that have no successor."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.legacy_imports import facts, legacy_names
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in legacy_names(context):
        if each.removed:
            message = f"LangChain removed `{each.name}` of {each.module} without a successor"
            reason = "pass handlers to each run in its config; to trace, set LANGSMITH_TRACING"
            yield context.finding("CB104", each.node, message, "manual", "error", reason, facts(each))


RULE = Rule(
    code="CB104",
    name="removed-callback-symbol",
    severity="error",
    fix="manual",
    summary="`set_handler`, `get_callback_manager`, `tracing_enabled`, `TracerSession` and other names without a successor",
    why="LangChain removed global handlers and the first tracer. The import fails.",
    before="from langchain.callbacks import tracing_enabled",
    after="",
    when_not=(
        'Never: the code does not start on LangChain 1.x. Pass handlers to the run (`config={"callbacks": [...]}`), or set '
        "LANGSMITH_TRACING."
    ),
    check=_check,
)
