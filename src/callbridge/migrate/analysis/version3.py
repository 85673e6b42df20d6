"""Calls with `version="v3"`: which variables hold their streams, how code reads them, and how it leaves them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callbridge.migrate.analysis.attach_sites import Attachment, Use
from callbridge.migrate.analysis.event_stream_loops import is_own_stream
from callbridge.migrate.analysis.module import Module, called_name, walk

__all__ = ["V3Stream", "contents_taken_for_text", "deaf_uses", "leaves_early", "string_keys", "v3_calls", "v3_streams"]

_STRING_METHODS = frozenset(name for name in dir(str) if not name.startswith("_")) - {"count", "index"}
_OF_A_MODEL = frozenset({"text", "reasoning", "tool_calls"})
_OF_A_GRAPH = frozenset({"messages", "values", "subgraphs", "lifecycle", "interrupted", "interrupts"})
_LIVING_ON_TOKENS = frozenset({"stdout", "aiter", "final", "token"})
_METHODS = frozenset({"stream_events", "astream_events"})
_CLOSING = frozenset({"aclose", "abort", "close"})


@dataclass(frozen=True, eq=False)
class V3Stream:
    """A stream of version 3 in one function.

    Attributes:
        call: The call that makes it.
        name: The variable that holds it; empty if the code reads it where it makes it.
        is_async: Whether `astream_events` makes it.
        awaited: Whether the code awaits the call.
        entered: Whether the code enters it with `with` or `async with`.
        loads: Where the code reads the variable.
    """

    call: ast.Call
    name: str
    is_async: bool
    awaited: bool
    entered: bool
    loads: tuple[ast.Name, ...]

    def attributes(self, module: Module) -> frozenset[str]:
        """Return the names of the attributes that the code reads."""
        nodes: list[ast.expr] = list(self.loads) if self.name else [self.call]
        parents = [module.parents.get(node) for node in nodes]
        return frozenset(parent.attr for parent in parents if isinstance(parent, ast.Attribute))

    def is_closed(self, module: Module) -> bool:
        """Return whether a `with` or a method call ends it."""
        return self.entered or bool(self.attributes(module) & _CLOSING)

    def is_awaited_whole(self, module: Module) -> bool:
        """Return whether the code awaits the stream itself, or passes it to code that may do anything with it."""
        for load in self.loads:
            parent = module.parents.get(load)
            if isinstance(parent, ast.Await | ast.Return | ast.Yield | ast.Call | ast.keyword):
                return True
        return False

    def loops(self, module: Module) -> list[ast.For | ast.AsyncFor]:
        """Return the loops that read it, or something of it."""
        return [each for each in self._readers(module) if isinstance(each, ast.For | ast.AsyncFor)]

    def is_unawaited(self, module: Module) -> bool:
        """Return whether the code reads the coroutine instead of the stream that it returns."""
        if not self.is_async or self.awaited:
            return False
        return any(isinstance(each, ast.AsyncFor) or getattr(each, "is_async", 0) for each in self._readers(module))

    def is_left_open(self, module: Module) -> bool:
        """Return whether a loop may exit early, and nothing closes the stream."""
        if self.is_closed(module) or self.is_awaited_whole(module):
            return False
        loops = self.loops(module)
        return self.awaited and bool(loops) if self.is_async else any(map(leaves_early, loops))

    def is_end_unheard(self, module: Module) -> bool:
        """Return whether a model made it, handlers hear it, and nothing waits until they have heard its end."""
        if not (self.is_async and self.awaited and self.name) or self.is_closed(module) or self.is_awaited_whole(module):
            return False
        read = self.attributes(module)
        hears = len(self.call.args) > 1 or any(each.arg == "config" for each in self.call.keywords)
        return hears and bool(read & _OF_A_MODEL) and not read & _OF_A_GRAPH

    def _readers(self, module: Module) -> list[ast.For | ast.AsyncFor | ast.comprehension]:
        nodes: list[ast.AST] = list(self.loads) if self.name else [self.call]
        found: list[ast.For | ast.AsyncFor | ast.comprehension] = []
        for node in nodes:
            while isinstance(module.parents.get(node), ast.Attribute | ast.Await):
                node = module.parents[node]
            parent = module.parents.get(node)
            if isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension) and parent.iter is node:
                found.append(parent)
        return found


def v3_calls(module: Module) -> Iterator[ast.Call]:
    """Yield the calls of a runnable's `stream_events` or `astream_events` with `version="v3"`."""
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


def deaf_uses(attachments: Iterable[Attachment], module: Module) -> Iterator[tuple[ast.AST, Use]]:
    """Yield the handlers of v3 calls that need tokens and do not read version 3 themselves, each with its place."""
    calls = set(v3_calls(module))
    for attachment in attachments:
        for use in attachment.handlers if attachment.call in calls else ():
            reads = use.known is not None and "on_stream_event" in use.known.hooks
            if use.role in _LIVING_ON_TOKENS and not reads:
                yield use.node if use.node in module.parents else attachment.place, use


def contents_taken_for_text(module: Module) -> Iterator[ast.Attribute]:
    """Yield where the code uses the `.content` of a v3 stream's message as a string."""
    for scope, names, calls in _derived(module):
        for node in walk(scope):
            if not isinstance(node, ast.Attribute) or node.attr != "content" or _root(node) not in names | calls:
                continue
            if _is_taken_for_a_string(node, module):
                yield node


def string_keys(node: ast.AST, module: Module, depth: int = 4) -> list[list[str]]:
    """Return the keys that lead from a stream's value to an expression, innermost first, for each possible way."""
    found: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Await | ast.Call):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            found.insert(0, node.slice.value)
        elif isinstance(node, ast.Attribute) and node.attr == "messages":
            found.insert(0, "messages")
        node = node.func if isinstance(node, ast.Call) else node.value
    if not isinstance(node, ast.Name) or not depth:
        return [found]
    sources: list[ast.AST] = []
    for each in walk(module.function_of(node) or module.tree):
        if isinstance(each, ast.Assign) and any(isinstance(one, ast.Name) and one.id == node.id for one in each.targets):
            sources.append(each.value)
        elif isinstance(each, ast.For | ast.AsyncFor) and isinstance(each.target, ast.Name) and each.target.id == node.id:
            sources.append(each.iter)
    ways = [way for source in sources if source is not node for way in string_keys(source, module, depth - 1)]
    return [[*way, *found] for way in ways] or [found]


def _derived(module: Module) -> Iterator[tuple[ast.AST, frozenset[str], frozenset[ast.AST]]]:
    """Yield the scopes with v3 streams, and in each the names and calls whose values come from one."""
    scopes: dict[ast.AST, tuple[set[str], set[ast.AST]]] = {}
    for stream in v3_streams(module):
        names, calls = scopes.setdefault(module.function_of(stream.call) or module.tree, (set(), set()))
        calls.add(stream.call)
        names.update({stream.name} - {""})
    for scope, (names, calls) in scopes.items():
        for _ in range(3):
            for node in walk(scope):
                if isinstance(node, ast.Assign) and _root(node.value) in names | calls:
                    names.update(target.id for target in node.targets if isinstance(target, ast.Name))
                elif isinstance(node, ast.For | ast.AsyncFor) and _root(node.iter) in names | calls and _is_messages(node.iter):
                    names.update({node.target.id} if isinstance(node.target, ast.Name) else set())
        yield scope, frozenset(names), frozenset(calls)


def _is_messages(iterated: ast.expr) -> bool:
    """Return whether a loop goes over messages; a loop over text goes over strings."""
    return isinstance(iterated, ast.Subscript) or (isinstance(iterated, ast.Attribute) and iterated.attr == "messages")


def _root(node: ast.AST) -> str | ast.AST:
    """Return the name or call at the start of a chain of attributes, subscripts and awaits."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Await):
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "output":
        return _root(node.func)
    return node.id if isinstance(node, ast.Name) else node


def _is_taken_for_a_string(node: ast.Attribute, module: Module) -> bool:
    parent = module.parents.get(node)
    if isinstance(parent, ast.Attribute):
        return parent.attr in _STRING_METHODS
    if isinstance(parent, ast.BinOp):
        other = parent.right if parent.left is node else parent.left
        return isinstance(other, ast.JoinedStr) or (isinstance(other, ast.Constant) and isinstance(other.value, str))
    return isinstance(parent, ast.AugAssign) and parent.value is node
