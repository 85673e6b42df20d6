"""One parsed file: its nodes by type, their parents, and the meaning of names. Never recurses, so deep nesting is safe."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from callbridge.migrate.words import words

__all__ = [
    "Function",
    "Module",
    "Scope",
    "UnparsableError",
    "called_name",
    "dotted_text",
    "is_relevant",
    "level_order",
    "parse",
    "walk",
]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
Node = TypeVar("Node", bound=ast.AST)

_SCOPES = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_INDEXED = frozenset(
    {
        ast.AnnAssign,
        ast.Assign,
        ast.AsyncFor,
        ast.AsyncFunctionDef,
        ast.AsyncWith,
        ast.AugAssign,
        ast.Call,
        ast.ClassDef,
        ast.Compare,
        ast.Dict,
        ast.For,
        ast.FunctionDef,
        ast.Import,
        ast.ImportFrom,
        ast.Lambda,
        ast.Module,
        ast.Name,
        ast.NamedExpr,
        ast.Raise,
        ast.With,
    }
)
_NO_NODES = words(
    "arg asname attr conversion ctx id is_async kind kwd_attrs level module n name op ops rest s simple tag type_comment "
    "type_ignores"
)
_FIELDS: MappingProxyType[type, tuple[str, ...]] = MappingProxyType(
    {
        kind: tuple(field for field in kind._fields if field not in _NO_NODES)
        for kind in vars(ast).values()
        if isinstance(kind, type) and issubclass(kind, ast.AST)
    }
    | dict.fromkeys((ast.Constant, ast.Global, ast.MatchSingleton, ast.Nonlocal), ())
)
"""The fields of each node type that hold other nodes, without operators and contexts: trees share those objects."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_RELEVANT = re.compile(
    r"[cC]allback|on_llm_|on_chat_model|on_chain_|on_tool_|on_agent_|on_retriever_|astream_events|astream_log|stream_events"
    r"|with_retry|Handler|\.tracers"
)
_DEPTH = 40


class UnparsableError(Exception):
    """A text that this interpreter cannot parse, or a file that is not text.

    Attributes:
        problem: The reason in one line, from the parser or the system.
        line: The line, from 1.
        column: The column, from 0.
    """

    def __init__(self, problem: str, line: int = 1, column: int = 0) -> None:
        super().__init__(problem, line, column)
        self.problem = problem
        self.line = line
        self.column = column


def is_relevant(text: str) -> bool:
    """Return whether a rule can match anything in a text. A cheap test: the scan only parses a text that fails it."""
    return _RELEVANT.search(text) is not None


def parse(text: str) -> ast.Module:
    """Parse a text.

    Raises:
        UnparsableError: For syntax errors, null bytes, and nesting that the parser cannot follow.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a scan does not report invalid escapes and the like
            return ast.parse(text)
    except SyntaxError as error:
        raise UnparsableError(f"{error.msg}", max(error.lineno or 1, 1), max((error.offset or 1) - 1, 0)) from error
    except (RecursionError, MemoryError) as error:
        raise UnparsableError("nested more deeply than the parser can follow") from error
    except (ValueError, OverflowError) as error:  # null bytes; lone surrogates; numbers of absurd length
        raise UnparsableError(str(error) or type(error).__name__) from error


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and everything below it, in the order of the fields, which mostly is the order of the source."""
    stack: list[Any] = [node]
    while stack:
        current = stack.pop()
        yield current
        below: list[ast.AST] = []
        for field in _FIELDS[current.__class__]:
            value: Any = getattr(current, field, None)
            if value.__class__ is list:
                below += [item for item in value if item.__class__ in _FIELDS]
            elif value is not None:
                below.append(value)
        stack += reversed(below)


def level_order(node: ast.AST) -> list[ast.AST]:
    """Return a node and everything below it, like `ast.walk` but several times as fast, without operators and contexts."""
    found: list[Any] = [node]
    for current in found:  # the list grows during the loop
        for field in _FIELDS[current.__class__]:
            value: Any = getattr(current, field, None)
            if value.__class__ is list:
                found += [item for item in value if item.__class__ in _FIELDS]
            elif value.__class__ in _FIELDS:
                found.append(value)
    return found


def dotted_text(node: ast.AST) -> str:
    """Return `a.b.c` for names and attributes. Calls and subscripts on the way become `()` and `[]`, other nodes `?`."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(f".{node.attr}")
            node = node.value
        elif isinstance(node, ast.Call):
            parts.append("()")
            node = node.func
        elif isinstance(node, ast.Subscript):
            parts.append("[]")
            node = node.value
        else:
            parts.append(node.id if isinstance(node, ast.Name) else "?")
            return "".join(reversed(parts))


def called_name(call: ast.Call) -> str:
    """Return the last name of the callee: `run` for `a.b.run(...)`; empty if the callee has no name."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


class Module:
    """A parsed file.

    Args:
        text: The source.
        path: Its path, for the label and for relative imports.
        name: Its dotted name in the project.
        tree: The parsed text.

    Attributes:
        imports: Local names to the dotted names that they import, for all scopes.
        parents: Each node to its parent.
        scopes: Each indexed node to its scope.
    """

    def __init__(self, text: str, path: str, name: str, tree: ast.Module) -> None:
        self.text = text
        self.path = path
        self.name = name
        self.tree = tree
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self._nodes: dict[type[ast.AST], list[ast.AST]] = {kind: [] for kind in _INDEXED}
        self._index()
        self.imports = self._imported()
        self._bindings: dict[Scope, dict[str, list[ast.expr | None]]] = {}
        self.attributes: dict[tuple[ast.ClassDef, str], list[ast.expr]] = {}
        self._resolved: dict[tuple[str, Scope], str | None] = {}
        self._bind()

    def of(self, kind: type[Node]) -> list[Node]:
        """Return all nodes of one indexed type, in the order of the source."""
        found = self._nodes[kind]
        if kind in self._unsorted:
            self._unsorted.discard(kind)
            found.sort(key=_place)
        return found  # type: ignore[return-value]  # filled by type

    @cached_property
    def functions(self) -> list[Function]:
        """All functions and methods."""
        return [*self.of(ast.FunctionDef), *self.of(ast.AsyncFunctionDef)]

    @cached_property
    def packages(self) -> frozenset[str]:
        """The top-level packages that the file imports."""
        return frozenset(dotted.partition(".")[0] for dotted in self.imports.values())

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends, split as Python splits source."""
        return _LINE_END.split(self.text)

    # -- place ----------------------------------------------------------------------------------------------------------

    def column(self, line: int, offset: int) -> int:
        """Turn an offset in UTF-8 bytes into one in characters."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return offset if text.isascii() else len(text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "replace"))

    def span(self, node: ast.AST) -> tuple[int, int, int, int]:
        """Return line, column, end line and end column; for a definition those of its header, for a module the first line."""
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            line, start = node.lineno, self.column(node.lineno, node.col_offset)
            last = max(line, min(node.body[0].lineno - 1, line + 20))
            if node.body[0].lineno == line:
                last = line
            header = self.lines[line - 1 : last]
            while len(header) > 1 and not header[-1].split("#")[0].rstrip().endswith(":"):
                header.pop()
            return line, start, line + len(header) - 1, len(header[-1].rstrip())
        line = getattr(node, "lineno", 1)
        end_line = getattr(node, "end_lineno", None) or line
        end = getattr(node, "end_col_offset", None) or 0
        return line, self.column(line, getattr(node, "col_offset", 0)), end_line, self.column(end_line, end)

    def snippet(self, span: tuple[int, int, int, int]) -> str:
        """Return the source of a span."""
        line, column, end_line, end_column = span
        lines = self.lines[line - 1 : end_line]
        if not lines:
            return ""
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        return "\n".join(lines)

    def qualname(self, node: ast.AST) -> str:
        """Return the enclosing definitions joined by dots, a definition's own name included."""
        parts = []
        current: ast.AST | None = node
        while current is not None:
            if isinstance(current, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                parts.append(current.name)
            current = self.parents.get(current)
        return ".".join(reversed(parts)) or "<module>"

    def enclosing(self, node: ast.AST, kind: type[Node] | tuple[type[Node], ...]) -> Node | None:
        """Return the nearest enclosing node of a kind."""
        current = self.parents.get(node)
        while current is not None and not isinstance(current, kind):
            current = self.parents.get(current)
        return current

    def function_of(self, node: ast.AST) -> Function | None:
        """Return the innermost function around a node, ignoring lambdas."""
        found = self.enclosing(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return found if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) else None

    def scope_of(self, node: ast.AST) -> Scope:
        """Return the scope of a node."""
        if node in self.scopes:
            return self.scopes[node]
        found = self.enclosing(node, _SCOPES)
        return found if isinstance(found, _SCOPES) else self.tree

    # -- names ----------------------------------------------------------------------------------------------------------

    def binding(self, name: str, scope: Scope) -> tuple[Scope, list[ast.expr | None]] | None:
        """Return the scope that binds a name, as seen from a scope, and the values; None stands for an unknown value.

        A function's parameters are bound to `[None]`. As in Python, only a class body itself sees its names.
        """
        first = True
        current: Scope = scope
        while True:
            if first or not isinstance(current, ast.ClassDef):
                values = self._bindings.get(current, {}).get(name)
                if values is not None:
                    return current, values
            if current is self.tree:
                return None
            first = False
            current = self.scopes.get(current, self.tree)

    def is_parameter(self, name: str, scope: Scope) -> bool:
        """Return whether a name, as seen from a scope, is a parameter that is not assigned again."""
        found = self.binding(name, scope)
        return found is not None and found[1] == [None] and name in _parameters(found[0])

    def definition(self, name: str, scope: Scope) -> ast.ClassDef | Function | None:
        """Return the class or function of the file that a name means, as seen from a scope."""
        current: Scope = scope
        while True:
            found = self._definitions.get((current, name))
            if found is not None or current is self.tree:
                return found
            current = self.scopes.get(current, self.tree)

    @cached_property
    def _definitions(self) -> dict[tuple[Scope, str], ast.ClassDef | Function]:
        nodes: list[ast.ClassDef | Function] = [*self.of(ast.ClassDef), *self.functions]
        return {(self.scopes[node], node.name): node for node in nodes}

    def resolve(self, node: ast.AST, scope: Scope | None = None, depth: int = 0) -> str | None:
        """Return the dotted name that an expression means, through imports and aliases; None if it means none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or depth > _DEPTH:
            return None
        key = (node.id, scope or self.scope_of(node))
        if key not in self._resolved:
            self._resolved[key] = None  # stops at names that are bound to each other
            self._resolved[key] = self._resolve(*key, depth)
        base = self._resolved[key]
        return ".".join([base, *reversed(parts)]) if base else None

    def _resolve(self, name: str, scope: Scope, depth: int) -> str | None:
        found = self.binding(name, scope)
        if found is not None and not (found[0] is self.tree and name in self.imports):
            values = [value for value in found[1] if isinstance(value, ast.Name | ast.Attribute)]
            if not values or (isinstance(values[-1], ast.Name) and values[-1].id == name):
                return None
            return self.resolve(values[-1], found[0], depth + 1)
        definition = self.definition(name, scope)
        if definition is not None:
            return f"{self.name}.{self.qualname(definition)}"
        return self.imports.get(name)

    @cached_property
    def calls(self) -> list[tuple[ast.Call, str]]:
        """All calls of something with a dotted name, each with that name."""
        named = ((call, self.resolve(call.func)) for call in self.of(ast.Call))
        return [(call, dotted) for call, dotted in named if dotted is not None]

    # -- building -------------------------------------------------------------------------------------------------------

    def _index(self) -> None:
        """Visit each node once, scope by scope. The inner loop runs for every node of every file, so it is tuned for speed."""
        nodes, parents, scopes, fields = self._nodes, self.parents, self.scopes, dict(_FIELDS)
        nodes[ast.Module].append(self.tree)
        scopes[self.tree] = self.tree
        inner: list[Any] = [self.tree]
        while inner:
            scope = inner.pop()
            stack: list[Any] = [scope]
            while stack:
                node = stack.pop()
                for field in fields[node.__class__]:
                    value: Any = getattr(node, field, None)
                    for item in value if value.__class__ is list else (value,):
                        kind = item.__class__
                        below = fields.get(kind)
                        if below is None:  # nothing, or a string
                            continue
                        parents[item] = node
                        if kind in nodes:
                            nodes[kind].append(item)
                            scopes[item] = scope
                            if kind in _SCOPES:
                                inner.append(item)
                                continue
                        if below:
                            stack.append(item)
        self._unsorted = set(nodes) - {ast.Module}

    def _imported(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self.of(ast.Import):
            for alias in each.names:
                found.setdefault(*((alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2))
        for node in self.of(ast.ImportFrom):
            base = self.absolute(node)
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, f"{base}.{alias.name}" if base else alias.name)
        return found

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the module that an import names. The file's own name resolves relative imports."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        up = node.level - 1 if self.path.endswith("__init__.py") else node.level
        base = parts[: max(len(parts) - up, 0)]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _bind(self) -> None:
        for function in [*self.functions, *self.of(ast.Lambda)]:
            self._bindings[function] = {name: [None] for name in _parameters(function)}
        for each in self.of(ast.Assign):
            for target in each.targets:
                self._bind_target(target, each.value, self.scopes[each])
        for annotated in self.of(ast.AnnAssign):
            if annotated.value is not None:
                self._bind_target(annotated.target, annotated.value, self.scopes[annotated])
        for named in self.of(ast.NamedExpr):
            self._bind_target(named.target, named.value, self.scopes[named])
        loops: list[ast.For | ast.AsyncFor] = [*self.of(ast.For), *self.of(ast.AsyncFor)]
        for loop in loops:
            self._bind_target(loop.target, None, self.scopes[loop])
        blocks: list[ast.With | ast.AsyncWith] = [*self.of(ast.With), *self.of(ast.AsyncWith)]
        for block in blocks:
            for item in block.items:
                if item.optional_vars is not None:
                    self._bind_target(item.optional_vars, item.context_expr, self.scopes[block])

    def _bind_target(self, target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            values = self._bindings.setdefault(scope, {}).setdefault(target.id, [])
            values.append(value)
        elif isinstance(target, ast.Tuple | ast.List):
            same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            values = list(value.elts) if same and isinstance(value, ast.Tuple | ast.List) else [None] * len(target.elts)
            for each, part in zip(target.elts, values, strict=True):
                self._bind_target(each, part, scope)
        elif isinstance(target, ast.Attribute) and value is not None and dotted_text(target.value) in ("self", "cls"):
            holder = self.enclosing(target, ast.ClassDef)
            if holder is not None:
                self.attributes.setdefault((holder, target.attr), []).append(value)


def _place(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]  # only nodes with a place are sorted


def _parameters(scope: Scope) -> list[str]:
    if isinstance(scope, ast.Module | ast.ClassDef):
        return []
    given = scope.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [each.arg for each in [*named, *(extra for extra in (given.vararg, given.kwarg) if extra)]]
