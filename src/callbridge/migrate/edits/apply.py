"""Carries out operations with LibCST, which keeps every character that no operation changes.

The entry to LibCST: import this module only when there is something to edit.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from callbridge.migrate.edits import import_nodes
from callbridge.migrate.edits.operations import (
    AddArgument,
    AddImport,
    DropImport,
    MoveImport,
    Operation,
    PassCall,
    RemoveArgument,
    RemoveComment,
    RemoveElement,
    RemoveFinally,
    RemoveParameter,
    RemoveStatement,
    RenameArgument,
    ReplaceExpression,
    ReplaceStatement,
)
from callbridge.migrate.edits.sequences import appended, without, without_parameters
from callbridge.migrate.edits.source import Span
from callbridge.migrate.edits.spacing import merged, spaced

__all__ = ["EditError", "apply_operations"]

Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement
Left: TypeAlias = "cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNode]"
N = TypeVar("N", bound=cst.CSTNode)
B = TypeVar("B", bound=cst.IndentedBlock | cst.Module)

_REMOVED = "__callbridge_removed__"

_LONGEST = 72
"""A longer argument stays on its own line."""

_TOOLS = re.compile(r"#\s*(noqa|type:|pylint|pragma|nosec|pyright|mypy|ruff)")
"""Comments for tools, which must stay on the line that they apply to."""


class EditError(Exception):
    """An operation cannot be carried out on this file. Nothing has been changed."""


def apply_operations(text: str, operations: Sequence[Operation]) -> str:
    """Return the text with the operations carried out.

    Args:
        text: A module. Added code gets its newlines and indentation.
        operations: Operations on places of this text. Those of different changes do not overlap.

    Raises:
        EditError: LibCST cannot parse the text, does not return it unchanged, or finds no node at a place.
    """
    module, tail = _parsed(text)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    editor = _Editor(wrapper.resolve(PositionProvider), operations, module, text.split("\n"))
    edited = wrapper.visit(editor)
    editor.check_done()
    return edited.code + tail


def _parsed(text: str) -> tuple[cst.Module, str]:
    """Return the tree of a text, and the text behind it: LibCST loses blank lines with spaces at the end."""
    lines_end = text.find("\n", len(text.rstrip())) + 1
    for end in (len(text), lines_end):
        try:
            module = cst.parse_module(text[:end])
        except (cst.ParserSyntaxError, RecursionError) as error:
            raise EditError("LibCST cannot parse it") from error
        if module.code == text[:end]:
            return module, text[end:]
    raise EditError("LibCST does not give back the same text")


class _Editor(cst.CSTTransformer):
    """Applies the operations at each node's place, and leaves other nodes as they are."""

    def __init__(
        self,
        positions: Mapping[cst.CSTNode, CodeRange],
        operations: Iterable[Operation],
        module: cst.Module,
        lines: Sequence[str],
    ) -> None:
        super().__init__()
        self._positions = positions
        self._module = module
        self._todo: dict[Span, list[Operation]] = defaultdict(list)
        self._imports: dict[tuple[int | None, bool, str], set[str]] = defaultdict(set)
        self._indents: list[str | None] = []
        self._added: list[cst.SimpleStatementLine] = []
        self._moved: list[cst.SimpleStatementLine] = []
        for operation in operations:
            if isinstance(operation, AddImport):
                self._imports[operation.anchor, operation.before, operation.module].add(operation.name)
            else:
                self._todo[operation.span].append(operation)
        self._wanted = {
            span
            for operation in operations
            if isinstance(operation, ReplaceExpression | ReplaceStatement)
            for span in operation.holes.values()
        }
        self._lines = lines
        anchors = {key[0] for key in self._imports if key[0] is not None}
        self._touched = sorted(anchors | {span.line for span in (*self._todo, *self._wanted)})
        self._column = 0
        self._depths: dict[Span, int] = {}
        self._expressions: dict[Span, cst.BaseExpression] = {}
        self._statements: dict[Span, Statement] = {}
        modules = {key[2] for key in self._imports}
        self._importing = {each for each in modules if any(import_nodes.imports_from(line, each) for line in module.body)}

    def check_done(self) -> None:
        """Raise unless every operation has found its node."""
        left = [operation for operations in self._todo.values() for operation in operations]
        if left or self._imports:
            raise EditError(f"no node for {[*left, *self._imports][0]}")

    def span(self, node: cst.CSTNode) -> Span:
        """Return the place of a node in the terms of `ast`."""
        if isinstance(node, cst.SimpleStatementLine) and len(node.body) == 1:
            node = node.body[0]
        found = self._positions[node]
        return Span(found.start.line, found.start.column, found.end.line, found.end.column)

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Pass over the inside of statements in which there is nothing to do: that takes most of the time."""
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement) and not self._is_touched(node):
            return False
        return super().on_visit(node)

    def _is_touched(self, node: Statement) -> bool:
        """Return whether an operation begins in a statement, its decorators, or the comments before it and at its end."""
        decorators = getattr(node, "decorators", ())
        first = self.span(decorators[0] if decorators else node).line - len(node.leading_lines)
        last = self.span(node).end_line
        while last < len(self._lines) and self._lines[last].lstrip()[:1] in ("", "#"):
            last += 1
        following = bisect_left(self._touched, first)
        return following < len(self._touched) and self._touched[following] <= last

    def on_leave(self, original_node: N, updated_node: N) -> Left:  # type: ignore[override]
        """Carry out the operations at this node."""
        node: cst.CSTNode = updated_node
        if isinstance(original_node, cst.EmptyLine | cst.TrailingWhitespace):
            return self._leave_line(original_node, updated_node)
        if isinstance(original_node, cst.BaseExpression) and isinstance(node, cst.BaseExpression):
            return self._leave_expression(self.span(original_node), node)
        if isinstance(original_node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            return self._leave_statement(self.span(original_node), cast("Statement", node))
        if isinstance(original_node, cst.Parameters) and isinstance(node, cst.Parameters):
            return self._leave_parameters(original_node, node)
        if isinstance(node, cst.IndentedBlock):
            self._indents.pop()
            return self._tidied(_settle(node))
        if isinstance(node, cst.Module):
            return self._tidied(self._with_first_imports(_settle(node)))
        return node

    def _tidied(self, block: B) -> B:
        return merged(spaced(block, self._added), self._moved)

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:  # noqa: N802
        """Note the indentation of a block, for code to add to it."""
        self._indents.append(node.indent)

    def visit_SimpleStatementLine(self, node: cst.CSTNode) -> None:  # noqa: N802
        """Note where a statement begins."""
        self._column = self.span(node).column

    visit_If = visit_While = visit_For = visit_With = visit_SimpleStatementLine  # noqa: N815

    def _leave_line(self, original: cst.CSTNode, node: cst.CSTNode) -> Left:
        """Remove a comment, and its line if nothing else is on it; a line of blanks stays as long as it was."""
        comment = getattr(original, "comment", None)
        if comment is None and isinstance(original, cst.EmptyLine) and original.indent and self._indents:
            blanks = "".join(self._module.default_indent if each is None else each for each in self._indents)
            return node.with_changes(indent=False, whitespace=cst.SimpleWhitespace(blanks + original.whitespace.value))
        if comment is None or not self._take(self.span(comment), RemoveComment):
            return node
        if isinstance(node, cst.EmptyLine):
            return cst.RemoveFromParent()
        return node.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))

    def _leave_parameters(self, original: cst.Parameters, node: cst.Parameters) -> cst.Parameters:
        """Remove parameters."""
        gone: set[int] = set()
        places = [self.span(each)[:2] for each in [*original.params, *original.kwonly_params]]
        for span in list(self._todo):
            if span[:2] in places and self._take(span, RemoveParameter):
                gone.add(places.index(span[:2]))
        return without_parameters(node, gone) if gone else node

    # -- expressions

    def _leave_expression(self, span: Span, node: cst.BaseExpression) -> cst.BaseExpression:
        wanted = self._take(span, AddArgument, RenameArgument, RemoveArgument, RemoveElement, PassCall)
        for operation in sorted(wanted, key=lambda each: isinstance(each, PassCall)):  # last: it moves the arguments
            if isinstance(operation, AddArgument):
                node = _add_argument(node, operation, self._module)
            elif isinstance(operation, RenameArgument):
                node = _rename_argument(node, operation)
            elif isinstance(operation, RemoveArgument):
                node = _remove_argument(node, operation)
            elif isinstance(operation, RemoveElement):
                node = _remove_element(node, operation)
            elif isinstance(operation, PassCall):
                node = _pass_call(node, operation)
        if span in self._wanted:
            line = self._lines[span.line - 1]
            self._depths[span] = len(line) - len(line.lstrip()) - self._column
            self._expressions[span] = node  # the node before its replacement, because a hole may stand for it
        for operation in self._take(span, ReplaceExpression):
            if isinstance(operation, ReplaceExpression):
                template = cst.parse_expression(operation.template, self._module.config_for_parsing)
                node = cast("cst.BaseExpression", template.visit(self._filler(operation.holes)))
        return node

    # -- statements

    def _leave_statement(self, span: Span, node: Statement) -> Left:
        if span in self._wanted:
            replaced = any(isinstance(operation, ReplaceStatement) for operation in self._todo.get(span, ()))
            self._statements[span] = node.with_changes(leading_lines=()) if replaced else node
        results: list[Statement] = [node]
        homes: dict[str, str] = {}
        for operation in self._take(span, RemoveFinally, ReplaceStatement, RemoveStatement, MoveImport, DropImport):
            if isinstance(operation, RemoveFinally):
                results = _without_finally(node)
            elif isinstance(operation, ReplaceStatement):
                results = self._replaced(node, operation)
            elif isinstance(operation, RemoveStatement):
                results = [_removed(node)]
            elif isinstance(operation, MoveImport):
                homes.update(operation.homes)
            elif isinstance(operation, DropImport):
                line = import_nodes.drop(_line(node), operation.name)
                results = [line if line is not None else _removed(node)]
        if homes:
            results = list(import_nodes.move(_line(node), homes))
            self._moved += [line for line in results if isinstance(line, cst.SimpleStatementLine)]
        if self._imports:
            results = self._with_imports(span, results)
        return results[0] if len(results) == 1 else cst.FlattenSentinel(results)

    def _replaced(self, node: Statement, operation: ReplaceStatement) -> list[Statement]:
        parsed = cst.parse_module(textwrap.dedent(operation.template), self._module.config_for_parsing)
        if operation.renames:
            parsed = parsed.visit(_Renamer(operation.renames))
        body = getattr(node, "body", None)
        indent = body.indent if isinstance(body, cst.IndentedBlock) else self._indents[-1] if self._indents else None
        filled = parsed.visit(_Indenter(indent)).visit(self._filler(operation.holes, body, outdented=True))
        results = list(filled.body)
        lines = [*node.leading_lines, *results[0].leading_lines]
        trailing = node.trailing_whitespace if isinstance(node, cst.SimpleStatementLine) else None
        if trailing is not None and trailing.comment is not None and operation.holes.get("STATEMENT") != operation.span:
            if _TOOLS.match(trailing.comment.value) and isinstance(results[0], cst.With):  # it applies to the call there
                results[0] = results[0].with_changes(body=results[0].body.with_changes(header=trailing))
            else:
                lines.append(cst.EmptyLine(comment=trailing.comment))
        results[0] = results[0].with_changes(leading_lines=lines)
        return results

    def _filler(self, holes: Mapping[str, Span], body: object = None, *, outdented: bool = False) -> _Filler:
        known = self._expressions.keys() | self._statements.keys()
        missing = [span for span in holes.values() if span not in known]
        if missing:
            raise EditError(f"no node at {missing[0]}, or it comes after the place where it is to go")
        expressions = {name: self._expressions[span] for name, span in holes.items() if span in self._expressions}
        if outdented:  # it comes to the beginning of a statement from a line further in
            deep = {name: depth for name in expressions if (depth := self._depths[holes[name]]) > 0}
            outdent = {name: _Outdenter(depth) for name, depth in deep.items()}
            expressions |= {name: cast("cst.BaseExpression", expressions[name].visit(each)) for name, each in outdent.items()}
        statements = {name: self._statements[span] for name, span in holes.items() if span in self._statements}
        return _Filler(expressions, statements, body)

    def _take(self, span: Span, *kinds: type[Operation]) -> list[Operation]:
        taken = [operation for operation in self._todo.get(span, ()) if isinstance(operation, kinds)]
        if taken:
            self._todo[span] = [operation for operation in self._todo[span] if operation not in taken]
        return taken

    # -- imports

    def _with_imports(self, span: Span, lines: list[Statement]) -> list[Statement]:
        """Return the statements at a place, with the imports to add next to them or into them."""
        for key in sorted(self._imports, key=lambda key: (self._imports[key] != {""}, str(key))):
            anchor, before, module = key
            if module in self._importing:
                if import_nodes.imports_from(lines[0], module):
                    lines = [import_nodes.extended(_line(lines[0]), sorted(self._imports.pop(key))), *lines[1:]]
            elif anchor == span.line and isinstance(lines[0], cst.SimpleStatementLine):
                added = import_nodes.new(module, sorted(self._imports.pop(key)))
                if before:
                    added = added.with_changes(leading_lines=lines[0].leading_lines)
                    lines = [added, lines[0].with_changes(leading_lines=()), *lines[1:]]
                else:
                    lines = [*lines, added]
                self._added.append(added)
        return lines

    def _with_first_imports(self, module: cst.Module) -> cst.Module:
        """Return the module with the imports to add before everything else."""
        first = sorted((key for key in self._imports if key[0] is None), key=str)
        added = [import_nodes.new(key[2], sorted(self._imports.pop(key))) for key in first]
        self._added += added
        return module.with_changes(body=[*added, *module.body]) if added else module


class _Renamer(cst.CSTTransformer):
    """Replaces names and attributes of `self` by expressions."""

    def __init__(self, renames: Mapping[str, str]) -> None:
        super().__init__()
        self._renames = renames

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:  # noqa: N802
        """Replace a name."""
        new = self._renames.get(original_node.value)
        return cst.parse_expression(new) if new is not None else updated_node

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:  # noqa: N802
        """Replace an attribute of `self`; other attributes keep their names."""
        owner = original_node.value.value if isinstance(original_node.value, cst.Name) else ""
        new = self._renames.get(f"{owner}.{original_node.attr.value}")
        return cst.parse_expression(new) if new is not None else updated_node.with_changes(attr=original_node.attr)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:  # noqa: N802
        """Leave the keyword as it was."""
        return updated_node.with_changes(keyword=original_node.keyword)


class _Indenter(cst.CSTTransformer):
    """Gives the blocks of a template the indentation of the block that they go into."""

    def __init__(self, indent: str | None) -> None:
        super().__init__()
        self._indent = indent

    def leave_IndentedBlock(  # noqa: N802
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        """Set the indentation."""
        return updated_node.with_changes(indent=self._indent)

    def leave_EmptyLine(self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine) -> cst.EmptyLine:  # noqa: N802
        """Keep blank lines blank."""
        return updated_node if updated_node.comment is not None else updated_node.with_changes(indent=False)


class _Outdenter(cst.CSTTransformer):
    """Takes the lines inside of brackets further out."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self._depth = depth

    def leave_ParenthesizedWhitespace(  # noqa: N802
        self, original_node: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        """Shorten the white space at the beginning of the line, and of the comments before it."""
        lines = [
            line.with_changes(whitespace=self._shorter(line.whitespace)) if line.comment is not None else line
            for line in updated_node.empty_lines
        ]
        return updated_node.with_changes(last_line=self._shorter(updated_node.last_line), empty_lines=lines)

    def _shorter(self, space: cst.SimpleWhitespace) -> cst.SimpleWhitespace:
        return space.with_changes(value=space.value[min(self._depth, len(space.value)) :])


class _Filler(cst.CSTTransformer):
    """Puts nodes of the file into the holes of a template."""

    def __init__(
        self, expressions: Mapping[str, cst.BaseExpression], statements: Mapping[str, Statement], body: object
    ) -> None:
        super().__init__()
        self._expressions = expressions
        self._statements = statements
        self._body = body

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:  # noqa: N802
        """Fill a hole with an expression. Keep the hole's parentheses if the expression has none."""
        filling = self._expressions.get(original_node.value, updated_node)
        return filling if filling.lpar else filling.with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)

    def leave_IndentedBlock(  # noqa: N802
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        """Begin a block without blank lines, if its first statement has come from elsewhere."""
        if _hole(original_node.body[0]) not in self._statements:
            return updated_node
        first, *rest = cast("Sequence[Statement]", updated_node.body)
        blank = next((index for index, line in enumerate(first.leading_lines) if line.comment), len(first.leading_lines))
        return updated_node.with_changes(body=[first.with_changes(leading_lines=first.leading_lines[blank:]), *rest])

    def leave_SimpleStatementLine(  # type: ignore[override]  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Left:
        """Fill a hole for a statement or for a body."""
        name = _hole(original_node)
        if name in self._statements:
            return self._statements[name]
        if name == "BODY" and isinstance(self._body, cst.IndentedBlock):
            first, *rest = self._body.body
            return cst.FlattenSentinel([first, *rest])
        return updated_node


def _hole(node: cst.CSTNode) -> str:
    """Return the name that a statement of a template consists of, if it may be a hole."""
    only = node.body[0] if isinstance(node, cst.SimpleStatementLine) and len(node.body) == 1 else None
    return only.value.value if isinstance(only, cst.Expr) and isinstance(only.value, cst.Name) else ""


def _line(node: Statement) -> cst.SimpleStatementLine:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        raise EditError("an import shares its line with another statement")
    return node


def _add_argument(node: cst.BaseExpression, operation: AddArgument, module: cst.Module) -> cst.BaseExpression:
    template = cst.parse_expression(f"f({operation.code})", module.config_for_parsing)
    if not isinstance(node, cst.Call) or not isinstance(template, cst.Call):
        raise EditError(f"no call for {operation}")
    return node.with_changes(args=appended(node.args, template.args) if node.args else template.args)


def _rename_argument(node: cst.BaseExpression, operation: RenameArgument) -> cst.BaseExpression:
    if not isinstance(node, cst.Call):
        raise EditError(f"no call for {operation}")
    renamed = [
        argument.with_changes(keyword=argument.keyword.with_changes(value=operation.new))
        if argument.keyword is not None and argument.keyword.value == operation.old
        else argument
        for argument in node.args
    ]
    return node.with_changes(args=renamed)


def _remove_argument(node: cst.BaseExpression, operation: RemoveArgument) -> cst.BaseExpression:
    if not isinstance(node, cst.Call):
        raise EditError(f"no call for {operation}")
    names = [argument.keyword.value if argument.keyword else None for argument in node.args]
    if operation.name not in names and operation.position < 0:
        raise EditError(f"no argument for {operation}")
    index = operation.position if operation.position >= 0 else names.index(operation.name)
    arguments, before, _ = without(node.args, index, node.whitespace_before_args, cst.SimpleWhitespace(""))
    if not arguments:
        before = cst.SimpleWhitespace("")
    return node.with_changes(args=arguments, whitespace_before_args=before)


def _pass_call(node: cst.BaseExpression, operation: PassCall) -> cst.Call:
    if not isinstance(node, cst.Call):
        raise EditError(f"no call for {operation}")
    between: cst.BaseParenthesizableWhitespace = cst.SimpleWhitespace(" ")
    if isinstance(node.whitespace_before_args, cst.ParenthesizedWhitespace):  # each argument is on its own line
        between = node.whitespace_before_args.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=())
    if _hangs(node):
        node, between = node.with_changes(whitespace_before_args=cst.SimpleWhitespace("")), cst.SimpleWhitespace(" ")
    first = cst.Arg(node.func, comma=cst.Comma(whitespace_after=between) if node.args else cst.MaybeSentinel.DEFAULT)
    return node.with_changes(func=cst.Name(operation.function), args=[first, *map(_parenthesized, node.args)])


def _hangs(node: cst.Call) -> bool:
    """Return whether a short argument has its own line, but not the bracket behind it: in a `with` it looks like the body."""
    if len(node.args) != 1 or not isinstance(node.whitespace_before_args, cst.ParenthesizedWhitespace):
        return False
    if isinstance(node.args[0].comma, cst.Comma) or isinstance(node.args[0].whitespace_after_arg, cst.ParenthesizedWhitespace):
        return False
    space, code = node.whitespace_before_args, cst.Module([]).code_for_node(node.args[0])
    commented = space.first_line.comment is not None or any(line.comment is not None for line in space.empty_lines)
    return not commented and "\n" not in code and len(code) < _LONGEST


def _parenthesized(argument: cst.Arg) -> cst.Arg:
    """Return an argument that can stand next to others: there, a generator expression needs parentheses."""
    value = argument.value
    if not isinstance(value, cst.GeneratorExp) or value.lpar:
        return argument
    return argument.with_changes(value=value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))


def _remove_element(node: cst.BaseExpression, operation: RemoveElement) -> cst.BaseExpression:
    if not isinstance(node, cst.List | cst.Dict) or len(node.elements) <= operation.index:
        raise EditError(f"no such element for {operation}")
    left = node.lbracket if isinstance(node, cst.List) else node.lbrace
    right = node.rbracket if isinstance(node, cst.List) else node.rbrace
    items = cast("Sequence[cst.Element]", node.elements)
    elements, before, after = without(items, operation.index, left.whitespace_after, right.whitespace_before)
    changed = left.with_changes(whitespace_after=before), right.with_changes(whitespace_before=after)
    names = ("lbracket", "rbracket") if isinstance(node, cst.List) else ("lbrace", "rbrace")
    return node.with_changes(elements=elements, **dict(zip(names, changed, strict=True)))


def _without_finally(node: Statement) -> list[Statement]:
    if not isinstance(node, cst.Try):
        raise EditError("no `try` to remove the `finally` from")
    if node.handlers:
        return [node.with_changes(finalbody=None)]
    if not isinstance(node.body, cst.IndentedBlock):
        raise EditError("a `try` on one line")
    first, *rest = cast("Sequence[Statement]", node.body.body)
    return [first.with_changes(leading_lines=(*node.leading_lines, *first.leading_lines)), *rest]


def _removed(node: Statement) -> cst.SimpleStatementLine:
    """Return a mark for `_settle` with the comments of a removed statement."""
    lines = list(node.leading_lines)
    if isinstance(node, cst.SimpleStatementLine) and node.trailing_whitespace.comment is not None:
        lines.append(cst.EmptyLine(comment=node.trailing_whitespace.comment))
    return cst.SimpleStatementLine([cst.Expr(cst.Name(_REMOVED))], leading_lines=lines)


def _is_removed(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1 or not isinstance(node.body[0], cst.Expr):
        return False
    value = node.body[0].value
    return isinstance(value, cst.Name) and value.value == _REMOVED


def _settle(block: B) -> B:
    """Remove marked statements. Their comments move to the next statement, and an empty block gets a `pass`."""
    if not any(_is_removed(node) for node in block.body):
        return block
    kept: list[cst.BaseStatement] = []
    left: list[cst.EmptyLine] = []
    for node in block.body:
        statement = cast("Statement", node)
        if _is_removed(node):
            lines = list(statement.leading_lines)
            left = _joined(left, lines) if _comments(lines) else left or lines
            continue
        if left:
            lines = list(statement.leading_lines)
            statement = statement.with_changes(leading_lines=_joined(left, lines) if _comments(left) else lines or left)
            left = []
        kept.append(statement)
    if kept and _is_removed(block.body[0]):
        first = cast("Statement", kept[0])
        blank = next((index for index, line in enumerate(first.leading_lines) if line.comment), len(first.leading_lines))
        kept[0] = first.with_changes(leading_lines=first.leading_lines[blank:])
    if not kept and isinstance(block, cst.IndentedBlock):
        kept.append(cst.SimpleStatementLine([cst.Pass()]))
    return cast("B", block.with_changes(body=kept, footer=(*_comments(left), *block.footer)))


def _joined(first: list[cst.EmptyLine], second: list[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """Return lines one after the other; blank ones where they meet count once."""
    ends = next((index for index, line in enumerate(reversed(first)) if line.comment is not None), len(first))
    begins = next((index for index, line in enumerate(second) if line.comment is not None), len(second))
    return [*first[: len(first) - min(ends, begins)], *second]


def _comments(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    return [line for line in lines if line.comment is not None]
