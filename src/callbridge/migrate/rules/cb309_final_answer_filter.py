"""CB309: handlers that pass on only the final answer of an agent, by matching its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.handlers import HandlerClass
from callbridge.migrate.analysis.module import walk
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_PREFIX = re.compile(r"answer_prefix|final_answer|answer_reached|is_final|reached_answer", re.I)
_MARKER = re.compile(r"Final Answer|final answer|\"action_input\"")
_REASON = "tag the model that answers, and read the events with that tag (`include_tags`)"


def _check(context: Context) -> Iterator[Finding]:
    for call, use in context.made:
        if use.role == "final":
            facts = {"handler": use.dotted}
            yield context.finding(
                "CB309", call, "the handler finds the final answer by matching text", "adapter", "warning", _REASON, facts
            )
    for handler in context.handlers:
        if handler.base == "final" or (handler.token_hook is not None and _matches_prefix(handler)):
            message = f"{handler.node.name} finds the final answer by matching text"
            yield context.finding("CB309", handler.node, message, "adapter", "warning", _REASON, {"handler": handler.dotted})


def _matches_prefix(handler: HandlerClass) -> bool:
    """Return whether the token hook, or a method that it calls, keeps the state of an answer's prefix."""
    for node in walk(handler.node):
        if isinstance(node, ast.Attribute) and _PREFIX.search(node.attr):
            return True
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and _MARKER.search(node.value)
            and len(node.value) < 80
        ):
            return True
    return False


RULE = Rule(
    code="CB309",
    name="final-answer-filter",
    severity="warning",
    fix="adapter",
    summary="`FinalStreamingStdOutCallbackHandler`, or a handler that looks for `Final Answer:`",
    why=(
        "The prefix depends on the prompt, and on how the model cuts its tokens. Agents with tool calling have no prefix. "
        "Events carry names and tags: tag the model that answers."
    ),
    before='handler = FinalStreamingStdOutCallbackHandler(answer_prefix_tokens=["Final", "Answer", ":"])',
    after=(
        'async with callbridge.astream_events(agent, {"input": q}, include_tags=["answer"]) as stream:\n'
        "    async for text in stream.text():\n"
        "        show(text)"
    ),
    when_not="If it is a text agent that you will replace anyway.",
    check=_check,
)
