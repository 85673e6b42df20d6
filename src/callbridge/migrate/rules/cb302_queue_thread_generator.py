"""CB302: a handler that fills a queue for a thread or generator."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"thread-queue"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB302", _SINKS, "hands tokens to a queue that another thread reads")


RULE = Rule(
    code="CB302",
    name="queue-thread-generator",
    severity="warning",
    fix="auto-review, adapter",
    summary="a handler that puts tokens into a `queue.Queue` or `ThreadedGenerator`",
    why=(
        "The queue grows without bound. If the reader leaves, the model goes on. If the thread raises, the reader waits "
        "forever. Most such handlers end with the first model call."
    ),
    before=(
        "class QueueHandler(BaseCallbackHandler):\n"
        "    def on_llm_new_token(self, token, **kwargs):\n"
        "        self.queue.put(token)"
    ),
    after=('with callbridge.stream_call(chain, {"question": q}) as stream:\n    yield from stream.text()'),
    when_not="If something outside the request reads the queue.",
    check=_check,
)
