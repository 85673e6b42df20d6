"""CB701: `astream_events` without `version="v2"`, and `astream_log`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import stream_calls
from callbridge.migrate.analysis.module import called_name
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


_SAY = 'pass version="v2"'


def _check(context: Context) -> Iterator[Finding]:
    for call in stream_calls(context.module, frozenset({"astream_events"})):
        function = context.module.function_of(call)
        if function is not None and function.name == "astream_events":
            continue  # a method of this name passes the call on
        given = next((each.value for each in call.keywords if each.arg == "version"), None)
        hidden = any(each.arg is None for each in call.keywords)
        if given is None and not hidden:
            message = "astream_events has no `version=`: the default differs between LangChain versions"
            yield context.finding(
                "CB701", call, message, "adapter", "warning", _SAY, {"version": "", "method": "astream_events"}
            )
        elif isinstance(given, ast.Constant) and given.value == "v1":
            message = "LangChain 1.x removed version v1 of astream_events; v2 events have other names and data"
            reason = "v2 events have other names and payloads: adapt the loop"
            facts = {"version": "v1", "method": "astream_events"}
            yield context.finding("CB701", call, message, "adapter", "error", reason, facts)
    for call in stream_calls(context.module, frozenset({"astream_log"})):
        function = context.module.function_of(call)
        if function is not None and function.name == "astream_log":
            continue  # a method of this name passes the call on
        reason = "astream_log yields JSON patches, not events: rewrite the loop"
        facts = {"method": called_name(call)}
        yield context.finding("CB701", call, "astream_events supersedes astream_log", "manual", "warning", reason, facts)


RULE = Rule(
    code="CB701",
    name="events-version",
    severity="warning",
    fix="auto-safe, auto-review, adapter, manual",
    summary='`astream_events` without `version="v2"`, with v1, or `astream_log`',
    why="There are three versions with three shapes, and the default has changed. Say which one you wrote the loop for.",
    before="async for event in chain.astream_events(x): ...",
    after='async for event in chain.astream_events(x, version="v2"): ...',
    when_not="If `astream_events` is your own method and takes no version.",
    check=_check,
)
