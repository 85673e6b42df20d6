"""CB709: v2 events from code that runs version 3 inside."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import made_from, stream_calls
from callbridge.migrate.analysis.module import Module, called_name
from callbridge.migrate.analysis.version3 import v3_calls
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    inside = {function for call in v3_calls(module) if (function := module.function_of(call)) is not None}
    if not inside:
        return
    for call in stream_calls(module, frozenset({"astream_events"})):
        version = next((each.value for each in call.keywords if each.arg == "version"), None)
        if isinstance(version, ast.Constant) and version.value == "v3":
            continue
        assert isinstance(call.func, ast.Attribute)
        names = {function.name for function in inside} & _functions(call.func.value, module)
        if names:
            message = (
                f"`{min(names)}` runs version 3: these events lack the tokens of models that do not report them themselves"
            )
            reason = "use callbridge.astream_events, which has the same events and the tokens of every model"
            yield context.finding("CB709", call, message, "adapter", "warning", reason, {"function": min(names)})


def _functions(value: ast.expr, module: Module) -> set[str]:
    """Return the functions inside a runnable, as far as the file shows."""
    made = made_from(value, module)
    if isinstance(made, ast.BinOp):
        return _functions(made.left, module) | _functions(made.right, module)
    if isinstance(made, ast.Name):
        return {made.id}
    if isinstance(made, ast.Call) and called_name(made) == "RunnableLambda":
        return {each.id for each in made.args if isinstance(each, ast.Name)}
    return set()


RULE = Rule(
    code="CB709",
    name="v2-around-v3",
    severity="warning",
    fix="adapter",
    summary='`astream_events(version="v2")` on a function of the same file that runs version 3',
    why=(
        "If a model is driven by version 3 and does not report tokens itself, LangChain's v2 stream has no "
        "`on_chat_model_stream` for it. If you upgrade a part of an application first, you lose that part's tokens."
    ),
    before=(
        "from langchain_core.runnables import RunnableLambda\n"
        "def ask(x):\n"
        '    return graph.stream_events(x, version="v3").output\n'
        "async def read():\n"
        '    async for event in RunnableLambda(ask).astream_events(x, version="v2"): ...'
    ),
    after=(
        "async def read():\n"
        "    async with callbridge.astream_events(RunnableLambda(ask), x) as stream:\n"
        "        async for event in stream: ..."
    ),
    when_not="If nothing reads tokens there.",
    check=_check,
)
