"""CB310: a handler that sends tokens to Slack, Telegram, Redis, speech, a GUI or a function it was given."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"other"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB310", _SINKS, "sends tokens to a service, a GUI or a function")


RULE = Rule(
    code="CB310",
    name="sink-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary="a handler that sends tokens to a chat service, Redis, speech, a GUI, or a function that it was given",
    why="Send from the endpoint instead: there you can slow the sink down, retry it, close it and see its errors.",
    before=(
        "class Speaker(BaseCallbackHandler):\n    def on_llm_new_token(self, token, **kwargs):\n        self.engine.say(token)"
    ),
    after=("with callbridge.stream_call(chain.run, q) as stream:\n    for text in stream.text():\n        engine.say(text)"),
    when_not="If the handler is part of a library that others attach.",
    check=_check,
)
