"""CB204: `callbacks=` passed to a call: `run`, `acall`, `invoke`, or the chain called as a function."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Attachment
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import called_name, dotted_text
from callbridge.migrate.finding import Finding, Severity, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_RUNNABLE = frozenset({"invoke", "ainvoke", "stream", "astream", "batch", "abatch", "astream_events", "astream_log"})

_FATE = "runnables take callbacks only in `config`: models and tools raise; sequences, graphs and legacy chains ignore them"


_LEFT = 'pass the handlers in `config={"callbacks": [...]}` of invoke(), or read the text of the call with `stream_call`'


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style == "call" and each.keyword == "callbacks" and each.call is not None and not each.passed:
            yield _finding(each, context)


def _finding(each: Attachment, context: Context) -> Finding:
    method = called_name(each.call) if each.call is not None else ""
    if method == "partial" and each.call is not None:
        method = dotted_text(each.call.args[0]).rpartition(".")[2]
    fails = method in _RUNNABLE
    severity: Severity = "error" if fails else "warning"
    fate = _FATE if fails else "only the legacy call takes this keyword"
    shown = ", ".join(dict.fromkeys(use.dotted.rpartition(".")[2].lstrip("?") for use in each.handlers)) or "a list"
    observers = bool(each.handlers) and not each.streaming and not each.unresolved
    verdict: Verdict = "keep" if observers and not fails else "adapter"
    reason = "" if verdict == "keep" else _LEFT
    if verdict == "keep":
        severity = "info"
    facts = {
        "keyword": "callbacks",
        "callee": each.callee,
        "method": method,
        "handler": " ".join(use.dotted for use in each.handlers),
    }
    message = f"`callbacks=` with {shown} is passed to `{method or each.callee}`: {fate}"
    return context.finding("CB204", each.place, message, verdict, severity, reason, facts)


RULE = Rule(
    code="CB204",
    name="call-kwarg-callbacks",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="`callbacks=` on `run`, `acall`, `invoke`, or on a chain called as a function",
    why=(
        "`invoke`, `stream` and the like take callbacks in `config`. If you pass them as a keyword, models and tools raise "
        "TypeError. Sequences, prompts, graphs and legacy chains ignore the keyword silently, and the handler is never "
        "called. `run` and `acall` are deprecated. If a legacy call has observers only, the verdict is keep."
    ),
    before="answer = llm.invoke(q, callbacks=[handler])",
    after='answer = llm.invoke(q, config={"callbacks": [handler]})',
    when_not=(
        "If the method is your own, and merely happens to be called `run` and take `callbacks`: `# callbridge: ignore[CB204] "
        "own method`."
    ),
    check=_check,
)
