"""CB305: `StreamingStdOutCallbackHandler` attached."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Attachment
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.dataflow import runs_in_scope
from callbridge.migrate.analysis.langchain_names import CALL_METHODS, STREAM_METHODS
from callbridge.migrate.analysis.module import called_name
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for call, use in context.made:
        if use.role == "stdout" and (use.known is None or use.known.token_hook is None):
            each, runs = _attached(call, context)
            facts = {"handler": use.dotted, "run_lines": " ".join(str(run.lineno) for run in runs)}
            yield context.finding("CB305", call, "a callback prints the tokens", "adapter", "warning", _left(each, runs), facts)


def _left(each: Attachment | None, runs: list[ast.Call]) -> str:
    """Return why the code stays if no edit applies."""
    if each is None or not runs:
        return "the scan sees no call in the same scope that runs it: read the text of the call with `stream_call`"
    if any(called_name(run) in STREAM_METHODS for run in runs):
        return "the code already streams this run: print its chunks where you read them"
    return "read the text of the call with `stream_call`, and print it there"


def _attached(call: ast.Call, context: Context) -> tuple[Attachment | None, list[ast.Call]]:
    """Return where a handler is attached, and the calls that run it, in the scope that makes it."""
    for each in context.attachments:
        if each.call is None or not any(use.made is call for use in each.handlers):
            continue
        if context.module.scope_of(each.call) is not context.module.scope_of(call):
            continue
        if each.style == "call" or (each.style == "config" and called_name(each.call) in CALL_METHODS):
            return each, [each.call]
        found = runs_in_scope(each.call, context.module)
        if found:
            return each, found
    return None, []


RULE = Rule(
    code="CB305",
    name="stdout-stream",
    severity="warning",
    fix="auto-safe, auto-review, adapter",
    summary="`StreamingStdOutCallbackHandler` attached to something",
    why=(
        "The handler prints on its own: to wherever standard output goes, from every run that shares the model, and only if "
        "you told the model to stream."
    ),
    before=(
        "llm = ChatOpenAI(streaming=True, callbacks=[StreamingStdOutCallbackHandler()])\n"
        "answer = LLMChain(llm=llm, prompt=p).run(q)"
    ),
    after=(
        "chain = LLMChain(llm=ChatOpenAI(), prompt=p)\n"
        "with callbridge.stream_call(chain.run, q) as stream:\n"
        "    for text in stream.text():\n"
        '        print(text, end="", flush=True)\n'
        "answer = stream.result"
    ),
    when_not="In a notebook that only shows a model at work.",
    check=_check,
)
