"""A parsed file for the planners: the places of nodes, the meaning of names, and their uses."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeAlias

from callbridge.migrate.analysis.handlers import HandlerClass, find_handler
from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.analysis.module import Module, level_order
from callbridge.migrate.analysis.project import Project, module_name
from callbridge.migrate.edits.assignments import Assignment, binds, is_assignment, targets_of, value_of, variable_of
from callbridge.migrate.edits.reaching_definitions import Reached, plain_stores, reached
from callbridge.migrate.edits.scopes import Scopes

__all__ = ["Function", "Source", "Span", "keyword_of"]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_LOST = re.compile(r"\r(?!\n)|\f")
_NEWLINE = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


class Span(NamedTuple):
    """A place in a file: lines from 1, columns from 0 in characters, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int

    def overlaps(self, other: Span) -> bool:
        """Return whether the two have a character in common."""
        return self[:2] < other[2:] and other[:2] < self[2:]


def _is_stdlib(node: ast.ImportFrom) -> bool:
    return not node.level and (node.module or "").partition(".")[0] in sys.stdlib_module_names


def _binds(node: ast.Import | ast.ImportFrom, name: str) -> bool:
    return any((alias.asname or alias.name.partition(".")[0]) == name for alias in node.names)


def keyword_of(call: ast.Call, name: str) -> ast.keyword | None:
    """Return the keyword argument with this name."""
    return next((keyword for keyword in call.keywords if keyword.arg == name), None)


class Source:
    """One file's text and syntax tree.

    Args:
        text: The decoded text, with the file's newlines.
        foreign_uses: Names that other files of the project use, so they must stay; `*` for all of them.
        is_package: Whether the file is an `__init__.py`, whose imports are exports.
        path: Its label, which is the base of relative imports.
        project: Resolves imports; by default nothing does.

    Attributes:
        lines: The lines with their ends.

    Raises:
        SyntaxError: The text is not Python that this interpreter can read.
        ValueError: It has null bytes.
    """

    def __init__(
        self,
        text: str,
        *,
        foreign_uses: frozenset[str] = frozenset(),
        is_package: bool = False,
        path: str = "",
        project: Project | None = None,
    ) -> None:
        self.text = text
        self.path = path
        self.project = project
        self._known = project.loaded(path, text) if project is not None else None
        self.tree = self._known.tree if self._known is not None else ast.parse(text)
        self.foreign_uses = foreign_uses
        self.is_package = is_package
        self.lines = _NEWLINE.split(text)

    @cached_property
    def obstacle(self) -> str:
        """Why the file cannot be edited; empty if it can."""
        found = _LOST.search(self.text)
        if found is None:
            return ""
        what = "form feed" if found[0] == "\f" else "carriage return without a line feed"
        line = len(_NEWLINE.split(self.text[: found.start()]))
        return f"the edit would lose the {what} in line {line}: remove it first"

    @cached_property
    def module(self) -> Module:
        """The file as a scan reads it."""
        if self._known is not None:
            return self._known
        path = self.path or "__main__.py"
        module = Module(self.text, path, module_name(path), self.tree)
        if self.project is not None:
            self.project.hold(module)
        return module

    def handler_class(self, call: ast.Call) -> HandlerClass | None:
        """Return the project's handler class whose constructor a call is."""
        dotted = self.module.resolve(call.func)
        return find_handler(dotted, self.module, self.project or Project.build([])) if dotted is not None else None

    # -- places

    def span(self, node: ast.expr | ast.stmt | ast.keyword | ast.alias | ast.arg | ast.ExceptHandler) -> Span:
        """Return the place of a node, without decorators."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return Span(
            node.lineno, self._characters(node.lineno, node.col_offset), end_line, self._characters(end_line, end_column)
        )

    def code(self, node: ast.expr) -> str:
        """Return the source text of an expression."""
        return self.text_of(self.span(node))

    def line(self, number: int) -> str:
        """Return a line with its newline."""
        return self.lines[number - 1]

    def text_of(self, span: Span) -> str:
        """Return the text at a place."""
        if span.line == span.end_line:
            return self.lines[span.line - 1][span.column : span.end_column]
        first, *middle = self.lines[span.line - 1 : span.end_line - 1]
        return "".join([first[span.column :], *middle, self.lines[span.end_line - 1][: span.end_column]])

    @cached_property
    def comments(self) -> Mapping[int, Span]:
        """The place of each comment, by its line."""
        found: dict[int, Span] = {}
        with contextlib.suppress(tokenize.TokenError, SyntaxError):  # `tokenize` may refuse a text that `ast` reads
            for token in tokenize.generate_tokens(iter([*self.lines, ""]).__next__):
                if token.type == tokenize.COMMENT:
                    found[token.start[0]] = Span(*token.start, *token.end)
        return found

    @property
    def line_count(self) -> int:
        """The number of lines. A newline at the end of the file does not begin another line."""
        return len(self.lines) - (not self.lines[-1])

    def _characters(self, line: int, offset: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return offset if text.isascii() else len(text.encode()[:offset].decode())

    # -- the tree

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes."""
        return tuple(level_order(self.tree))

    @cached_property
    def statements(self) -> Mapping[Span, ast.stmt]:
        """All statements, by their places."""
        return {self.span(node): node for node in self.nodes if isinstance(node, ast.stmt)}

    @cached_property
    def displays(self) -> Mapping[Span, ast.Call | ast.List | ast.Dict]:
        """All calls, lists and dicts, by their places."""
        return {self.span(node): node for node in self.nodes if isinstance(node, ast.Call | ast.List | ast.Dict)}

    @property
    def parents(self) -> Mapping[ast.AST, ast.AST]:
        """Each node's parent."""
        return self.module.parents

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Return the nodes around a node, innermost first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def scope(self, node: ast.AST) -> Function | ast.Lambda | ast.ClassDef | ast.Module:
        """Return the function, class or module that evaluates a node."""
        for ancestor in self.ancestors(node):
            if isinstance(ancestor, Function | ast.Lambda | ast.ClassDef):
                return ancestor
        return self.tree

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the innermost statement that a node is part of."""
        return next(each for each in (node, *self.ancestors(node)) if isinstance(each, ast.stmt))

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the list of statements that contains a statement."""
        parent = self.parents[statement]
        for _, value in ast.iter_fields(parent):
            if isinstance(value, list) and statement in value:
                return value
        raise LookupError(f"line {statement.lineno}: a statement outside of every block")

    def calls(self) -> Iterator[ast.Call]:
        """Return all calls, in no particular order."""
        return (node for node in self.nodes if isinstance(node, ast.Call))

    # -- names

    @cached_property
    def _imported(self) -> Mapping[str, str]:
        names: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    names[name] = alias.name if alias.asname else name
            elif isinstance(node, ast.ImportFrom):
                prefix = "." * node.level + (node.module or "")
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{prefix}.{alias.name}"
        return names

    @cached_property
    def bound_here(self) -> frozenset[str]:
        """Names that the file binds without an import: variables, parameters, functions, classes."""
        names: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, Function | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                names.add(node.name)
        return frozenset(names)

    @cached_property
    def names(self) -> frozenset[str]:
        """All names that occur, bound or used."""
        used = {node.id for node in self.nodes if isinstance(node, ast.Name)}
        return frozenset(used) | self.bound_here | frozenset(self._imported)

    @cached_property
    def _of_module(self) -> frozenset[str]:
        """Names that mean something at module level, or that functions read or bind there."""
        read = {node.id for node in self.nodes if isinstance(node, ast.Name) and self.scopes.home(node) is self.tree}
        declared = {name for node in self.nodes if isinstance(node, ast.Global) for name in node.names}
        return frozenset(read | declared) | self.scopes.bound(self.tree)

    def origin(self, node: ast.expr) -> str | None:
        """Return the qualified name of an expression, if an import of this file tells it.

        Return None if the file may also bind the name in another way: a parameter may hide an import.
        """
        if isinstance(node, ast.Attribute):
            owner = self.origin(node.value)
            return f"{owner}.{node.attr}" if owner else None
        if not isinstance(node, ast.Name) or node.id not in self._imported:
            return None
        return None if node.id in self.bound_here and self._is_hidden(node) else self._imported[node.id]

    def _is_hidden(self, name: ast.Name) -> bool:
        """Return whether something other than a module-level import may have bound a name at a read."""
        imports = [each for each in self._imports if _binds(each, name.id)]
        if self.scopes.home(name) is not self.tree or not all(self.parents[each] is self.tree for each in imports):
            return True
        return name.id in self._bound_besides

    @cached_property
    def _bound_besides(self) -> frozenset[str]:
        """Imported names that the module also binds in another way."""
        names: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.Name):
                if node.id in self._imported and not isinstance(node.ctx, ast.Load) and self.scopes.home(node) is self.tree:
                    names.add(node.id)
            elif isinstance(node, Function | ast.ClassDef):
                if node.name in self._imported and self.scope(node) is self.tree:
                    names.add(node.name)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                names.add(node.name)
        return frozenset(names)

    def is_imported(self, name: str) -> bool:
        """Return whether an import binds a name somewhere in the file."""
        return name in self._imported

    def is_builtin(self, name: str, node: ast.AST) -> bool:
        """Return whether a name means the builtin at a node: nothing binds it, and no `import *` may."""
        if self.scopes.home_of(name, node) is not self.tree or name in self.scopes.bound(self.tree):
            return False
        return not any(
            (isinstance(each, ast.Global) and name in each.names)
            or (isinstance(each, ast.ImportFrom) and each.names[0].name == "*" and not _is_stdlib(each))
            for each in self.nodes
        )

    def is_langchain_file(self) -> bool:
        """Return whether the file imports anything from LangChain's packages."""
        return any(is_langchain(origin) for origin in self._imported.values())

    def uses(self, name: str, within: ast.AST | None = None) -> list[ast.Name]:
        """Return where a name is written or read, in source order.

        Args:
            name: The name.
            within: Only in this node, and only with the meaning that the name has there: not where a function, lambda,
                comprehension or class inside binds the same name. None: everywhere, with any meaning.
        """
        found = self._by_name.get(name, [])
        if within is not None:
            found = [node for node in found if within is node or within in self.ancestors(node)]
            found = [node for node in found if not self._is_below(self.scopes.home(node), within)]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    @cached_property
    def _declarations(self) -> list[ast.Global | ast.Nonlocal]:
        return [node for node in self.nodes if isinstance(node, ast.Global | ast.Nonlocal)]

    @cached_property
    def _imports(self) -> list[ast.Import | ast.ImportFrom]:
        return [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """All classes, at every level."""
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def _by_name(self) -> Mapping[str, list[ast.Name]]:
        found: dict[str, list[ast.Name]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Name):
                found.setdefault(node.id, []).append(node)
        return found

    def _is_below(self, node: ast.AST, other: ast.AST) -> bool:
        return node is not other and other in self.ancestors(node)

    @cached_property
    def scopes(self) -> Scopes:
        """The scopes of the file."""
        return Scopes(self.tree, self.parents)

    def assignment(self, name: str, scope: ast.AST) -> Assignment | None:
        """Return the one plain assignment `name = …` in this scope, or None if it is bound in another way or more than once."""
        bindings = [use for use in self.uses(name, scope) if binds(use, self.parents)]
        if len(bindings) != 1 or not isinstance(scope, Function | ast.Module) or self._is_other(name, scope):
            return None
        statement = self.parents[bindings[0]]
        if is_assignment(statement) and targets_of(statement) == bindings and self.scope(statement) is scope:
            return statement
        return None

    def why_unclear(self, name: str, scope: ast.AST) -> str:
        """Return why `assignment` returns None for a name that this scope assigns."""
        if isinstance(scope, ast.ClassDef):
            return f"{name} is an attribute of a class"
        if isinstance(scope, Function) and self._is_other(name, scope):
            return f"{name} is a parameter, or belongs to another function or the module (`nonlocal`, `global`)"
        deleted = any(isinstance(use.ctx, ast.Del) for use in self.uses(name, scope))
        return f"the code deletes {name} again" if deleted else f"{name} is assigned more than once"

    def readers(self, statement: Assignment) -> list[ast.Name] | None:
        """Return where the code reads the value of an assignment, or None if the file does not show it."""
        name, scope = variable_of(statement), self.scope(statement)
        if not name or not isinstance(scope, Function | ast.Module):
            return None
        if self.assignment(name, scope) is statement:
            return [use for use in self.uses(name, scope) if isinstance(use.ctx, ast.Load)]
        found = self._reached(name, scope)
        return None if found is None else [use for use, origin in found.items() if origin is statement]

    def _reached(self, name: str, scope: Function | ast.Module) -> Reached | None:
        return None if self._is_other(name, scope) else reached(self.uses(name, scope), scope.body, self.parents)

    def value(self, name: ast.Name) -> ast.expr | None:
        """Return the value of a name, from the function around or the module, if only one assignment can apply."""
        home = self.scopes.home(name)
        if not isinstance(home, Function | ast.Module):
            return None
        assigned = self.assignment(name.id, home) or (self._reached(name.id, home) or {}).get(name)
        return value_of(assigned) if assigned else None

    def values(self, name: ast.Name) -> list[ast.expr]:
        """Return all assigned values of a name, except None; empty if something else binds it, too."""
        home, known = self.scopes.home(name), self.value(name)
        if known is not None or not isinstance(home, Function | ast.Module) or self._is_other(name.id, home):
            return [known] if known is not None else []
        stores = plain_stores(self.uses(name.id, home), self.parents) or []
        found = [value_of(each) for each in stores]
        return [each for each in found if not (isinstance(each, ast.Constant) and each.value is None)]

    def is_same(self, name: ast.Name, node: ast.AST) -> bool:
        """Return whether a name means the same at a node, and nothing binds it again in between."""
        home = self.scopes.home(name)
        stores = [use for use in self.uses(name.id, home) if binds(use, self.parents)]
        given = [each.arg for each in ast.walk(home.args) if isinstance(each, ast.arg)] if isinstance(home, Function) else []
        return self.scopes.home_of(name.id, node) is home and len(stores) <= (name.id not in given)

    def fresh(self, node: ast.AST, *wanted: str) -> str:
        """Return the first of these names that is free at a node, or the last one with a number."""
        around = [each for each in self.ancestors(node) if isinstance(each, Function)]
        taken = self._of_module
        if around:
            inside = level_order(around[-1])
            taken = frozenset(each.id for each in inside if isinstance(each, ast.Name))
            taken |= {each.arg for each in inside if isinstance(each, ast.arg)}
            taken |= {each.name for each in around}
        numbered = (f"{wanted[-1]}_{number}" for number in range(2, 10_000))
        return next(name for name in (*wanted, *numbered) if name not in taken)

    def is_exported(self, name: str) -> bool:
        """Return whether other files may know a module-level name: it is in `__all__`, or one of them mentions it."""
        listed = any(isinstance(node, ast.Constant) and node.value == name for node in self.nodes)
        return listed or self.is_package or bool(self.foreign_uses & {name, "*"})

    def _is_other(self, name: str, scope: Function | ast.Module) -> bool:
        """Return whether a name is a parameter of this function, or is declared to be a variable of another scope."""
        declared = [node for node in self._declarations if name in node.names]
        if any(scope is self.tree or scope in self.ancestors(node) for node in declared):
            return True
        arguments = ast.walk(scope.args) if isinstance(scope, Function) else ()
        return any(isinstance(node, ast.arg) and node.arg == name for node in arguments)
