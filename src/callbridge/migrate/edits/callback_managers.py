"""CB201, CB202: `callback_manager=` and `CallbackManager([h])`, which 1.x models ignore, to `callbacks=[h]`.

It edits only calls of LangChain's own classes: a factory or a function of the project may do anything with the argument.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.langchain_names import MANAGERS, is_langchain
from callbridge.migrate.edits.assignments import variable_of
from callbridge.migrate.edits.operations import Change, Refusal, RenameArgument, ReplaceExpression
from callbridge.migrate.edits.source import Source, keyword_of

__all__ = ["plan"]

_LOCAL = "handlers in a manager hear only the run that gets them; in a list, they hear all runs below it as well"


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the managers of a file."""
    for call in source.calls():
        keyword = keyword_of(call, "callback_manager")
        if keyword is not None and _concerns(source, call, keyword):
            yield _plan_keyword(source, call, keyword)
        if _is_manager(source, call):
            yield from _plan_wrapper(source, call)
    for display in (node for node in source.nodes if isinstance(node, ast.Dict)):
        yield from _plan_key(source, display)


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
        return Refusal("CB201", place, "the call also has `callbacks=`: keep one of the two")
    if any(each.arg is None for each in call.keywords):
        return Refusal("CB201", place, "the call has `**` arguments, which may contain `callbacks`")
    if not is_langchain(source.origin(call.func)):
        if _factory_of(source, call):
            return _renamed(
                source, call, keyword, reason="the call is a factory, which may pass `callbacks=` to other objects as well"
            )
        return Refusal("CB201", place, "the call is not of a LangChain class: if it is of yours, rename its parameter first")
    name = (source.origin(call.func) or "").rpartition(".")[2]
    if not name[:1].isupper():
        return Refusal(
            "CB201", place, f"{name}() is a function, which may pass `callbacks=` to other objects than `callback_manager=`"
        )
    return _renamed(source, call, keyword, reason="")


def _renamed(source: Source, call: ast.Call, keyword: ast.keyword, *, reason: str) -> Change:
    operation = RenameArgument(source.span(call), "callback_manager", "callbacks")
    return Change("CB201", source.span(keyword), "pass the handlers as `callbacks=`", (operation,), reason)


def _factory_of(source: Source, call: ast.Call) -> bool:
    """Return whether the call is a class method of LangChain: `RetrievalQA.from_llm(…)`."""
    return isinstance(call.func, ast.Attribute) and is_langchain(source.origin(call.func.value))


def _is_manager(source: Source, call: ast.Call) -> bool:
    origin = source.origin(call.func)
    return is_langchain(origin) and origin.rpartition(".")[2] in MANAGERS


def _plan_key(source: Source, display: ast.Dict) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for `{"callback_manager": m}`, keywords for a LangChain constructor."""
    keys = [each for each in display.keys if isinstance(each, ast.Constant) and each.value == "callback_manager"]
    if len(keys) != 1:
        return
    value = display.values[display.keys.index(keys[0])]
    manager = source.value(value) if isinstance(value, ast.Name) else value
    users = _users(source, display)
    ours = users is not None and all(_is_constructor(source, user) for user in users)
    if not ours and not (isinstance(manager, ast.Call) and _is_manager(source, manager)):
        return
    if not ours:
        yield Refusal(
            "CB201", source.span(value), "this file does not show what takes these keywords: rename the key to `callbacks`"
        )
    elif any(isinstance(each, ast.Constant) and each.value == "callbacks" for each in display.keys):
        yield Refusal("CB201", source.span(value), "the keywords also contain `callbacks`: keep one of the two")
    else:
        operation = ReplaceExpression(source.span(keys[0]), '"callbacks"')
        yield Change("CB201", source.span(value), "pass the handlers as `callbacks`", (operation,))


def _users(source: Source, display: ast.Dict) -> list[ast.Call] | None:
    """Return the calls that take a dict as keywords, by `**{…}` or `**name`; None if the dict has other uses."""
    parent = source.parents[display]
    uses: list[ast.expr] = [display]
    if name := variable_of(parent):
        scope = source.scope(parent)
        if source.assignment(name, scope) is not parent or (isinstance(scope, ast.Module) and source.is_exported(name)):
            return None
        uses = [use for use in source.uses(name, scope) if isinstance(use.ctx, ast.Load)]
    found: list[ast.Call] = []
    for use in uses:
        keyword = source.parents[use]
        user = source.parents[keyword]
        if not isinstance(keyword, ast.keyword) or keyword.arg is not None or not isinstance(user, ast.Call):
            return None
        found.append(user)
    return found or None


def _plan_wrapper(source: Source, call: ast.Call) -> Iterator[Change | Refusal]:
    place = source.span(call)
    handlers = _handlers(call)
    if handlers is None:
        unseen = "this place does not show the list of handlers: write the list instead of the manager"
        only = len(call.args) + len(call.keywords) == 1
        yield Refusal("CB202", place, unseen if only else "the manager is made with more than a list of handlers")
        return
    uses = _uses(source, call)
    if not uses:
        yield Refusal("CB202", place, _why_used(source, call))
        return
    renames = [_plan_keyword(source, user, keyword) for user, keyword in uses if keyword.arg == "callback_manager"]
    refused = next((each for each in renames if isinstance(each, Refusal)), None)
    if refused is not None:
        yield Refusal("CB202", place, f"`callback_manager=` gets it, and stays: {refused.reason}")
        return
    constructors = all(_is_constructor(source, user) for user, _ in uses)
    reasons = [each.reason for each in renames if isinstance(each, Change)] + ["" if constructors else _LOCAL]
    operation = ReplaceExpression(place, "HANDLERS", {"HANDLERS": source.span(handlers)})
    orphan = (call.func.id,) if isinstance(call.func, ast.Name) else ()
    reason = "; ".join(dict.fromkeys(each for each in reasons if each))
    yield Change("CB202", place, "pass the list of handlers", (operation,), reason, orphan)


def _why_used(source: Source, call: ast.Call) -> str:
    """Return why the uses of a manager are not those of a list of handlers."""
    parent = source.parents[call]
    name, scope = variable_of(parent), source.scope(parent)
    if not name:
        return "this place is no argument `callbacks=`, and no variable holds the manager"
    if source.assignment(name, scope) is not parent:
        return source.why_unclear(name, scope)
    if isinstance(scope, ast.Module) and source.is_exported(name):
        return f"other files may use {name}, too"
    uses = [use for use in source.uses(name, scope) if isinstance(use.ctx, ast.Load)]
    if not uses:
        return f"this file does not use {name}: remove it"
    other = next((use for use in uses if not _arguments(source, [use])), uses[0])
    return f"line {other.lineno} uses {name} for more than an argument `callbacks=`"


def _handlers(call: ast.Call) -> ast.List | None:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "handlers")]
    if len(call.args) + len(call.keywords) != 1 or len(arguments) != 1:
        return None
    return arguments[0] if isinstance(arguments[0], ast.List) else None


def _uses(source: Source, call: ast.Call) -> list[tuple[ast.Call, ast.keyword]] | None:
    """Return the calls that get a manager as an argument, or None if it has other uses."""
    parent = source.parents[call]
    name, scope = variable_of(parent), source.scope(parent)
    if not name:
        return _arguments(source, [call])
    if source.assignment(name, scope) is not parent or (isinstance(scope, ast.Module) and source.is_exported(name)):
        return None
    return _arguments(source, [use for use in source.uses(name, scope) if isinstance(use.ctx, ast.Load)])


def _arguments(source: Source, values: Sequence[ast.expr]) -> list[tuple[ast.Call, ast.keyword]] | None:
    found: list[tuple[ast.Call, ast.keyword]] = []
    for value in values:
        keyword = source.parents[value]
        if isinstance(keyword, ast.Dict) and value in keyword.values:
            key = keyword.keys[keyword.values.index(value)]
            users = _users(source, keyword)
            if users is None or not isinstance(key, ast.Constant) or key.value not in ("callbacks", "callback_manager"):
                return None
            found += [(user, ast.keyword("callbacks", value)) for user in users]
            continue
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
