"""CB306: a handler of your own that only prints tokens."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"print"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB306", _SINKS, "prints tokens")


RULE = Rule(
    code="CB306",
    name="print-handler",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="a handler of your own that prints tokens",
    why=(
        "What a callback prints gets mixed with every other run that shares the model. If the model does not stream, the "
        "handler prints nothing."
    ),
    before=(
        'class Printer(BaseCallbackHandler):\n    def on_llm_new_token(self, token, **kwargs):\n        print(token, end="")'
    ),
    after=(
        "with callbridge.stream_call(chain.run, q) as stream:\n"
        "    for text in stream.text():\n"
        '        print(text, end="", flush=True)'
    ),
    when_not="In a debugging aid that you switch on by hand.",
    check=_check,
)
