"""The output of planners: changes, which consist of small operations on places, and refusals, which say why there is none.

Data only. An operation names a node of the file by its place, so planning needs no LibCST. `apply` carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from callbridge.migrate.edits.source import Span

__all__ = [
    "AddArgument",
    "AddImport",
    "Change",
    "DropImport",
    "MoveImport",
    "Operation",
    "PassCall",
    "Refusal",
    "RemoveArgument",
    "RemoveComment",
    "RemoveElement",
    "RemoveFinally",
    "RemoveParameter",
    "RemoveStatement",
    "RenameArgument",
    "ReplaceExpression",
    "ReplaceStatement",
    "ReplaceText",
]


@dataclass(frozen=True)
class RenameArgument:
    """Give a keyword argument of a call another name."""

    span: Span
    old: str
    new: str


@dataclass(frozen=True)
class AddArgument:
    """Give a call one more keyword argument, after those that it has.

    Attributes:
        span: The call.
        code: `name=value`.
    """

    span: Span
    code: str


@dataclass(frozen=True)
class RemoveArgument:
    """Remove an argument from a call.

    Attributes:
        span: The call.
        name: The keyword; empty for a positional argument.
        position: The index of a positional argument, from 0.
    """

    span: Span
    name: str
    position: int = -1


@dataclass(frozen=True)
class RemoveParameter:
    """Remove a parameter from a function.

    Attributes:
        span: The parameter: its name and annotation.
    """

    span: Span


@dataclass(frozen=True)
class PassCall:
    """Pass the callee and its arguments to a function: `f(x)` becomes `function(f, x)`.

    Attributes:
        span: The call.
        function: The function's name.
    """

    span: Span
    function: str


@dataclass(frozen=True)
class RemoveElement:
    """Remove an element from a list or tuple display, or a key from a dict display.

    Attributes:
        span: The display.
        index: The index of the element, from 0.
    """

    span: Span
    index: int


@dataclass(frozen=True)
class ReplaceExpression:
    """Replace an expression.

    Attributes:
        span: The old expression.
        template: The source of the new one. Names that are keys of `holes` stand for nodes of the file.
        holes: Name in the template to the place of the node that goes there, with all changes inside it.
    """

    span: Span
    template: str
    holes: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplaceStatement:
    """Replace a statement by others. Comments and blank lines before it stay.

    Attributes:
        span: The old statement.
        template: The source of the new ones. A name that is a key of `holes` stands for a node; alone on a line, it stands for
            a statement. `BODY` alone on a line stands for the body of the old statement, and `STATEMENT` for the old statement
            itself, with its comment.
        holes: Name in the template to the place of the node that goes there.
        renames: Names, and attributes `self.x`, of the template to the expressions that stand for them.
    """

    span: Span
    template: str
    holes: Mapping[str, Span] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoveStatement:
    """Remove a statement. Its comments stay, unless a `RemoveComment` removes them."""

    span: Span


@dataclass(frozen=True)
class RemoveComment:
    """Remove a comment, and its line if nothing else is on it."""

    span: Span


@dataclass(frozen=True)
class RemoveFinally:
    """Remove the `finally:` of a `try`. If the `try` has nothing else, it goes as well, and its body stays."""

    span: Span


@dataclass(frozen=True)
class MoveImport:
    """Change the modules that a `from … import` statement imports names from.

    Attributes:
        span: The statement.
        homes: Imported name (not its alias) to its new module.
    """

    span: Span
    homes: Mapping[str, str]


@dataclass(frozen=True)
class DropImport:
    """Remove a name from a `from … import` statement."""

    span: Span
    name: str


@dataclass(frozen=True)
class AddImport:
    """Import a name, in an existing statement for the module or in a new one.

    Attributes:
        anchor: The line of the statement next to which a new one goes; None: at the top.
        before: Whether the new one goes before that statement, not after it.
        module: The module.
        name: The name; empty for the module itself.
    """

    anchor: int | None
    before: bool
    module: str
    name: str


@dataclass(frozen=True)
class ReplaceText:
    """Replace the text of a comment, which is not a node of the tree.

    Attributes:
        span: The old text, on one line.
        text: The new text; if it is empty, the line goes as well when nothing else is on it.
    """

    span: Span
    text: str


Operation: TypeAlias = (
    AddArgument
    | RenameArgument
    | RemoveArgument
    | RemoveComment
    | PassCall
    | RemoveElement
    | ReplaceExpression
    | ReplaceStatement
    | RemoveStatement
    | RemoveFinally
    | RemoveParameter
    | MoveImport
    | DropImport
    | AddImport
    | ReplaceText
)


@dataclass(frozen=True)
class Change:
    """A change, made completely or not at all.

    Attributes:
        rule: The code of the rule.
        place: The place that the rule reports.
        message: What the change does, as one sentence.
        operations: The operations of the change.
        reason: Why it needs `--unsafe`; empty if it is safe.
        orphans: Names whose imports, functions or classes may go once nothing uses them.
        settles: Other places that need no change any more, such as where a handler is attached.
    """

    rule: str
    place: Span
    message: str
    operations: tuple[Operation, ...]
    reason: str = ""
    orphans: tuple[str, ...] = ()
    settles: tuple[Span, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether `fix` makes it without `--unsafe`."""
        return not self.reason

    def overlaps(self, other: Change) -> bool:
        """Return whether the two touch the same code. Names of one import statement may move together."""
        mine, others = _touched(self), _touched(other)
        if all(isinstance(operation, MoveImport) for operation in self.operations + other.operations):
            return False
        return any(one.overlaps(two) for one in mine for two in others)


@dataclass(frozen=True)
class Refusal:
    """A place that a rule reports and that stays as it is.

    Attributes:
        rule: The code of the rule.
        place: The place.
        reason: Why `fix` does not rewrite it, and what would make that possible.
    """

    rule: str
    place: Span
    reason: str


def _touched(change: Change) -> list[Span]:
    spans = [operation.span for operation in change.operations if not isinstance(operation, AddImport)]
    holes = [
        span
        for operation in change.operations
        if isinstance(operation, ReplaceStatement | ReplaceExpression)
        for span in operation.holes.values()
    ]
    return spans + holes
