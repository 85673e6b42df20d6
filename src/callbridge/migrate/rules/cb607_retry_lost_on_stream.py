"""CB607: `.with_retry()` on a runnable that the code streams."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import made_from
from callbridge.migrate.analysis.langchain_names import STREAM_METHODS, is_langchain
from callbridge.migrate.analysis.module import called_name
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_METHODS = STREAM_METHODS - {"astream_log"}


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    if not any(is_langchain(dotted) or dotted.startswith("callbridge") for dotted in module.imports.values()):
        return
    for call in module.of(ast.Call):
        if called_name(call) not in _METHODS:
            continue
        own = (module.resolve(call.func) or "").startswith("callbridge.")
        receiver = (
            call.args[0] if own and call.args else call.func.value if isinstance(call.func, ast.Attribute) and not own else None
        )
        made = made_from(receiver, module) if receiver is not None else None
        if isinstance(made, ast.Call) and called_name(made) == "with_retry":
            message = f"`with_retry` does nothing under `{called_name(call)}`: LangChain does not retry a failed stream"
            reason = "wrap `invoke` with `stream_call`, which keeps the retries and streams every attempt"
            yield context.finding("CB607", call, message, "adapter", "error", reason, {"method": called_name(call)})


RULE = Rule(
    code="CB607",
    name="retry-lost-on-stream",
    severity="error",
    fix="adapter",
    summary="a `.with_retry()` runnable read with `stream`, `astream` or `astream_events`",
    why="LangChain retries only `invoke` and `batch`: it tries a stream once.",
    before='async for event in model.with_retry().astream_events(x, version="v2"): ...',
    after=("async with callbridge.astream_call(model.with_retry().ainvoke, x) as stream:\n    async for event in stream: ..."),
    when_not="If you want only one attempt: then remove `with_retry`.",
    check=_check,
)
