"""CB201, CB202: `callback_manager=` and `CallbackManager([h])`, which 1.x models ignore, to `callbacks=[h]`.

Only calls of LangChain's own classes: what a factory or a function of the project does with the argument is not known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.known import MANAGERS, is_langchain
from callbridge.migrate.edits.operations import Change, Refusal, RenameArgument, ReplaceExpression
from callbridge.migrate.edits.source import Source, keyword_of

__all__ = ["plan"]

_LOCAL = "the handlers of a manager hear only the run they are passed to, those of a list hear all runs below it as well"


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return what can be done about the managers of a file."""
    for call in source.calls():
        keyword = keyword_of(call, "callback_manager")
        if keyword is not None and _concerns(source, call, keyword):
            yield _plan_keyword(source, call, keyword)
        if _is_manager(source, call):
            yield from _plan_wrapper(source, call)


def _concerns(source: Source, call: ast.Call, keyword: ast.keyword) -> bool:
    """Return whether the argument is LangChain's, not that of LlamaIndex or of the project."""
    if is_langchain(source.origin(call.func)) or _factory_of(source, call):
        return True
    value: ast.expr | None = keyword.value
    if isinstance(value, ast.Name):
        value = source.value(value)
    return isinstance(value, ast.Call) and _is_manager(source, value)


def _plan_keyword(source: Source, call: ast.Call, keyword: ast.keyword) -> Change | Refusal:
    place = source.span(keyword)
    if keyword_of(call, "callbacks") is not None:
        return Refusal("CB201", place, "the call has `callbacks=` as well: which of the two counts is not known")
    if any(each.arg is None for each in call.keywords):
        return Refusal("CB201", place, "the call has `**` arguments, which may have `callbacks` in them")
    if not is_langchain(source.origin(call.func)):
        if _factory_of(source, call):
            return _renamed(source, call, keyword, reason="a factory: it may hand `callbacks=` to other objects as well")
        return Refusal("CB201", place, "the callee is not a class of LangChain: rename its parameter first, if it is yours")
    name = (source.origin(call.func) or "").rpartition(".")[2]
    if not name[:1].isupper():
        return Refusal("CB201", place, f"{name}() is a function: it hands the manager to several objects, a list only to one")
    return _renamed(source, call, keyword, reason="")


def _renamed(source: Source, call: ast.Call, keyword: ast.keyword, *, reason: str) -> Change:
    operation = RenameArgument(source.span(call), "callback_manager", "callbacks")
    return Change("CB201", source.span(keyword), "pass the handlers as `callbacks=`", (operation,), reason)


def _factory_of(source: Source, call: ast.Call) -> bool:
    """Return whether the call is of a class method of LangChain: `RetrievalQA.from_llm(…)`."""
    return isinstance(call.func, ast.Attribute) and is_langchain(source.origin(call.func.value))


def _is_manager(source: Source, call: ast.Call) -> bool:
    origin = source.origin(call.func)
    return is_langchain(origin) and origin.rpartition(".")[2] in MANAGERS


def _plan_wrapper(source: Source, call: ast.Call) -> Iterator[Change | Refusal]:
    place = source.span(call)
    handlers = _handlers(call)
    if handlers is None:
        yield Refusal("CB202", place, "the manager is made of more than a list of handlers")
        return
    uses = _uses(source, call)
    if not uses:
        yield Refusal("CB202", place, "the manager is used otherwise than as an argument `callbacks=`")
        return
    if any(keyword.arg == "callback_manager" for _, keyword in uses):
        return  # CB201 comes first, or refuses
    constructors = all(_is_constructor(source, user) for user, _ in uses)
    operation = ReplaceExpression(place, "HANDLERS", {"HANDLERS": source.span(handlers)})
    orphan = (call.func.id,) if isinstance(call.func, ast.Name) else ()
    yield Change("CB202", place, "pass the list of handlers", (operation,), "" if constructors else _LOCAL, orphan)


def _handlers(call: ast.Call) -> ast.List | None:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "handlers")]
    if len(call.args) + len(call.keywords) != 1 or len(arguments) != 1:
        return None
    return arguments[0] if isinstance(arguments[0], ast.List) else None


def _uses(source: Source, call: ast.Call) -> list[tuple[ast.Call, ast.keyword]] | None:
    """Return the calls that a manager is an argument of, or None if it goes elsewhere as well."""
    parent = source.parents[call]
    if not (isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name)):
        return _arguments(source, [call])
    name = parent.targets[0].id
    scope = source.scope(parent)
    if source.assignment(name, scope) is not parent or (isinstance(scope, ast.Module) and source.is_exported(name)):
        return None
    return _arguments(source, [use for use in source.uses(name, scope) if isinstance(use.ctx, ast.Load)])


def _arguments(source: Source, values: Sequence[ast.expr]) -> list[tuple[ast.Call, ast.keyword]] | None:
    found: list[tuple[ast.Call, ast.keyword]] = []
    for value in values:
        keyword = source.parents[value]
        if not isinstance(keyword, ast.keyword) or keyword.arg not in ("callbacks", "callback_manager"):
            return None
        user = source.parents[keyword]
        if not isinstance(user, ast.Call):
            return None
        found.append((user, keyword))
    return found


def _is_constructor(source: Source, call: ast.Call) -> bool:
    origin = source.origin(call.func)
    return is_langchain(origin) and origin.rpartition(".")[2][:1].isupper()
