"""CB708: the content of a v3 message used as a string."""

from __future__ import annotations

from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.version3 import contents_taken_for_text
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for node in contents_taken_for_text(context.module):
        message = "the content of a v3 message is a list of blocks, not a string"
        yield context.finding("CB708", node, message, "manual", "error", "use .text instead of .content")


RULE = Rule(
    code="CB708",
    name="content-is-list",
    severity="error",
    fix="auto-safe, auto-review, manual",
    summary="`.content` of a v3 message, or of a v3 graph's state, used as a string",
    why="In version 3, the content of every message is a list of blocks: `.content.strip()` raises AttributeError.",
    before='answer = model.stream_events(x, version="v3").output.content.strip()',
    after='answer = model.stream_events(x, version="v3").output.text.strip()',
    when_not="If the message is not the model's: what the graph's own code has written keeps its string.",
    check=_check,
)
