"""CB705: handlers that wait for tokens on a v3 call."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.version3 import deaf_uses
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for place, use in deaf_uses(context.attachments, context.module):
        message = f"`{use.dotted}` hears no tokens here from models that do not report them themselves"
        reason = "wrap it with callbridge.with_tokens(handler): it hears each token once, and nothing else changes"
        yield context.finding("CB705", place, message, "adapter", "warning", reason, {"handler": use.dotted})


RULE = Rule(
    code="CB705",
    name="tokens-under-v3",
    severity="warning",
    fix="auto-review, adapter",
    summary='a handler with `on_llm_new_token` and no `on_stream_event`, attached to a call of `version="v3"`',
    why=(
        "Under version 3, a handler hears `on_llm_new_token` only from models that report tokens themselves. Fakes, custom "
        "models and models with native v3 streams may not."
    ),
    before=(
        "from langchain_core.callbacks import StreamingStdOutCallbackHandler\n"
        'run = graph.stream_events(x, {"callbacks": [StreamingStdOutCallbackHandler()]}, version="v3")'
    ),
    after=(
        "run = graph.stream_events(\n"
        '    x, {"callbacks": [callbridge.with_tokens(StreamingStdOutCallbackHandler())]}, version="v3"\n'
        ")"
    ),
    when_not="If the models there report their tokens, as those of the partner packages do.",
    check=_check,
)
