"""Where a handler is attached to calls, and how to detach it.

```
[handler] ─▶ CallbackManager([handler]) ─▶ handlers = … ─▶ callbacks=handlers          of a constructor or a call
                                                        └▶ {"callbacks": handlers} ─▶ config = … ─▶ config=config, or the
                                                                                                    second argument, of a run
```

Each step is optional. A variable on the way must be assigned once, and the file must show all code that reads it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from callbridge.migrate.analysis.langchain_names import MANAGERS, is_langchain
from callbridge.migrate.edits.assignments import is_assignment, targets_of, variable_of
from callbridge.migrate.edits.handler_lists import Growth, grown_by, growth_by, growth_of
from callbridge.migrate.edits.models import is_configuring, receiver
from callbridge.migrate.edits.operations import (
    Operation,
    RemoveArgument,
    RemoveElement,
    RemoveParameter,
    RemoveStatement,
    ReplaceExpression,
)
from callbridge.migrate.edits.parameters import Parameter, parameter_of
from callbridge.migrate.edits.source import Source, Span
from callbridge.migrate.edits.unfit import UnfitError

__all__ = ["Attachment", "Condition", "attachment_of"]

_RUNS = ("abatch", "ainvoke", "astream", "batch", "invoke", "stream")
"""Methods of runnables, whose second parameter is the config."""

_STALE = "a docstring mentions the parameter that the edit removes"

_CONFIGS = ("langchain_core.runnables.RunnableConfig", "langchain_core.runnables.config.RunnableConfig")


class Condition(NamedTuple):
    """The condition on which a handler is attached, and whether it must hold or fail."""

    test: ast.expr
    holds: bool


@dataclass(frozen=True)
class Attachment:
    """A handler among the callbacks of calls.

    Attributes:
        calls: The constructors or methods that get the handler: one, or several if a variable holds the list or config.
        operations: The operations that detach it. If it was the only handler, the argument goes as well.
        shortened: The operation that removes it from its list and keeps the argument.
        places: The arguments, and the entries of configs.
        others: The other handlers there.
        reason: Why detaching needs a review; empty if it is safe.
        names: Names that may be unused afterwards.
        condition: The condition on which it is attached; None if it always is.
    """

    calls: tuple[ast.Call, ...]
    operations: tuple[Operation, ...]
    shortened: Operation
    places: tuple[Span, ...]
    others: tuple[ast.expr, ...] = ()
    reason: str = ""
    names: frozenset[str] = frozenset()
    condition: Condition | None = None

    @property
    def call(self) -> ast.Call:
        """The first of the calls."""
        return self.calls[0]


class _Given(NamedTuple):
    """An argument or config entry that holds a handler: its call, how to remove it, its place, and the variables between."""

    call: ast.Call
    removal: tuple[Operation, ...]
    place: Span
    through: tuple[Parameter, ...] = ()


def attachment_of(source: Source, handler: ast.expr) -> Attachment:
    """Return the attachment of an expression.

    Args:
        source: The file.
        handler: The call that makes a handler, or a variable that holds one.

    Raises:
        UnfitError: It is elsewhere, or the file does not show all of it.
    """
    display = source.parents[handler]
    parameter = parameter_of(source, handler)
    if parameter is not None:
        return _through(source, handler, parameter)
    growth = growth_of(source, handler)
    if growth is not None:
        return _grown(source, handler, growth)
    if (grown := grown_by(source, handler)) is not None:
        raise UnfitError(f"the code adds the handler to {source.code(grown)}, and its value at the call is not clear")
    if not isinstance(display, ast.List):
        raise UnfitError(f"line {handler.lineno} uses the handler for something other than a list of `callbacks`")
    shortened: Operation = RemoveElement(source.span(display), display.elts.index(handler))
    value, condition = _chosen(source, display)
    given = list(_given(source, value))
    calls = tuple(dict.fromkeys(each.call for each in given))
    removal = _distinct(operation for each in given for operation in each.removal)
    whole = len(display.elts) == 1 and bool(removal)
    through = [parameter for each in given for parameter in each.through] if whole else []
    reason = next((_STALE for each in through if _is_described(each)), "")
    names = frozenset(name for each in through for name in _names_in(each))
    if condition is not None and not whole:
        raise UnfitError("a condition chooses between several handlers and none: attach them without it")
    operations = removal if whole else (shortened,)
    places = tuple(each.place for each in given)
    others = tuple(each for each in display.elts if each is not handler)
    return Attachment(calls, operations, shortened, places, others, reason, names, condition)


def _grown(source: Source, handler: ast.expr, growth: Growth) -> Attachment:
    """Return the attachment of a handler that is added to a list in a variable: `callbacks.append(handler)`."""
    uses, removal = _readers(source, growth.display)
    grown = [each for use in uses if (each := growth_by(source, use)) is not None]
    read = [use for use in uses if growth_by(source, use) is None]
    if any(not growth.is_before(source, use) for use in read):
        raise UnfitError(f"the code may read {growth.name.id} before it adds the handler")
    given = [each for use in read for each in _of_value(source, use)]
    whole = not growth.display.elts and len(grown) == 1
    shortened = RemoveStatement(source.span(growth.statement))
    operations = _distinct([shortened, *removal, *(operation for each in given for operation in each.removal)])
    others = [each for other in grown for each in other.added if each is not handler]
    return Attachment(
        tuple(dict.fromkeys(each.call for each in given)),
        operations if whole else (shortened,),
        shortened,
        tuple(each.place for each in given),
        (*growth.display.elts, *others),
        condition=None if growth.test is None else Condition(growth.test, holds=True),
    )


def _distinct(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for each in operations:
        if each not in found:
            found.append(each)
    return tuple(found)


def _through(source: Source, handler: ast.expr, parameter: Parameter) -> Attachment:
    """Return the attachment of a handler that is passed to a function, which attaches it."""
    if len(parameter.reads) != 1:
        raise UnfitError(
            f"{parameter.node.arg} holds the handler, and the function reads it {len(parameter.reads)} times, not once"
        )
    inner = attachment_of(source, parameter.reads[0])
    removal = _without_parameter(source, parameter)
    if inner.condition is not None:
        raise UnfitError("the function that gets the handler attaches it only under a condition")
    places = tuple(source.span(call) for call in parameter.calls)
    reason = inner.reason or (_STALE if _is_described(parameter) else "")
    names = inner.names | _names_in(parameter)
    operations, places = (*inner.operations, *removal), (*inner.places, *places)
    return Attachment(inner.calls, operations, inner.shortened, places, inner.others, reason, names)


def _without_parameter(source: Source, parameter: Parameter) -> tuple[Operation, ...]:
    """Return the operations that remove a parameter from a function, and its arguments from the calls."""
    last = max(each.end_lineno or 0 for each in ast.walk(parameter.function.args) if isinstance(each, ast.arg | ast.expr))
    if any(parameter.function.lineno <= line <= last for line in source.comments):
        raise UnfitError(f"the parameters of {parameter.function.name} have comments: remove {parameter.node.arg} by hand")
    names = [each.arg for each in parameter.function.args.args]
    place = names.index(parameter.node.arg) - (parameter.function.name == "__init__") if parameter.node.arg in names else -1
    found: list[Operation] = [RemoveParameter(source.span(parameter.node))]
    for call in parameter.calls:
        if any(each.arg == parameter.node.arg for each in call.keywords):
            found.append(RemoveArgument(source.span(call), parameter.node.arg))
        elif 0 <= place < len(call.args):
            found.append(RemoveArgument(source.span(call), "", place))
    return tuple(found)


def _is_described(parameter: Parameter) -> bool:
    """Return whether a function's docstring mentions a parameter."""
    return re.search(rf"\b{re.escape(parameter.node.arg)}\b", ast.get_docstring(parameter.function) or "") is not None


def _names_in(parameter: Parameter) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(parameter.node) if isinstance(node, ast.Name))


def _chosen(source: Source, display: ast.List) -> tuple[ast.expr, Condition | None]:
    """Return a list of handlers, or the expression that chooses between it and none, with its condition."""
    parent = source.parents[display]
    if not isinstance(parent, ast.IfExp) or display not in (parent.body, parent.orelse):
        return display, None
    other = parent.orelse if parent.body is display else parent.body
    if ast.unparse(other) not in ("[]", "None"):
        raise UnfitError("a condition chooses between this handler and others")
    return parent, Condition(parent.test, parent.body is display)


def _given(source: Source, value: ast.expr) -> Iterator[_Given]:
    """Return the arguments and entries that a list of handlers ends up in."""
    manager = source.parents[value]
    if isinstance(manager, ast.keyword):
        manager = source.parents[manager] if manager.arg == "handlers" else manager
    if isinstance(manager, ast.Call) and _is_manager(source, manager):
        value = manager
    uses, removal = _readers(source, value)
    grown = [use for use in uses if growth_by(source, use) is not None]
    for use in (use for use in uses if use not in grown):
        for each in _of_value(source, use):
            yield each._replace(removal=() if grown else (*each.removal, *removal))


def _is_manager(source: Source, call: ast.Call) -> bool:
    origin = source.origin(call.func)
    if not is_langchain(origin) or origin.rpartition(".")[2] not in MANAGERS:
        return False
    return len(call.args) + len(call.keywords) == 1


def _readers(source: Source, value: ast.expr) -> tuple[list[ast.expr], tuple[Operation, ...]]:
    """Return where a value is read: its own place, or the reads of its variable, with the operations that remove that."""
    statement = source.parents[value]
    if not is_assignment(statement):
        return [value], ()
    name, scope = variable_of(statement), source.scope(statement)
    if not name or isinstance(scope, ast.ClassDef | ast.Lambda):
        holder = ast.unparse(targets_of(statement)[0])
        raise UnfitError(f"{holder} holds the handler, and `fix` cannot tell what else reads it")
    uses = source.readers(statement)
    if uses is None:
        raise UnfitError(source.why_unclear(name, scope))
    if isinstance(scope, ast.Module) and source.is_exported(name):
        raise UnfitError(f"other files may use {name}, too")
    if not uses:
        raise UnfitError(f"this file does not use {name}")
    return list(uses), (RemoveStatement(source.span(statement)),)


def _of_value(source: Source, value: ast.expr) -> Iterator[_Given]:
    """Return the arguments and entries that hold a list of handlers, or a variable with it."""
    parent = source.parents[value]
    part: Operation
    if _is_default(parent, value):
        yield from _of_value(source, parent)
        return
    parameter = parameter_of(source, value)
    if parameter is not None:
        removal = _without_parameter(source, parameter)
        for read in parameter.reads:
            for each in _of_value(source, read):
                yield each._replace(removal=(*each.removal, *removal), through=(*each.through, parameter))
        return
    if isinstance(parent, ast.keyword) and parent.arg in ("callbacks", "callback_manager"):
        call = source.parents[parent]
        if isinstance(call, ast.Call):
            if source.origin(call.func) in _CONFIGS or (isinstance(call.func, ast.Name) and call.func.id == "dict"):
                part = RemoveArgument(source.span(call), parent.arg)
                yield from _of_config(source, call, part, len(call.keywords) == 1, source.span(parent))
            else:
                yield _Given(
                    call, (_without(source, call, RemoveArgument(source.span(call), parent.arg)),), source.span(parent)
                )
            return
    if isinstance(parent, ast.Dict) and value in parent.values:
        index = parent.values.index(value)
        key = parent.keys[index]
        if isinstance(key, ast.Constant) and key.value == "callbacks":
            part = RemoveElement(source.span(parent), index)
            if len(parent.keys) == 2 and parent.keys[1 - index] is None:  # `{**config, "callbacks": …}`
                part = ReplaceExpression(source.span(parent), "CONFIG", {"CONFIG": source.span(parent.values[1 - index])})
            yield from _of_config(source, parent, part, len(parent.values) == 1, source.span(value))
            return
    raise UnfitError("the file uses the list that holds the handler for more than `callbacks`")


def _is_default(parent: ast.AST, value: ast.expr) -> TypeGuard[ast.BoolOp]:
    """Return whether a value has a default for the case that it is empty: `callbacks or None`."""
    if not isinstance(parent, ast.BoolOp) or not isinstance(parent.op, ast.Or) or parent.values[0] is not value:
        return False
    return all(ast.unparse(each) in ("None", "[]") for each in parent.values[1:])


def _without(source: Source, call: ast.Call, removal: Operation) -> Operation:
    """Return the operation that removes an argument from a call. A `with_config` without arguments goes as well."""
    if is_configuring(call) and len(call.args) + len(call.keywords) == 1:
        return ReplaceExpression(source.span(call), "RUNNABLE", {"RUNNABLE": source.span(receiver(call))})
    return removal


def _of_config(source: Source, config: ast.expr, part: Operation, alone: bool, place: Span) -> Iterator[_Given]:
    """Return the runs that get a config. If it has no other entry, its argument goes as well."""
    uses, removal = _readers(source, config)
    runs = [use for use in uses if not _is_other_entry(source, use)]
    if not runs:
        raise UnfitError("no run gets the config that holds the handler")
    whole = alone and len(runs) == len(uses)
    for use in runs:
        call, argument = _run_of(source, use)
        gone: Iterable[Operation] = (argument, *removal) if whole else (part,)
        yield _Given(call, tuple(gone), place)


def _is_other_entry(source: Source, use: ast.expr) -> bool:
    """Return whether the code reads or writes another entry of a config: `config["configurable"]`."""
    parent = source.parents[use]
    if not isinstance(parent, ast.Subscript) or parent.value is not use or not isinstance(parent.slice, ast.Constant):
        return False
    return parent.slice.value != "callbacks"


def _run_of(source: Source, use: ast.expr) -> tuple[ast.Call, Operation]:
    parent = source.parents[use]
    if isinstance(parent, ast.keyword) and parent.arg == "config":
        call = source.parents[parent]
        if isinstance(call, ast.Call):
            return call, _without(source, call, RemoveArgument(source.span(call), "config"))
    runs = isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) and parent.func.attr in _RUNS
    if isinstance(parent, ast.Call) and runs and parent.args[1:2] == [use] and not isinstance(parent.args[0], ast.Starred):
        return parent, RemoveArgument(source.span(parent), "", 1)
    if isinstance(parent, ast.Call) and is_configuring(parent) and parent.args == [use]:
        return parent, _without(source, parent, RemoveArgument(source.span(parent), "", 0))
    raise UnfitError("the file uses the config that holds the handler for more than the `config` of a run")
