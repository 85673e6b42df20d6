"""CB608: a custom model without `_stream` as the root of an event stream."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.event_stream_loops import made_from
from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.analysis.module import Module, called_name
from callbridge.migrate.analysis.project import Project
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_BASES = frozenset({"LLM", "BaseLLM", "BaseChatModel", "SimpleChatModel"})
_DEPTH = 6


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for call in module.of(ast.Call):
        if called_name(call) not in ("astream_events", "stream_events"):
            continue
        own = (module.resolve(call.func) or "").startswith("callbridge.")
        receiver = (
            call.args[0] if own and call.args else call.func.value if isinstance(call.func, ast.Attribute) and not own else None
        )
        made = made_from(receiver, module) if receiver is not None else None
        dotted = module.resolve(made.func) if isinstance(made, ast.Call) else None
        if dotted and _lacks_stream(dotted, module, context.project):
            name = dotted.rpartition(".")[2]
            message = f"{name} has no `_stream`: as the root of an event stream it reports no token"
            reason = "wrap `invoke` with `stream_call`, which shows the tokens that the model reports to its run manager"
            yield context.finding("CB608", call, message, "adapter", "warning", reason, {"class": dotted})


def _lacks_stream(dotted: str, origin: Module, project: Project, depth: int = 0) -> bool:
    found = project.find(dotted, origin)
    module, node = found if found is not None else (origin, None)
    if not isinstance(node, ast.ClassDef) or depth > _DEPTH:
        return False
    if any(
        isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name in ("_stream", "_astream") for each in node.body
    ):
        return False
    for base in node.bases:
        name = module.resolve(base, module.scopes[node]) or ""
        if is_langchain(name):
            return name.rpartition(".")[2] in _BASES
        if name and name != dotted and _lacks_stream(name, module, project, depth + 1):
            return True
    return False


RULE = Rule(
    code="CB608",
    name="root-llm-without-stream",
    severity="warning",
    fix="adapter",
    summary="a custom model without `_stream` that is streamed directly",
    why=(
        "If such a model runs inside a chain, what it passes to `run_manager.on_llm_new_token` becomes events. If it is the "
        "root, it does not: the loop sees only a start and an end."
    ),
    before='async for event in MyLLM().astream_events(x, version="v2"): ...',
    after=("async with callbridge.astream_call(MyLLM().ainvoke, x) as stream:\n    async for event in stream: ..."),
    when_not="If you are about to give the model a `_stream`.",
    check=_check,
)
