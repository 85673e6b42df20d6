"""Methods with which code outside a handler asks for what the handler keeps: they return an expression of its attributes.

```
class Show(BaseCallbackHandler):
    ...
    def answer(self):
        return "".join(self.pieces).strip()

handler.answer()                                      →   "".join(pieces).strip()
```
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callbridge.migrate.analysis.handlers import HandlerClass, own_attribute

__all__ = ["Answer", "answers_of", "reads_only_attributes"]

_PLAIN = (ast.Attribute, ast.Call, ast.Constant, ast.Dict, ast.List, ast.Name, ast.Subscript, ast.Tuple)
"""Expressions that need no parentheses in another one."""


@dataclass(frozen=True)
class Answer:
    """What a method returns.

    Attributes:
        value: The expression.
        text: Its source.
        is_property: Whether code asks without a call.
    """

    value: ast.expr
    text: str
    is_property: bool

    @property
    def reads(self) -> list[str]:
        """The attributes of the handler that it reads."""
        return [node.attr for node in self._own]

    @property
    def names(self) -> list[str]:
        """The other names that it reads."""
        return sorted({node.id for node in ast.walk(self.value) if isinstance(node, ast.Name)} - {"self"})

    @property
    def _own(self) -> list[ast.Attribute]:
        return [node for node in ast.walk(self.value) if isinstance(node, ast.Attribute) and own_attribute(node)]

    def code(self, renames: Mapping[str, str], *, alone: bool) -> str:
        """Return its source with other names for the attributes.

        Args:
            renames: The new names, by `self.` and the old one.
            alone: Whether it is a whole statement's value, or an argument, and so needs no parentheses.
        """
        line = self.text.encode()
        for node in sorted(self._own, key=lambda each: each.col_offset, reverse=True):
            start, end = (each - self.value.col_offset for each in (node.col_offset, node.end_col_offset or 0))
            line = line[:start] + renames[f"self.{node.attr}"].encode() + line[end:]
        return line.decode() if alone or isinstance(self.value, _PLAIN) else f"({line.decode()})"


def answers_of(handler: HandlerClass) -> dict[str, Answer]:
    """Return the methods of a class that only return an expression of its attributes, on one line, by name."""
    found: dict[str, Answer] = {}
    for method in handler.node.body:
        if not isinstance(method, ast.FunctionDef) or len(ast.unparse(method.args).split(",")) != 1:
            continue
        decorators = [ast.unparse(each) for each in method.decorator_list]
        body = [each for each in method.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
        value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return) else None
        if value is not None and value.lineno == value.end_lineno and decorators in ([], ["property"]) and _is_simple(value):
            line = handler.module.lines[value.lineno - 1].encode()
            text = line[value.col_offset : value.end_col_offset].decode()
            found[method.name] = Answer(value, text, bool(decorators))
    return found


def reads_only_attributes(nodes: Sequence[ast.AST]) -> bool:
    """Return whether code of a handler uses the handler itself only to read or write its attributes."""
    selves = sum(1 for node in nodes if isinstance(node, ast.Name) and node.id == "self")
    return selves == sum(1 for node in nodes if own_attribute(node))


def _is_simple(value: ast.expr) -> bool:
    """Return whether an expression reads attributes of the handler, not the handler itself, and binds no names."""
    nodes = list(ast.walk(value))
    binding = (ast.Lambda, ast.NamedExpr, ast.comprehension, ast.Await, ast.Yield, ast.YieldFrom, ast.JoinedStr)
    return (
        reads_only_attributes(nodes) and any(map(own_attribute, nodes)) and not any(isinstance(node, binding) for node in nodes)
    )
