"""CB708: the content of a v3 message taken for a string."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.module import Module, walk
from callbridge.migrate.analysis.version3 import v3_streams
from callbridge.migrate.finding import Finding
from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

_STRING_METHODS = frozenset(name for name in dir(str) if not name.startswith("_")) - {"count", "index"}


def _check(context: Context) -> Iterator[Finding]:
    module = context.module
    for scope, names, calls in _derived(module):
        for node in walk(scope):
            if not isinstance(node, ast.Attribute) or node.attr != "content" or _root(node) not in names | calls:
                continue
            if _is_taken_for_a_string(node, module):
                message = "the content of a message of version 3 is a list of blocks, not a string"
                yield context.finding("CB708", node, message, "manual", "error", "take .text in place of .content")


def _derived(module: Module) -> Iterator[tuple[ast.AST, frozenset[str], frozenset[ast.AST]]]:
    """Yield the scopes with v3 streams, and in each the names and calls whose values come of one."""
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
    """Return whether a loop goes over messages: over text it would go over strings."""
    return isinstance(iterated, ast.Subscript) or (isinstance(iterated, ast.Attribute) and iterated.attr == "messages")


def _root(node: ast.AST) -> str | ast.AST:
    """Return the name, or the call, at which a chain of attributes, subscripts and awaits begins."""
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


RULE = Rule(
    code="CB708",
    name="content-is-list",
    severity="error",
    fix="manual",
    summary="`.content` of a v3 message, or of a v3 graph's state, used as a string",
    why="Version 3 makes the content of every message a list of blocks: `.content.strip()` raises AttributeError.",
    before='answer = model.stream_events(x, version="v3").output.content.strip()',
    after='answer = model.stream_events(x, version="v3").output.text.strip()',
    when_not="If the message is not the model's: what the graph's own code has written keeps its string.",
    check=_check,
)
