"""CB707: an async v3 stream of a model, whose end no code awaits."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.version3 import v3_streams
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for stream in v3_streams(module):
        if stream.is_end_unheard(module):
            read = ", ".join(sorted(stream.attributes(module)))
            message = "nothing awaits the end: handlers may hear a cancellation although all went well"
            reason = "enter the stream with `async with`, or await it: its text ends before on_llm_end is called"
            yield context.finding("CB707", stream.call, message, "manual", "warning", reason, {"read": read})


RULE = Rule(
    code="CB707",
    name="v3-end-not-awaited",
    severity="warning",
    fix="auto-review, manual",
    summary="an async v3 stream of a model with a config, read through `.text` and the like, and never awaited or entered",
    why=(
        "The end of the message releases the reader. Another task calls `on_llm_end` later. If the event loop ends first, "
        "handlers hear `on_llm_error(CancelledError())`: the cost is lost and the trace is red."
    ),
    before=(
        "async def ask():\n"
        '    message = await model.astream_events(x, config, version="v3")\n'
        "    return [text async for text in message.text]"
    ),
    after=(
        "async def ask():\n"
        '    async with await model.astream_events(x, config, version="v3") as message:\n'
        "        return [text async for text in message.text]"
    ),
    when_not="If the event loop goes on long after, as in a server, and nothing depends on when handlers hear of the end.",
    check=_check,
)
