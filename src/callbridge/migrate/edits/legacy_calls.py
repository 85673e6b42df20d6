"""CB204: `chain.run(x, callbacks=[h])` to `chain.invoke(x, config={"callbacks": [h]})["output"]`: what `run` does itself.

The chain stays as it is. `run`, `predict` and `acall` pass their arguments to `invoke` and `ainvoke`, and the first two take
the one output out of the result. The class of the chain tells its key.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.call_config import is_plumbing
from callbridge.migrate.edits.models import stored_in
from callbridge.migrate.edits.operations import Change, Operation, Refusal, RenameArgument, ReplaceExpression
from callbridge.migrate.edits.source import Source, Span, keyword_of
from callbridge.migrate.edits.unfit import UnfitError

__all__ = ["plan"]

_AGENTS = (
    "initialize_agent",
    "create_csv_agent",
    "create_json_agent",
    "create_openapi_agent",
    "create_pandas_dataframe_agent",
    "create_python_agent",
    "create_sql_agent",
    "create_vectorstore_agent",
)
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys((*_AGENTS, "AgentExecutor"), "output"),
        **dict.fromkeys(("load_qa_chain", "load_summarize_chain"), "output_text"),
        "ConversationChain": "response",
        "ConversationalRetrievalChain": "answer",
        "LLMChain": "text",
        "LLMMathChain": "answer",
        "RetrievalQA": "result",
    }
)
"""The constructors of LangChain's chains, and the key of their one output."""

_OWN = "the agent is your own: this file does not show that its output is called `output`"
_NEW: Mapping[str, str] = MappingProxyType(
    {"run": "invoke", "predict": "invoke", "arun": "ainvoke", "apredict": "ainvoke", "acall": "ainvoke"}
)
_OTHERS = ("apply", "aapply", "predict_messages", "apredict_messages")
"""Methods that take `callbacks=` and no `config=`, and do something else than `invoke` with a list or with messages."""

_OPTIONS = ("include_run_info", "metadata", "return_only_outputs", "tags")


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for callbacks that the code passes to methods of legacy chains."""
    if not source.is_langchain_file():
        return
    for call in source.calls():
        keyword, function = keyword_of(call, "callbacks"), call.func
        if keyword is None or not isinstance(function, ast.Attribute) or is_langchain(source.origin(function)):
            continue
        if function.attr in (*_NEW, *_OTHERS) and not is_plumbing(keyword.value):
            try:
                yield _change(source, call, function, keyword)
            except UnfitError as unfit:
                yield Refusal("CB204", source.span(keyword), str(unfit))


def _change(source: Source, call: ast.Call, function: ast.Attribute, keyword: ast.keyword) -> Change:
    if function.attr in _OTHERS:
        raise UnfitError(
            f"{function.attr}() has no `config=`: change by hand to invoke() or batch(), which return something else"
        )
    owner, new = source.code(function.value), _NEW[function.attr]
    key, reason = _key(source, function, f'write {owner}.{new}(…, config={{"callbacks": […]}})')
    operations: list[Operation] = []
    parent = source.parents[call]
    awaited = parent if isinstance(parent, ast.Await) else None
    if function.attr == "acall":
        key = ""
    elif new == "ainvoke" and awaited is None:
        raise UnfitError(f"the code does not await {function.attr}() where it calls it: await it there")
    if call.args:
        operations += _renamed(source, call, function, keyword, new)
        template, holes = "CALL", {"CALL": source.span(call)}
    else:
        template, holes = _with_dict(source, call, function, keyword, new)
    whole: ast.expr = awaited if awaited is not None else call
    if isinstance(source.parents[whole], ast.Expr):
        key = ""
    if key and awaited is not None:
        operations.append(ReplaceExpression(source.span(awaited), f'(AWAITED)["{key}"]', {"AWAITED": source.span(awaited)}))
    elif key:
        template += f'["{key}"]'
    if template != "CALL":
        operations.append(ReplaceExpression(source.span(call), template, holes))
    message = f"call {new}() with the callbacks in its config"
    return Change("CB204", source.span(keyword), message, tuple(operations), reason)


def _key(source: Source, function: ast.Attribute, advice: str) -> tuple[str, str]:
    """Return the output key of a method's chain, and the assumption about it."""
    node = function.value
    made = source.value(node) if isinstance(node, ast.Name) else node
    made = stored_in(source, node) if isinstance(node, ast.Attribute) else made
    origin = (source.origin(made.func) or "") if isinstance(made, ast.Call) else ""
    name = next((part for part in origin.split(".") if part in _KEYS), "") if is_langchain(origin) else ""
    if not isinstance(made, ast.Call) or not name or (function.attr in ("predict", "apredict") and name in _AGENTS):
        what = ast.unparse(node)
        raise UnfitError(f"{function.attr}() has no `config=`, and `fix` cannot tell the key of what {what} returns: {advice}")
    if any(each.arg is None for each in made.keywords) or any(isinstance(each, ast.Starred) for each in made.args):
        raise UnfitError(f"{name} is made with `*` or `**` arguments, which may name its output: {advice}")
    for each in made.keywords:
        more = (each.arg or "").startswith("return_") and ast.unparse(each.value) != "False"
        if more or (each.arg == "output_key" and not isinstance(each.value, ast.Constant)):
            raise UnfitError(f"the result of {name} depends on `{each.arg}={source.code(each.value)}`: {advice}")
    given = keyword_of(made, "output_key")
    key = given.value.value if given is not None and isinstance(given.value, ast.Constant) else _KEYS[name]
    return str(key), _OWN if name == "AgentExecutor" else ""


def _renamed(source: Source, call: ast.Call, function: ast.Attribute, keyword: ast.keyword, new: str) -> tuple[Operation, ...]:
    """Return the operations that rename a call with one input, argument by argument."""
    if len(call.args) != 1 or len(call.keywords) != 1 or isinstance(call.args[0], ast.Starred):
        raise UnfitError("the call has `*` arguments, or more than its input and the callbacks")
    value, owner = source.span(keyword.value), source.span(function.value)
    return (
        ReplaceExpression(value, '{"callbacks": HANDLERS}', {"HANDLERS": value}),
        RenameArgument(source.span(call), "callbacks", "config"),
        ReplaceExpression(source.span(function), f"OWNER.{new}", {"OWNER": owner}),
    )


def _with_dict(
    source: Source, call: ast.Call, function: ast.Attribute, keyword: ast.keyword, new: str
) -> tuple[str, dict[str, Span]]:
    """Return a template for a call whose inputs are keyword arguments."""
    inputs = [each for each in call.keywords if each is not keyword]
    if function.attr == "acall":
        raise UnfitError("acall() gets its input by name: pass it first, without the name")
    if not inputs or any(each.arg is None or each.arg in _OPTIONS for each in inputs):
        raise UnfitError("the call has `**` arguments, other options than the callbacks, or no input")
    holes = {f"INPUT_{number}": source.span(each.value) for number, each in enumerate(inputs)}
    entries = ", ".join(f'"{each.arg}": {hole}' for each, hole in zip(inputs, holes, strict=True))
    holes |= {"OWNER": source.span(function.value), "HANDLERS": source.span(keyword.value)}
    return f'OWNER.{new}({{{entries}}}, config={{"callbacks": HANDLERS}})', holes
