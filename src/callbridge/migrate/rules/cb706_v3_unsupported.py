"""CB706: `version="v3"` on a runnable that does not support it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import made_from
from callbridge.migrate.analysis.module import Module, called_name
from callbridge.migrate.analysis.version3 import v3_calls
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule
from callbridge.migrate.words import words

__all__ = ["RULE"]

_MADE_BY = words(
    "RunnableSequence RunnableLambda RunnableParallel RunnableBranch RunnablePassthrough RunnableWithFallbacks "
    "RunnableWithMessageHistory LLMChain ConversationChain RetrievalQA ConversationalRetrievalChain AgentExecutor "
    "OpenAI AzureOpenAI FakeListLLM FakeStreamingListLLM Ollama OllamaLLM LlamaCpp HuggingFacePipeline"
)
_METHODS = words("with_fallbacks map pick assign pipe configurable_alternatives")


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for call in v3_calls(module):
        assert isinstance(call.func, ast.Attribute)
        kind = _unsupported(made_from(call.func.value, module), module)
        if kind:
            message = f'{kind} does not support version="v3": the call raises NotImplementedError'
            reason = "use callbridge.stream_messages or astream_messages, which read it in the same style"
            facts = {"kind": kind, "method": called_name(call)}
            yield context.finding("CB706", call, message, "adapter", "error", reason, facts)


def _unsupported(made: ast.expr, module: Module) -> str:
    """Return the kind of a runnable if it does not support version 3; else an empty text."""
    if isinstance(made, ast.BinOp) and isinstance(made.op, ast.BitOr):
        return "a sequence"
    if not isinstance(made, ast.Call):
        return ""
    name = called_name(made)
    if isinstance(made.func, ast.Attribute) and name in _METHODS:
        return f"what `{name}` makes"
    dotted = (module.resolve(made.func) or "").rpartition(".")[2] or name
    return f"`{dotted}`" if dotted in _MADE_BY else ""


RULE = Rule(
    code="CB706",
    name="v3-unsupported",
    severity="error",
    fix="adapter",
    summary='`version="v3"` on a sequence, a fallback, a legacy chain or a string model',
    why="LangChain implements version 3 only for chat models and compiled graphs. Everything else raises NotImplementedError.",
    before='for event in (prompt | model).stream_events(x, version="v3"): ...',
    after=(
        "with callbridge.stream_messages(prompt | model, x) as messages:\n"
        "    for message in messages:\n"
        "        for text in message.text: ..."
    ),
    when_not="If the runnable is a subclass of your own that implements it.",
    check=_check,
)
