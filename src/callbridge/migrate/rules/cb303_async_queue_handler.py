"""CB303: a handler that fills an `asyncio.Queue` for an async generator."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import Sink
from callbridge.migrate.analysis.token_sinks import sink_findings
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_SINKS: frozenset[Sink] = frozenset({"async-queue"})


def _check(context: Context) -> Iterator[Finding]:
    yield from sink_findings(context, "CB303", _SINKS, "hands tokens to an asyncio queue that a generator drains")


RULE = Rule(
    code="CB303",
    name="async-queue-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary="a handler that puts tokens into an `asyncio.Queue`",
    why=(
        "The handler has to signal the end of the stream itself, and does so too early or never. If the reader leaves, "
        "nothing cancels the model."
    ),
    before=(
        "class QueueHandler(AsyncCallbackHandler):\n"
        "    async def on_llm_new_token(self, token, **kwargs):\n"
        "        await self.queue.put(token)"
    ),
    after=(
        'async with callbridge.astream_call(chain.acall, {"question": q}) as stream:\n'
        "    async for text in stream.text():\n"
        "        yield text"
    ),
    when_not="If several runs feed one queue on purpose.",
    check=_check,
)
