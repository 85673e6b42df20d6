"""Calls of `version="v3"`: where their streams are held, how they are read, and how they are left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.events import is_own_stream
from callbridge.migrate.analysis.module import Module, called_name, walk

__all__ = ["V3Stream", "leaves_early", "v3_calls", "v3_streams"]

_METHODS = frozenset({"stream_events", "astream_events"})
_CLOSING = frozenset({"aclose", "abort", "close"})


@dataclass(frozen=True, eq=False)
class V3Stream:
    """A stream of version 3 in one function.

    Attributes:
        call: What makes it.
        name: The variable that holds it; empty if it is read where it is made.
        is_async: Whether it is made by `astream_events`.
        awaited: Whether the call is awaited.
        entered: Whether it is entered by `with` or `async with`.
        loads: Where the variable is read.
    """

    call: ast.Call
    name: str
    is_async: bool
    awaited: bool
    entered: bool
    loads: tuple[ast.Name, ...]

    def attributes(self, module: Module) -> frozenset[str]:
        """Return the names of what is read of it."""
        nodes: list[ast.expr] = list(self.loads) if self.name else [self.call]
        parents = [module.parents.get(node) for node in nodes]
        return frozenset(parent.attr for parent in parents if isinstance(parent, ast.Attribute))

    def is_closed(self, module: Module) -> bool:
        """Return whether something ends it: `with`, or a method that does."""
        return self.entered or bool(self.attributes(module) & _CLOSING)

    def is_awaited_whole(self, module: Module) -> bool:
        """Return whether the stream itself is awaited, or handed on to code that may do anything with it."""
        for load in self.loads:
            parent = module.parents.get(load)
            if isinstance(parent, ast.Await | ast.Return | ast.Yield | ast.Call | ast.keyword):
                return True
        return False

    def loops(self, module: Module) -> list[ast.For | ast.AsyncFor]:
        """Return the loops that read it, or something of it."""
        nodes: list[ast.AST] = list(self.loads) if self.name else [self.call]
        found: list[ast.For | ast.AsyncFor] = []
        for node in nodes:
            while isinstance(module.parents.get(node), ast.Attribute | ast.Await):
                node = module.parents[node]
            parent = module.parents.get(node)
            if isinstance(parent, ast.For | ast.AsyncFor) and parent.iter is node:
                found.append(parent)
        return found


def v3_calls(module: Module) -> Iterator[ast.Call]:
    """Yield the calls of a runnable's `stream_events` or `astream_events` that say `version="v3"`."""
    for call in module.of(ast.Call):
        if not isinstance(call.func, ast.Attribute) or called_name(call) not in _METHODS or is_own_stream(call, module):
            continue
        version = next((each.value for each in call.keywords if each.arg == "version"), None)
        if isinstance(version, ast.Constant) and version.value == "v3":
            yield call


def v3_streams(module: Module) -> Iterator[V3Stream]:
    """Yield the streams that these calls make."""
    for call in v3_calls(module):
        node: ast.AST = call
        awaited = isinstance(module.parents.get(node), ast.Await)
        if awaited:
            node = module.parents[node]
        parent = module.parents.get(node)
        name, entered = "", isinstance(parent, ast.withitem)
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
            name = parent.targets[0].id
        elif isinstance(parent, ast.withitem) and isinstance(parent.optional_vars, ast.Name):
            name = parent.optional_vars.id
        loads = _loads(name, call, module) if name else ()
        entered = entered or any(isinstance(module.parents.get(load), ast.withitem) for load in loads)
        yield V3Stream(call, name, called_name(call) == "astream_events", awaited, entered, loads)


def _loads(name: str, call: ast.Call, module: Module) -> tuple[ast.Name, ...]:
    scope = module.function_of(call) or module.tree
    return tuple(
        node for node in walk(scope) if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    )


def leaves_early(loop: ast.For | ast.AsyncFor) -> bool:
    """Return whether a loop has a `break` of its own, or a `return`."""
    stack: list[tuple[ast.AST, bool]] = [(statement, False) for statement in loop.body]
    while stack:
        node, nested = stack.pop()
        if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not nested):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.expr):
            continue
        inner = nested or isinstance(node, ast.For | ast.AsyncFor | ast.While)
        stack.extend((child, inner) for child in ast.iter_child_nodes(node))
    return False
