"""Parameters of a file's own functions and classes: their arguments, and where the code reads them.

```
def build(model):                    class Bot:
    return prompt | model                def __init__(self, model):
                                             self.model = model
chain = build(ChatOpenAI())          bot = Bot(ChatOpenAI())
```

This needs the file to show all calls, and all must pass the same: a function that gets several models has none of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import NamedTuple

from callbridge.migrate.edits.source import Function, Source

__all__ = ["Parameter", "argument_of", "copying_function", "function_named", "parameter_of"]


_CACHES = ("functools.cache", "functools.lru_cache", "streamlit.cache_resource")
"""Decorators of cached functions."""

_COPIES = ("streamlit.cache_data", "streamlit.experimental_memo")
"""Decorators of functions that return a copy of an earlier result."""


class Parameter(NamedTuple):
    """A parameter of a function that only its own file calls, each time with the same argument.

    Attributes:
        function: The function, or the `__init__` of a class.
        node: The parameter.
        default: Its default, or None.
        calls: All calls of the function, or of the class.
        reads: Where the function reads it.
    """

    function: Function
    node: ast.arg
    default: ast.expr | None
    calls: tuple[ast.Call, ...]
    reads: tuple[ast.Name, ...]


def function_named(source: Source, name: str) -> ast.FunctionDef | None:
    """Return the module-level function with a name: not a generator, defined once, with no decorator but a cache."""
    found = _defined(source, name, _CACHES)
    return found if isinstance(found, ast.FunctionDef) and not _yields(found) else None


def copying_function(source: Source, name: str) -> ast.FunctionDef | None:
    """Return the function at module level that a name means there, if each call returns a copy of one result."""
    found = _defined(source, name, _COPIES)
    return found if isinstance(found, ast.FunctionDef) and found.decorator_list and not _yields(found) else None


def parameter_of(source: Source, value: ast.expr) -> Parameter | None:
    """Return the parameter for an argument of a call, or None if the file does not show it or all of its calls.

    Args:
        source: The file.
        value: The argument.
    """
    parent = source.parents[value]
    call = source.parents[parent] if isinstance(parent, ast.keyword) else parent
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func is value:
        return None
    function = _called(source, call.func.id)
    if function is None:
        return None
    names = _names(function)
    found = next((each for each in names if _given(call, names, each) is value), None)
    return None if found is None else _parameter(source, function, call.func.id, found)


def argument_of(source: Source, name: ast.Name) -> ast.expr | None:
    """Return the argument for a name that is a parameter, if the file shows all calls and all pass the same."""
    home = source.scopes.home(name)
    if not isinstance(home, Function):
        return None
    holder = source.parents[home]
    called = holder.name if isinstance(holder, ast.ClassDef) and home.name == "__init__" else home.name
    if _called(source, called) is not home:
        return None
    names = _names(home)
    node = next((each for each in names if each.arg == name.id), None)
    found = None if node is None else _parameter(source, home, called, node)
    if node is None or found is None:
        return None
    return _given(found.calls[0], names, node) or found.default


def _parameter(source: Source, function: Function, name: str, node: ast.arg) -> Parameter | None:
    uses = [use for use in source.uses(name) if isinstance(use.ctx, ast.Load)]
    calls = [call for use in uses if isinstance(call := source.parents[use], ast.Call) and call.func is use]
    reads = source.uses(node.arg, function)
    stored = any(not isinstance(use.ctx, ast.Load) for use in reads)
    if not calls or len(calls) < len(uses) or stored or source.is_exported(name):
        return None
    names = _names(function)
    given = [_given(call, names, node) for call in calls]
    if any(_has_stars(call) for call in calls) or not _are_same(source, given):
        return None
    return Parameter(function, node, _default(function, node), tuple(calls), tuple(reads))


def _are_same(source: Source, given: list[ast.expr | None]) -> bool:
    """Return whether all calls pass the same: there is one call, or all pass one variable."""
    if len(given) == 1:
        return True
    names = [each for each in given if isinstance(each, ast.Name)]
    if len(names) < len(given) or len({each.id for each in names}) > 1:
        return False
    values = [source.value(each) for each in names]
    return values[0] is not None and all(each is values[0] for each in values)


def _defined(source: Source, name: str, decorators: Collection[str] = ()) -> Function | ast.ClassDef | None:
    """Return the module-level function or class with a name: bound once, with no other decorators than these."""
    found = [each for each in source.tree.body if isinstance(each, Function | ast.ClassDef) and each.name == name]
    stored = [use for use in source.uses(name) if not isinstance(use.ctx, ast.Load)] if found else []
    if len(found) != 1 or stored:
        return None
    around = [each.func if isinstance(each, ast.Call) else each for each in found[0].decorator_list]
    return found[0] if all(source.origin(each) in decorators for each in around) else None


def _called(source: Source, name: str) -> Function | None:
    """Return the function that a call of a name runs: itself, or the `__init__` of a class."""
    found = _defined(source, name)
    if not isinstance(found, ast.ClassDef):
        return found
    methods = [each for each in found.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return methods[0] if len(methods) == 1 and not methods[0].decorator_list else None


def _names(function: Function) -> list[ast.arg]:
    """Return the parameters that a call can pass by name, except `self`."""
    arguments = function.args
    plain = arguments.args[1:] if function.name == "__init__" else arguments.args
    return [*plain, *arguments.kwonlyargs] if not arguments.posonlyargs else []


def _given(call: ast.Call, names: list[ast.arg], node: ast.arg) -> ast.expr | None:
    """Return the argument of a call for a parameter."""
    by_name = next((each.value for each in call.keywords if each.arg == node.arg), None)
    place = names.index(node)
    return by_name or (call.args[place] if place < len(call.args) else None)


def _has_stars(call: ast.Call) -> bool:
    return any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)


def _default(function: Function, node: ast.arg) -> ast.expr | None:
    arguments = function.args
    if node in arguments.kwonlyargs:
        return arguments.kw_defaults[arguments.kwonlyargs.index(node)]
    place = arguments.args.index(node) - len(arguments.args) + len(arguments.defaults)
    return arguments.defaults[place] if place >= 0 else None


def _yields(function: Function) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))
