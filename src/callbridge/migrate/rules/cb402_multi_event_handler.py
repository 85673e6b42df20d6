"""CB402: a handler class that handles tokens and also tools, agents or retrievers."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        if handler.token_hook is None or not handler.others or context.is_kept(handler.dotted) or not handler.own:
            continue
        message = f"{handler.node.name} handles tokens and {', '.join(handler.others)}"
        reason = "several kinds of events share one state: feed the class with `callbridge.drive` first, split it later"
        facts = {"handler": handler.dotted, "hooks": " ".join(handler.effective)}
        yield context.finding("CB402", handler.node, message, "adapter", "warning", reason, facts)


RULE = Rule(
    code="CB402",
    name="multi-event-handler",
    severity="warning",
    fix="adapter",
    summary="a handler class with hooks for tokens and for tools, agents or retrievers",
    why=(
        "The handler shows the state of a whole run. `callbridge.drive` calls the same hooks with the same arguments from an "
        "event stream, so you can change the call site first."
    ),
    before="agent.run(q, callbacks=[Panel()])",
    after='result = callbridge.drive(callbridge.stream_events(agent, {"input": q}), [Panel()])',
    when_not="If it only records: list it under `keep`.",
    check=_check,
)
