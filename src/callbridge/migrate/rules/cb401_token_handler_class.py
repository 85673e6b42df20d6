"""CB401: a handler class that handles only tokens and the model's own life cycle."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.token_sinks import main_sink
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_CANONICAL = frozenset({"print", "thread-queue"})


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        if (
            handler.token_hook is None
            or handler.others
            or context.is_kept(handler.dotted)
            or "on_llm_new_token" not in handler.own
        ):
            continue
        sink = main_sink(handler)
        canonical = sink in _CANONICAL and handler.base is None and len(handler.effective) <= 3
        reason = "move what the class does with tokens into the loop that reads the run"
        if canonical:
            reason = "the class goes once the last place that attaches it has been rewritten"
        facts = {"handler": handler.dotted, "hooks": " ".join(handler.effective), "sink": sink or ""}
        message = f"{handler.node.name} handles tokens in a callback"
        yield context.finding("CB401", handler.node, message, "adapter", "warning", reason, facts)


RULE = Rule(
    code="CB401",
    name="token-handler-class",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="a handler class whose `on_llm_new_token` does something",
    why="Code that shows tokens becomes a loop over events. Remove the class when you have converted its last attach site.",
    before=("class Show(BaseCallbackHandler):\n    def on_llm_new_token(self, token, **kwargs):\n        self.show(token)"),
    after=("for text in stream.text():\n    show(text)"),
    when_not="If it only counts or logs: list it under `keep` in the configuration.",
    check=_check,
)
