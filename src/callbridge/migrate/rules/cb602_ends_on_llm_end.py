"""CB602: a queue or iterator that closes when a model ends."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import Function, called_name, dotted_text, walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_CLOSING = frozenset({"close", "set", "stop", "end", "finish", "task_done", "cancel", "shutdown"})
_PUTTING = frozenset({"put", "put_nowait", "send", "send_nowait", "call_soon_threadsafe"})
_END = re.compile(r"done|finish|end|stop|complete", re.IGNORECASE)
_QUEUES = frozenset({"thread-queue", "async-queue", "process-queue"})


def _check(context: Context) -> Iterator[Finding]:
    for handler in context.handlers:
        hook = handler.own.get("on_llm_end")
        if hook is None or handler.token_hook is None or not (_QUEUES & set(handler.sinks) or handler.base == "aiter"):
            continue
        if _closes(hook) and not _asks_which_run(hook):
            message = f"{handler.node.name} ends the stream in on_llm_end: everything after the first model call is lost"
            reason = "this goes away with the handler: a stream of callbridge ends with the call"
            facts = {"handler": handler.dotted}
            yield context.finding("CB602", hook, message, "adapter", "warning", reason, facts)


def _closes(hook: Function) -> bool:
    for node in walk(hook):
        if isinstance(node, ast.Call):
            name = called_name(node)
            if name in _CLOSING or name in _PUTTING or "done" in dotted_text(node.func):
                return True
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute) and _END.search(node.targets[0].attr):
            return True
    return False


def _asks_which_run(hook: Function) -> bool:
    """Return whether the hook checks which run ends before it closes anything."""
    asked = {
        node.id for test in walk(hook) if isinstance(test, ast.If) for node in walk(test.test) if isinstance(node, ast.Name)
    }
    return bool(asked & {"parent_run_id", "run_id"})


RULE = Rule(
    code="CB602",
    name="ends-on-llm-end",
    severity="warning",
    fix="adapter",
    summary="a queue or iterator that is closed in `on_llm_end`",
    why=(
        "A run may call a model several times: agents do, and so do refine and map-reduce chains and chains that condense a "
        "question. The stream ends with the first call, and the rest of the answer is lost."
    ),
    before=("def on_llm_end(self, response, **kwargs):\n    self.queue.put(None)"),
    after=("with callbridge.stream_call(chain.run, q) as stream:\n    yield from stream.text()"),
    when_not="If you are certain that there is exactly one model call, as with a bare model.",
    check=_check,
)
