"""CB404: observers: cost, tracing, logging. They stay callbacks."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        kept = context.is_kept(handler.dotted)
        if kept or (handler.role == "observer" and handler.effective):
            why = "kept by the configuration" if kept else "it observes and shows no tokens"
            message = f"{handler.node.name} stays a callback: {why}"
            yield context.finding("CB404", handler.node, message, "keep", "info", facts={"handler": handler.dotted})
    for call, use in context.made:
        if use.role == "observer":
            message = f"{use.dotted.rpartition('.')[2]} stays a callback: callbacks fire under event streams, too"
            yield context.finding("CB404", call, message, "keep", "info", facts={"handler": use.dotted})


RULE = Rule(
    code="CB404",
    name="observer-handler",
    severity="info",
    fix="keep",
    summary="a handler that counts, traces or logs, and shows no tokens",
    why=(
        "Nothing has to be done: callbacks fire under event streams as they do elsewhere. Reported with verdict keep, "
        "never counted as a finding."
    ),
    before='chain.invoke(q, config={"callbacks": [AuditLog()]})',
    after="",
    when_not="Attach it to the run (`config`), not to the constructor of something shared, to hear of one request alone.",
    check=_check,
)
