"""CB305: `StreamingStdOutCallbackHandler` attached."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.context import Context
from callbridge.migrate.finding import Finding, Verdict
from callbridge.migrate.flow import runs_in_scope
from callbridge.migrate.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    for call, use in context.made:
        if use.role == "stdout" and (use.known is None or use.known.token_hook is None):
            runs = _runs(call, context)
            reason = "" if runs else "the call that runs it is not in this scope"
            verdict: Verdict = "auto-review" if runs else "adapter"
            facts = {"handler": use.dotted, "run_lines": " ".join(str(run.lineno) for run in runs)}
            yield context.finding("CB305", call, "tokens are printed by a callback", verdict, "warning", reason, facts)


def _runs(call: ast.Call, context: Context) -> list[ast.Call]:
    """Return the calls that run what the handler is attached to, in the scope where it is made."""
    for each in context.attachments:
        if each.call is None or not any(use.made is call for use in each.handlers):
            continue
        if context.module.scope_of(each.call) is not context.module.scope_of(call):
            continue
        if each.style == "call":
            return [each.call]
        found = runs_in_scope(each.call, context.module)
        if found:
            return found
    return []


RULE = Rule(
    code="CB305",
    name="stdout-stream",
    severity="warning",
    fix="auto-review, adapter",
    summary="`StreamingStdOutCallbackHandler` attached to something",
    why=(
        "It prints behind the program's back: to wherever standard output goes, from every run that shares the model, and "
        "only if the model was told to stream."
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
