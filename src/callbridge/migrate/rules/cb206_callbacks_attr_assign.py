"""CB206: handlers assigned to an object's `callbacks`."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding, Severity, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style == "attribute":
            observers = not each.streaming and not each.unresolved
            message = f"assigning `{each.callee}` affects every run of the object: all report here, and lose their own handlers"
            reason = (
                ""
                if observers
                else "the assignment does not show which run you mean: pass the handlers to that run, in `config`"
            )
            facts = {"handler": " ".join(use.dotted for use in each.handlers), "target": each.callee, "keyword": each.keyword}
            verdict: Verdict = "keep" if observers else "adapter"
            severity: Severity = "info" if observers else "warning"
            yield context.finding("CB206", each.place, message, verdict, severity, reason, facts)


RULE = Rule(
    code="CB206",
    name="callbacks-attr-assign",
    severity="warning",
    fix="adapter",
    summary="handlers assigned to an object: `x.callbacks = [...]`",
    why=(
        "The object is shared, but the handlers belong to one request: with two requests at once, each hears of both. "
        "LangChain copies the handlers when a run starts, so an assignment during a run does nothing. If all handlers are "
        "observers, the verdict is keep."
    ),
    before=("agent.agent.llm_chain.llm.callbacks = [handler]\nanswer = agent.run(q)"),
    after='answer = agent.invoke(q, config={"callbacks": [handler]})["output"]',
    when_not="In a script that runs one thing once.",
    check=_check,
)
