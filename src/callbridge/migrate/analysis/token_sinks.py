"""Findings about where a handler sends tokens: one at the token hook of each class with a sink of the wanted kind."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Use
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import HandlerClass, Sink
from callbridge.migrate.analysis.langchain_names import HOOKS
from callbridge.migrate.finding import Finding, Verdict

__all__ = ["PRECEDENCE", "is_rewritten", "main_sink", "sink_findings", "step_findings"]

PRECEDENCE: tuple[Sink, ...] = ("process-queue", "socket", "async-queue", "thread-queue", "streamlit", "other", "print")
"""If a handler has several sinks, the first of these counts: an additional `print` is for debugging."""


_CALL = "read the text of the call with `stream_call`, and do there what the handler does"
_STEPS = "read them in a loop over `stream_events(..., extended=True)`: on_tool_start, on_tool_end, on_agent_action"


def main_sink(handler: HandlerClass) -> Sink | None:
    """Return the sink that counts."""
    return next((sink for sink in PRECEDENCE if sink in handler.sinks), None)


def is_rewritten(use: Use) -> bool:
    """Return whether `fix` has edits for a handler: it iterates, prints, or fills a queue that a thread reads."""
    known = use.known
    if known is None:
        return use.role in ("stdout", "aiter")
    return use.role == "token" and not known.others and main_sink(known) in ("print", "thread-queue")


def sink_findings(
    context: Context, rule: str, sinks: frozenset[Sink], message: str, verdict: Verdict = "adapter"
) -> Iterator[Finding]:
    """Yield the findings of one of the rules.

    Args:
        context: The file.
        rule: The code.
        sinks: The sinks of this rule.
        message: What the class does.
        verdict: The verdict if no edit applies.
    """
    if rule != "CB307":  # CB308 reports steps in Streamlit
        yield from step_findings(context, rule, sinks)
    for handler in context.handlers:
        hook = handler.token_hook
        if (
            hook is None
            or hook not in handler.own.values()
            or main_sink(handler) not in sinks
            or context.is_kept(handler.dotted)
        ):
            continue
        if handler.base in ("aiter", "final"):
            continue  # CB301 and CB309 report these
        reason = (
            f"the handler also has {', '.join(handler.others)}: read events with `stream_events(...)`"
            if handler.others
            else _CALL
        )
        facts = {"handler": handler.dotted, "hooks": " ".join(name for name in handler.hooks if name in HOOKS)}
        yield context.finding(rule, hook, f"{handler.node.name} {message}", verdict, "warning", reason, facts)


def step_findings(context: Context, rule: str, sinks: frozenset[Sink]) -> Iterator[Finding]:
    """Yield a finding at the first hook of each class that shows an agent's steps at sinks of the kind."""
    for handler in context.handlers:
        hook = handler.step_hook
        if hook is None or context.is_kept(handler.dotted):
            continue
        if next((sink for sink in PRECEDENCE if sink in handler.step_sinks), None) in sinks:
            facts = {"handler": handler.dotted, "hooks": " ".join(name for name in handler.hooks if name in HOOKS)}
            message = f"{handler.node.name} shows an agent's steps to a user"
            yield context.finding(rule, hook, message, "adapter", "warning", _STEPS, facts)
