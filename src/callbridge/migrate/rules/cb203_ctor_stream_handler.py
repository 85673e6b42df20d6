"""CB203: a streaming handler attached in the constructor of a model, chain or tool, or through a factory."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.attach_sites import Attachment
from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.dataflow import runs_in_scope
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.attached import reason_to_stay
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for each in context.attachments:
        if each.style in ("constructor", "factory") and (each.streaming or each.unresolved) and not each.passed:
            yield _finding(each, context)


def _finding(each: Attachment, context: Context) -> Finding:
    runs = runs_in_scope(each.call, context.module) if isinstance(each.call, ast.Call) else []
    reason = _reason(each, len(runs))
    shown = ", ".join(dict.fromkeys(use.dotted.rpartition(".")[2].lstrip("?") for use in each.streaming or each.unresolved))
    message = f"{shown} is attached to what {each.callee.rpartition('.')[2]} makes, so it hears every run of every user"
    facts = {
        "handler": " ".join(use.dotted for use in each.handlers),
        "callee": each.callee,
        "owner": each.owner,
        "style": each.style,
        "keyword": each.keyword,
        "run_lines": " ".join(str(run.lineno) for run in runs),
    }
    return context.finding("CB203", each.place, message, "adapter", "warning", reason, facts)


def _reason(each: Attachment, runs: int) -> str:
    """Return why the code stays if no edit applies."""
    if each.unresolved:
        if all(use.origin == "parameter" for use in each.unresolved):
            return "the handler is a parameter: pass it to the run, in `config`, instead"
        if all(use.made is not None for use in each.unresolved):
            return "no scanned file defines the handler's class at its top level"
        return "this file does not show where the handler is made"
    reason = reason_to_stay(each)
    if reason:
        return reason
    if each.style == "factory":
        return "a function of your project attaches it: read the text of the call with `stream_call`"
    if not runs:
        return "the scan sees no call in the same scope that runs it: read the text of the call with `stream_call`"
    if all(use.role == "aiter" for use in each.streaming):
        return "it stays with the loop over its tokens, see CB301"
    return "`fix` knows no edit for this handler in this place: read the text of the call with `stream_call`"


RULE = Rule(
    code="CB203",
    name="ctor-stream-handler",
    severity="warning",
    fix="auto-review, adapter",
    summary="a streaming handler in the constructor of a model, chain or tool",
    why=(
        "Everything that uses the object shares the handler: two requests at once mix their tokens. If you read the run as a "
        "stream where you call it, you can share the object safely."
    ),
    before=("llm = ChatOpenAI(streaming=True, callbacks=[MyHandler()])\nanswer = LLMChain(llm=llm, prompt=prompt).run(q)"),
    after=(
        "llm = ChatOpenAI()\n"
        "chain = LLMChain(llm=llm, prompt=prompt)\n"
        "with callbridge.stream_call(chain.run, q) as stream:\n"
        "    for text in stream.text():\n"
        "        show(text)\n"
        "answer = stream.result"
    ),
    when_not="If the handler is an observer (cost, tracing, logging): it stays a callback, see CB404.",
    check=_check,
)
