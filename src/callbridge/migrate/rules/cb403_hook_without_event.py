"""CB403: hooks of a streaming handler for which v2 events have no counterpart."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import is_effective
from callbridge.migrate.analysis.langchain_names import HOOKS_WITHOUT_EVENT
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_BY_HAND = frozenset({"on_text", "on_retry"})


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        if handler.role == "observer" or context.is_kept(handler.dotted):
            continue
        for name, hook in handler.own.items():
            if name in HOOKS_WITHOUT_EVENT and is_effective(hook):
                message = f"{name} of {handler.node.name} has no v2 event: {HOOKS_WITHOUT_EVENT[name]}"
                verdict: Verdict = "manual" if name in _BY_HAND else "adapter"
                reason = "LangChain's v2 events leave it out: read callbridge's events with `extended=True`"
                facts = {"handler": handler.dotted, "hook": name}
                yield context.finding("CB403", hook, message, verdict, "warning", reason, facts)


RULE = Rule(
    code="CB403",
    name="hook-without-event",
    severity="warning",
    fix="adapter, manual",
    summary="`on_text`, `on_retry`, `on_agent_action`, `on_agent_finish` or an error hook in a streaming handler",
    why='`astream_events(version="v2")` has no such events: if a loop replaces the handler, you lose what these hooks do.',
    before=("def on_agent_finish(self, finish, **kwargs):\n    self.show(finish.return_values)"),
    after=(
        "for event in callbridge.stream_events(agent, x, extended=True):\n"
        '    if event["event"] == "on_agent_finish":\n'
        "        ..."
    ),
    when_not="If the handler is an observer: it stays a callback, and its hooks are not reported.",
    check=_check,
)
