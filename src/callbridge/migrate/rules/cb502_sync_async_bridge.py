"""CB502: hooks that cross between sync and async code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import called_name, walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_BRIDGES = frozenset({"run_until_complete", "async_to_sync", "run_coroutine_threadsafe"})


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        for name, hook in handler.own.items():
            for call in walk(hook):
                if isinstance(call, ast.Call) and _is_bridge(call, context):
                    message = f"{name} of {handler.node.name} calls async code through `{called_name(call) or 'async_to_sync'}`"
                    reason = "read the run as a stream, and await the async code in your own loop"
                    facts = {"handler": handler.dotted, "hook": name}
                    yield context.finding("CB502", call, message, "manual", "warning", reason, facts)


def _is_bridge(call: ast.Call, context: Context) -> bool:
    dotted = context.module.resolve(call.func) or ""
    return called_name(call) in _BRIDGES or dotted in ("asyncio.run", "nest_asyncio.apply", "anyio.run", "trio.run")


RULE = Rule(
    code="CB502",
    name="sync-async-bridge",
    severity="warning",
    fix="manual",
    summary="`asyncio.run`, `async_to_sync` and the like in a hook",
    why=(
        "The hook starts a loop per token, fails if a loop is already running, or blocks the loop that it waits for. Read "
        "the run as a stream and send from the endpoint, which is async itself."
    ),
    before=("def on_llm_new_token(self, token, **kwargs):\n    asyncio.run(self.websocket.send_text(token))"),
    after=("async for text in stream.text():\n    await websocket.send_text(text)"),
    when_not="If the hook runs in a worker thread that nothing waits for.",
    check=_check,
)
