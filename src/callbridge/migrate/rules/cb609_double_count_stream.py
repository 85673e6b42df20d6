"""CB609: loops that treat every stream event as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import event_loops
from callbridge.migrate.analysis.module import called_name, walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_MODELS = frozenset({"on_chat_model_stream", "on_llm_stream"})


def _check(context: Context) -> Iterator[Finding]:
    for loop, _, _ in event_loops(context.module):
        for node in (each for statement in loop.body for each in walk(statement)):
            if _is_any_stream(node):
                message = "the model streams its text, and every chain around it streams the same text again"
                reason = "decide which stream you want, and test for its event name"
                yield context.finding("CB609", node, message, "manual", "warning", reason)


def _is_any_stream(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In):
        left, right = node.left, node.comparators[0]
        if isinstance(left, ast.Constant) and left.value in ("stream", "_stream"):
            return _is_event_name(right)
        if isinstance(right, ast.List | ast.Tuple | ast.Set) and _is_event_name(left):
            names = {each.value for each in right.elts if isinstance(each, ast.Constant)}
            return "on_chain_stream" in names and bool(names & _MODELS)
    if isinstance(node, ast.Call) and called_name(node) == "endswith" and isinstance(node.func, ast.Attribute) and node.args:
        argument = node.args[0]
        return (
            isinstance(argument, ast.Constant) and argument.value in ("stream", "_stream") and _is_event_name(node.func.value)
        )
    return False


def _is_event_name(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "event"
    return isinstance(node, ast.Name) and node.id in ("kind", "event", "event_type", "event_name", "name", "ev", "type_")


RULE = Rule(
    code="CB609",
    name="double-count-stream",
    severity="warning",
    fix="manual",
    summary='a loop with `"stream" in event["event"]`, or one that takes model and chain streams together',
    why=(
        "Text that a model streams appears in `on_chat_model_stream`, and again in the `on_chain_stream` of each parent. The "
        "loop shows it twice or more."
    ),
    before=('if "stream" in event["event"]:\n    show(event["data"]["chunk"])'),
    after=('if event["event"] == "on_chat_model_stream":\n    show(event["data"]["chunk"].text)'),
    when_not="If the loop goes on to tell the runs apart.",
    check=_check,
)
