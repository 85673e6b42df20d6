"""What planners hand over: changes made of small operations on places, and refusals that say why there is none.

Data only. An operation names a node of the file by its place, so planning needs no LibCST; `apply` carries it out.
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
    """Take an argument out of a call.

    Attributes:
        span: The call.
        name: The keyword; empty for an argument without one.
        position: Of an argument without a keyword, from 0.
    """

    span: Span
    name: str
    position: int = -1


@dataclass(frozen=True)
class RemoveParameter:
    """Take a parameter out of a function.

    Attributes:
        span: The parameter: its name and annotation.
    """

    span: Span


@dataclass(frozen=True)
class PassCall:
    """Hand what is called to a function, with its arguments: `f(x)` becomes `function(f, x)`.

    Attributes:
        span: The call.
        function: The function's name.
    """

    span: Span
    function: str


@dataclass(frozen=True)
class RemoveElement:
    """Take an element out of a list or tuple display, or a key out of a dict display.

    Attributes:
        span: The display.
        index: Which one, from 0.
    """

    span: Span
    index: int


@dataclass(frozen=True)
class ReplaceExpression:
    """Put another expression in the place of one.

    Attributes:
        span: What goes.
        template: Python source of what comes; names that are keys of `holes` stand for nodes of the file.
        holes: Name in the template to the place of the node that goes there, with all that is changed inside it.
    """

    span: Span
    template: str
    holes: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplaceStatement:
    """Put other statements in the place of one; comments and blank lines before it stay.

    Attributes:
        span: What goes.
        template: Python source of what comes. A name that is a key of `holes` stands for a node, alone on a line for a
            statement; the name `BODY` alone on a line stands for the body of the statement that goes, and `STATEMENT` for the
            statement itself, which takes its comment along.
        holes: Name in the template to the place of the node that goes there.
        renames: Names, and attributes `self.x`, of the template to the expressions that stand for them.
    """

    span: Span
    template: str
    holes: Mapping[str, Span] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoveStatement:
    """Take a statement away; comments stay, unless a `RemoveComment` speaks of them."""

    span: Span


@dataclass(frozen=True)
class RemoveComment:
    """Take a comment away that goes with something else; a line that holds nothing else goes as well."""

    span: Span


@dataclass(frozen=True)
class RemoveFinally:
    """Take the `finally:` off a `try`; a `try` that has nothing else goes as well, and its body stays."""

    span: Span


@dataclass(frozen=True)
class MoveImport:
    """Import names from other modules than a `from … import` statement does.

    Attributes:
        span: The statement.
        homes: Imported name (not its alias) to its new module.
    """

    span: Span
    homes: Mapping[str, str]


@dataclass(frozen=True)
class DropImport:
    """Take a name out of a `from … import` statement."""

    span: Span
    name: str


@dataclass(frozen=True)
class AddImport:
    """Import a name, in the statement that imports from there already, or in a new one.

    Attributes:
        anchor: The line of the statement next to which a new one goes; None: first of all.
        before: Whether it goes before that, not after it.
        module: Where from.
        name: What; empty for the module itself.
    """

    anchor: int | None
    before: bool
    module: str
    name: str


@dataclass(frozen=True)
class ReplaceText:
    """Put other text in the place of a comment, which is no node of the tree.

    Attributes:
        span: What goes; on one line.
        text: What comes; if nothing, the line goes as well when nothing else is on it.
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
    """Something that can be rewritten, completely or not at all.

    Attributes:
        rule: The code of the rule.
        place: What the rule speaks of.
        message: What is done, as one sentence.
        operations: How.
        reason: Why it takes `--unsafe`; empty for what is safe.
        orphans: Names whose imports, functions or classes may go once nothing uses them any more.
        settles: Other places that there is nothing to do about any more: where a handler is attached.
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
        """Whether it is made without `--unsafe`."""
        return not self.reason

    def overlaps(self, other: Change) -> bool:
        """Return whether one of the two touches what the other touches; names of one import statement may move together."""
        mine, others = _touched(self), _touched(other)
        if all(isinstance(operation, MoveImport) for operation in self.operations + other.operations):
            return False
        return any(one.overlaps(two) for one in mine for two in others)


@dataclass(frozen=True)
class Refusal:
    """Something that a rule speaks of and that stays as it is.

    Attributes:
        rule: The code of the rule.
        place: Where.
        reason: Why it is not rewritten, and what would make it possible.
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
