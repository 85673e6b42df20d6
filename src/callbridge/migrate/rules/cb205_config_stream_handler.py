"""CB205: a streaming handler in a config."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.attached import reason_to_stay
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_OTHER = "`fix` knows no edit for this handler in this place: read the text of the call with `stream_call`"
_NO_CALL = "this file does not show which call gets this config: read its text there with `stream_call`"


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style != "config" or each.keyword != "callbacks" or not each.streaming:
            continue
        reason = reason_to_stay(each) or (_OTHER if each.call is not None else _NO_CALL)
        shown = ", ".join(dict.fromkeys(use.dotted.rpartition(".")[2] for use in each.streaming))
        message = f"{shown} reads the run through `config`; an event stream gives the same text to a plain loop"
        facts = {"handler": " ".join(use.dotted for use in each.handlers), "callee": each.callee, "keyword": each.keyword}
        yield context.finding("CB205", each.place, message, "adapter", "warning", reason, facts)


RULE = Rule(
    code="CB205",
    name="config-stream-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary='a streaming handler in `config={"callbacks": [...]}`',
    why=(
        "It works, but you need a queue, a thread or a task to get the tokens out. An event stream does that for you: it is "
        "bounded, and ends with the run."
    ),
    before='chain.invoke(q, config={"callbacks": [QueueHandler(queue)]})',
    after=("with callbridge.stream_events(chain, q) as stream:\n    yield from stream.text()"),
    when_not="If the handler is an observer: `config` is the right place for it.",
    check=_check,
)
