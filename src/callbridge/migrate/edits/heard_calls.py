"""What a handler in a file hears: where it is attached, which calls it hears, and the assumptions about them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Sequence
from typing import NamedTuple

from callbridge.migrate.analysis.module import called_name
from callbridge.migrate.edits.assignments import Assignment, is_assignment, variable_of
from callbridge.migrate.edits.assumptions import silence
from callbridge.migrate.edits.attachments import Attachment, attachment_of
from callbridge.migrate.edits.model_users import strangers
from callbridge.migrate.edits.models import hearing, is_configuring, is_model, run_models
from callbridge.migrate.edits.other_printing import disorder
from callbridge.migrate.edits.source import Source
from callbridge.migrate.edits.stored_objects import attribute_values, holder_of
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import blocking, check_run, keepers_of, runs_of

__all__ = ["Kept", "Run", "guarded", "heard_runs", "kept", "with_twins"]


class Kept(NamedTuple):
    """A handler, and how the code keeps it.

    Attributes:
        attachment: Where it is attached.
        statement: The assignment to the variable that holds it; None if the code makes it where it attaches it.
        reads: Where the code reads its attributes.
    """

    attachment: Attachment
    statement: Assignment | None
    reads: tuple[ast.Attribute, ...]


class Run(NamedTuple):
    """A call that a handler hears, and the object it is attached to: a model, or the call itself."""

    attached: ast.Call
    call: ast.Call


def kept(source: Source, made: ast.Call) -> Kept:
    """Return how the code keeps a handler.

    Args:
        source: The file.
        made: The call that makes the handler.

    Raises:
        UnfitError: The file does not show where it is attached, or uses it for something else, too.
    """
    statement = source.parents[made]
    if not is_assignment(statement):
        return Kept(attachment_of(source, made), None, ())
    name, scope = variable_of(statement), source.scope(statement)
    if not name:
        raise UnfitError("no variable of its own holds the handler")
    uses = source.readers(statement)
    if uses is None:
        raise UnfitError(source.why_unclear(name, scope))
    if isinstance(scope, ast.Module) and source.is_exported(name):
        raise UnfitError(f"other files may use {name}, too")
    reads = tuple(parent for use in uses if isinstance(parent := source.parents[use], ast.Attribute))
    given = [use for use in uses if not isinstance(source.parents[use], ast.Attribute)]
    if not given:
        raise UnfitError(f"this file does not attach {name}")
    attachments = [attachment_of(source, use) for use in given]
    return Kept(attachments[0] if len(attachments) == 1 else _joined(attachments, name), statement, reads)


def with_twins(source: Source, made: ast.Call, attachment: Attachment) -> Attachment:
    """Return the attachment of a handler, and of its twins if it is made where it is attached, as one.

    A call may run one model or another, and each has a handler of its own: an equal one, its twin.
    """
    if is_assignment(source.parents[made]):
        return attachment
    code, name = ast.unparse(made), called_name(made)
    equal = [each for each in source.calls() if called_name(each) == name and each is not made and ast.unparse(each) == code]
    equal = [each for each in equal if _means_the_same(source, made, each) and not is_assignment(source.parents[each])]
    if not equal:
        return attachment
    try:
        runs = [run for each in attachment.calls if is_model(source, each) for run in runs_of(source, each)]
    except UnfitError:
        return attachment
    missing = frozenset(model for run in runs for model in run_models(source, run).found) - {*attachment.calls}
    given = [_attachment(source, each) for each in equal if missing]
    twins = [found for found in given if found is not None and missing & {*found.calls}]
    return _joined([attachment, *twins], code) if twins else attachment


def _means_the_same(source: Source, one: ast.Call, other: ast.Call) -> bool:
    """Return whether equal calls make equal objects: they have no arguments, or their names are those of one function."""
    return not (one.args or one.keywords) or source.scope(one) is source.scope(other)


def _attachment(source: Source, handler: ast.Call) -> Attachment | None:
    try:
        return attachment_of(source, handler)
    except UnfitError:
        return None


def _joined(attachments: Sequence[Attachment], name: str) -> Attachment:
    """Return several attachments of one handler as one."""
    first = attachments[0]
    if any(each.condition is not None for each in attachments):
        raise UnfitError(f"{name} is attached in {len(attachments)} places, and in one of them only under a condition")
    operations = list(first.operations)
    for each in attachments[1:]:
        operations += [operation for operation in each.operations if operation not in operations]
    return Attachment(
        tuple(dict.fromkeys(call for each in attachments for call in each.calls)),
        tuple(operations),
        first.shortened,
        tuple(place for each in attachments for place in each.places),
        tuple(other for each in attachments for other in each.others),
        next((each.reason for each in attachments if each.reason), ""),
        frozenset().union(*(each.names for each in attachments)),
    )


def heard_runs(source: Source, attachment: Attachment, consequence: str) -> tuple[list[Run], list[str]]:
    """Return the calls that a handler hears, and the assumptions about them.

    Args:
        source: The file.
        attachment: Where the handler is attached.
        consequence: What changes if the handler heard nothing before, as a clause.

    Raises:
        UnfitError: The file does not show all calls, or the handler hears less of one than a loop over its text would.
    """
    found: list[Run] = []
    reasons: list[str] = [attachment.reason]
    for call in attachment.calls:
        if is_model(source, call) or is_configuring(call):
            found += [Run(call, run) for run in runs_of(source, call)]
            reasons += [strangers(source, each) for each in keepers_of(source, call)]
        else:
            reasons.append(check_run(source, call))
            found.append(Run(call, call))
    for each in found:
        possible, reason = hearing(source, each.attached, each.call, attachment.calls)
        if not possible:
            raise UnfitError(reason)
        reasons += [reason, disorder(source, each.call, attachment)]
        if not _is_flagged(source, attachment, each.attached):
            reasons.append(silence(source, each.attached, each.call, consequence))
        reasons.append(blocking(source, each.call))
    found = list({each.call: each for each in found}.values())  # several models may have the handler
    if len({source.statement(each.call) for each in found}) < len(found):
        raise UnfitError("one statement makes two of the calls: write a statement for each")
    return found, reasons


def _is_flagged(source: Source, attachment: Attachment, model: ast.Call) -> bool:
    """Return whether a handler is attached if its model streams, and else not: one name decides both."""
    if attachment.condition is None or not attachment.condition.holds:
        return False
    flags = [each.value for each in model.keywords if each.arg == "streaming"]
    return bool(flags) and ast.unparse(flags[0]) == ast.unparse(attachment.condition.test)


def guarded(source: Source, attachment: Attachment, run: ast.Call, body: str, own: Collection[str] = ()) -> str:
    """Return the code for a token, under the condition on which the handler was attached.

    Args:
        source: The file.
        attachment: Where the handler is attached.
        run: The call.
        body: The code, as source.
        own: Names that mean something else there.

    Raises:
        UnfitError: The condition may have another value at the call, or may have an effect.
    """
    if attachment.condition is None:
        return body
    test, holds = attachment.condition
    lasting = [each for each in ast.walk(test) if _is_lasting(source, each, run)]
    for node in ast.walk(test):
        if node in lasting or (isinstance(node, ast.Name) and source.parents[node] in lasting):
            continue
        if isinstance(node, ast.Name) and (node.id in own or not source.is_same(node, run)):
            raise UnfitError(f"{node.id} decides whether the handler is attached, and may have changed by the time of the call")
        stored = isinstance(node, ast.Attribute) and any(
            isinstance(each, ast.Attribute) and each.attr == node.attr and not isinstance(each.ctx, ast.Load)
            for each in source.nodes
        )
        if stored or isinstance(node, ast.Call | ast.Await | ast.NamedExpr | ast.Lambda | ast.Subscript):
            raise UnfitError("the condition that attaches the handler may change before the call")
    return f"if {_condition(source, test, holds=holds)}:\n{textwrap.indent(body, '    ')}"


def _is_lasting(source: Source, node: ast.AST, run: ast.Call) -> bool:
    """Return whether this is `self.name`, which only the constructor of the class around the call sets."""
    if not isinstance(node, ast.Attribute) or holder_of(source, node) is not holder_of(source, run):
        return False
    stores = [each for each in source.nodes if isinstance(each, ast.Attribute) and each.attr == node.attr]
    stores = [each for each in stores if not isinstance(each.ctx, ast.Load)]
    makers = {getattr(source.scope(each), "name", "") for each in stores}
    return len(attribute_values(source, node)) == len(stores) == 1 and makers == {"__init__"}


def _condition(source: Source, test: ast.expr, *, holds: bool) -> str:
    if holds:
        return source.code(test)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return source.code(test.operand)
    simple = isinstance(test, ast.Name | ast.Attribute | ast.Constant)
    return f"not {source.code(test)}" if simple else f"not ({source.code(test)})"
