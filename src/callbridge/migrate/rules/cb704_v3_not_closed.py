"""CB704: a v3 stream that the code leaves without closing it."""

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
        if not stream.is_left_open(module):
            continue
        message = "the loop exits early, and a sync v3 stream then never ends: its handlers hear no end"
        if stream.is_async:
            message = "nothing closes this stream: if the reader leaves or is cancelled, the model runs on and costs money"
        reason = "read it inside callbridge.astream_call or stream_call, or enter an async stream with `async with`"
        method = "astream_events" if stream.is_async else "stream_events"
        yield context.finding("CB704", stream.call, message, "adapter", "warning", reason, {"method": method})


RULE = Rule(
    code="CB704",
    name="v3-not-closed",
    severity="warning",
    fix="auto-review, adapter",
    summary="an async v3 stream without `async with`, `aclose` or `abort`; a sync one that you leave by `break` or `return`",
    why=(
        "The task behind an async v3 stream runs to its end even if nobody reads it. A sync stream that you drop reports "
        "neither an end nor an error, so traces stay open."
    ),
    before='message = await model.astream_events(x, version="v3")\nasync for text in message.text: ...',
    after='async with await model.astream_events(x, version="v3") as message:\n    async for text in message.text: ...',
    when_not="If the process ends there anyway.",
    check=_check,
)
