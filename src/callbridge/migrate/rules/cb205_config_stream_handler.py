"""CB205: a streaming handler in a config."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.sinks import is_rewritten
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style != "config" or not each.streaming:
            continue
        simple = all(is_rewritten(use) and use.origin in ("here", "scope") for use in each.handlers)
        verdict: Verdict = "auto-review" if simple and each.call is not None else "adapter"
        reason = (
            ""
            if verdict == "auto-review"
            else "the handler or the call is elsewhere, or the handler does more than to print tokens or hand them to a loop"
        )
        shown = ", ".join(dict.fromkeys(use.dotted.rpartition(".")[2] for use in each.streaming))
        message = f"{shown} reads the run through `config`; an event stream gives the same text to a plain loop"
        facts = {"handler": " ".join(use.dotted for use in each.handlers), "callee": each.callee, "keyword": each.keyword}
        yield context.finding("CB205", each.place, message, verdict, "warning", reason, facts)


RULE = Rule(
    code="CB205",
    name="config-stream-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary='a streaming handler in `config={"callbacks": [...]}`',
    why=(
        "It works, and it needs a queue, a thread or a task to get the tokens out. An event stream is that, bounded, and "
        "ends with the run."
    ),
    before='chain.invoke(q, config={"callbacks": [QueueHandler(queue)]})',
    after=("with callbridge.stream_events(chain, q) as stream:\n    yield from stream.text()"),
    when_not="For observers: `config` is the right place for them.",
    check=_check,
)
