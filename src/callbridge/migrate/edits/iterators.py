"""CB301: turns `AsyncIteratorCallbackHandler`, a task and `aiter()` into a loop over the text of the wrapped call.

```
task = asyncio.create_task(chain.acall(x))         async with astream_call(chain.acall, x) as stream:
async for token in handler.aiter():          →         async for token in stream.text():
    yield token                                            yield token
await task
```

Three things change: the loop ends with the call, not with its first model; the loop raises an error of the call, instead of
losing it or waiting forever; a reader that leaves cancels the call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import combinations

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits import events_loop
from callbridge.migrate.edits.assignments import Assignment, is_assignment, variable_of
from callbridge.migrate.edits.assumptions import silence
from callbridge.migrate.edits.attachments import attachment_of
from callbridge.migrate.edits.models import hearing
from callbridge.migrate.edits.moved_calls import moving, skipping
from callbridge.migrate.edits.operations import (
    Change,
    Operation,
    Refusal,
    RemoveFinally,
    RemoveStatement,
    ReplaceExpression,
    ReplaceStatement,
)
from callbridge.migrate.edits.source import Function, Source, Span
from callbridge.migrate.edits.tasks import Task, find_task, is_statement_of
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import check_streams, passed

__all__ = ["plan"]

_UNREAD = "the loop got no tokens before, and gets all of the text now"

_EXCEPT = "the `except` around the loop catches errors of the call now: before, `await` raised them later or nobody saw them"

_CATCHING = (ast.Try, getattr(ast, "TryStar", ast.Try), ast.With, ast.AsyncWith)
"""Statements that may handle an error of their body."""


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the iterator handlers of a file. Level 2 needs the same text, or `unsafe`."""
    for call in source.calls():
        origin = source.origin(call.func)
        if is_langchain(origin) and origin.endswith(".AsyncIteratorCallbackHandler"):
            try:
                yield _Conversion(source, call, level, unsafe=unsafe).change()
            except UnfitError as unfit:
                yield Refusal("CB301", source.span(call), str(unfit))


class _Conversion:
    """One handler and all its uses, read step by step. If one step fails, it refuses all."""

    def __init__(self, source: Source, made: ast.Call, level: int, *, unsafe: bool) -> None:
        self._source = source
        self._made = made
        self._level = level
        self._unsafe = unsafe
        self._operations: list[Operation] = []
        self._removed: list[ast.AST] = []
        self._places: list[Span] = []
        self._caught: list[str] = []
        self._names: frozenset[str] = frozenset()

    def change(self) -> Change:
        source = self._source
        creation, name, function = self._creation()
        loops = self._loops(name, function)
        task = find_task(source, function, name)
        if isinstance(task, str):
            raise UnfitError(task)
        check_streams(task.run)
        reasons = [task.reason, self._detach(name, function, task), *dict.fromkeys(self._leaving(loop, task) for loop in loops)]
        for loop in loops:
            self._check_order(function, loop, task)
        reasons += dict.fromkeys(moving(source, loop, task) for loop in loops)
        reasons += dict.fromkeys(skipping(source, loop, task, f"{name}.done.set()") for loop in loops)
        self._settle_errors(name, function, loops, task)
        self._remove(creation)
        for statement in task.made:
            self._remove(statement)
        reasons += dict.fromkeys(self._caught)
        message, assumed = self._rewrite_loops(loops, task)
        reasons.append(assumed)
        origin = source.origin(self._made.func) or ""
        used = {each.id for node in self._removed for each in ast.walk(node) if isinstance(each, ast.Name)}
        orphans = {*used, *self._names, origin.rpartition(".")[2], *([task.guard.name] if task.guard else [])}
        reason = "; ".join(reason for reason in reasons if reason)
        return Change(
            "CB301",
            source.span(self._made),
            message,
            tuple(self._operations),
            reason,
            tuple(sorted(orphans)),
            tuple(self._places),
        )

    def _creation(self) -> tuple[Assignment, str, Function]:
        statement = self._source.parents[self._made]
        function = self._source.scope(self._made)
        name = variable_of(statement)
        if not is_assignment(statement) or not name:
            raise UnfitError("no variable of its own holds the handler")
        if not isinstance(function, Function) or self._source.assignment(name, function) is not statement:
            raise UnfitError(f"{name} is not assigned exactly once, in the function that uses it")
        return statement, name, function

    def _loops(self, name: str, function: Function) -> list[ast.AsyncFor]:
        """Return the loops over the handler. Only one of them runs; several are in branches of an `if`."""
        loops = [node for node in ast.walk(function) if isinstance(node, ast.AsyncFor) and _is_aiter(node.iter, name)]
        if not loops or not all(self._exclude(*pair) for pair in combinations(loops, 2)):
            raise UnfitError(
                f"the function that makes {name} has {len(loops)} `async for` statements over {name}.aiter(), not one"
            )
        if any(loop.orelse or loop.body[0].lineno == loop.lineno for loop in loops):
            raise UnfitError("the loop has an `else`, or is on one line")
        return loops

    def _exclude(self, one: ast.AST, other: ast.AST) -> bool:
        """Return whether two nodes are in different branches of an `if`."""
        above, others = {one, *self._source.ancestors(one)}, {other, *self._source.ancestors(other)}
        branches = [node for node in above & others if isinstance(node, ast.If)]
        return any(bool(above.intersection(node.body)) != bool(others.intersection(node.body)) for node in branches)

    def _detach(self, name: str, function: Function, task: Task) -> str:
        """Detach the handler from its one place. Return what makes the change unsafe."""
        reasons: list[str] = []
        for use in self._source.uses(name, function):
            parent = self._source.parents[use]
            if isinstance(use.ctx, ast.Store) or _is_aiter(self._source.parents[parent], name):
                continue
            if isinstance(parent, ast.Attribute) and parent.attr == "done":
                continue
            attachment = attachment_of(self._source, use)
            if len(attachment.calls) != 1:
                raise UnfitError(f"{name} is attached to {len(attachment.calls)} objects or calls, not to one")
            if attachment.condition is not None:
                raise UnfitError(f"a condition decides whether {name} is attached")
            possible, reason = hearing(self._source, attachment.call, task.run)
            if not possible:
                raise UnfitError(reason)
            self._names |= attachment.names
            reasons.append(
                "; ".join(filter(None, [reason, attachment.reason, silence(self._source, attachment.call, task.run, _UNREAD)]))
            )
            self._places.extend(attachment.places)
            factory = attachment.call is not task.run and not is_langchain(self._source.origin(attachment.call.func))
            self._operations.extend([attachment.shortened] if factory else attachment.operations)
        if len(reasons) != 1:
            raise UnfitError(f"{name} is attached in {len(reasons)} places, not in one")
        return reasons[0]

    def _leaving(self, loop: ast.AsyncFor, task: Task) -> str:
        """Return the assumption for a loop that may exit early."""
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        if not any(isinstance(node, ast.Break | ast.Return) for node in inside):
            return ""
        if any(not is_statement_of(self._source, each) for each in task.awaits):
            raise UnfitError("the loop may exit early, and the code uses the call's result all the same")
        return "leaving the loop early ends the call now, which went on before"

    def _check_order(self, function: Function, loop: ast.AsyncFor, task: Task) -> None:
        source, block = self._source, self._source.block(task.statement)
        around = [loop, *source.ancestors(loop)]
        later = block[block.index(task.statement) + 1 :]
        if not any(statement in around for statement in later):
            raise UnfitError("the loop does not follow the task in the same block")
        for node in ast.walk(task.run):
            if isinstance(node, ast.Yield | ast.YieldFrom | ast.NamedExpr):
                raise UnfitError(
                    "the call's arguments contain a `yield` or an assignment, which would come later, where the loop begins"
                )
            if isinstance(node, ast.Name) and self._rebinds(node.id, function, task):
                raise UnfitError(f"the code assigns {node.id} again after it makes the task")
        between = later[: next(index for index, statement in enumerate(later) if statement in around)]
        running = [node for each in between if not isinstance(each, Function) for node in ast.walk(each)]
        if any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in running):
            raise UnfitError("the code awaits something between task and loop, and the call would not run during that any more")
        if any(source.scope(each) is not source.scope(loop) for each in task.awaits):
            raise UnfitError("the code awaits the task in another function than the one with the loop")

    def _rebinds(self, name: str, function: Function, task: Task) -> bool:
        uses = [*self._source.uses(name, function), *self._source.uses(name, self._source.scope(task.statement))]
        return any(use.lineno > task.statement.lineno and not isinstance(use.ctx, ast.Load) for use in uses)

    def _settle_errors(self, name: str, function: Function, loops: Sequence[ast.AsyncFor], task: Task) -> None:
        """Remove the code that ends or awaits the task: the loop does both now."""
        source = self._source
        gone: set[ast.stmt] = {source.statement(each) for each in task.awaits if is_statement_of(source, each)}
        gone.update(task.cancels)
        for use in source.uses(name, function):
            done = source.parents[use]
            if (
                isinstance(done, ast.Attribute)
                and done.attr == "done"
                and not any(self._is_in(done, each) for each in task.made)
            ):
                if ast.unparse(source.statement(done)) != f"{name}.done.set()":
                    raise UnfitError(f"the code does more with {name}.done than `{name}.done.set()`")
                gone.add(source.statement(done))
        self._check_awaits(loops, task)
        around = list(dict.fromkeys(each for loop in loops for each in self._around(loop, task)))
        for each in around:
            self._check_catching(each, task)
            if isinstance(each, ast.Try) and each.finalbody and all(statement in gone for statement in each.finalbody):
                self._operations.append(RemoveFinally(source.span(each)))
                gone -= set(each.finalbody)
        for statement in gone:
            self._remove(statement)
        for result in (each for each in task.awaits if not is_statement_of(source, each)):
            if task.guard is not None or task.swallows:
                raise UnfitError(
                    "the code uses what the guard returns: return the call's result from it, or read `stream.result`"
                )
            if len(loops) > 1:
                raise UnfitError("the code uses the call's result after one of several loops")
            if any(each in source.ancestors(result) and not self._is_tried(result, each) for each in around):
                raise UnfitError("the code awaits the result in a `try` around the loop, which may have exited early")

    def _check_awaits(self, loops: Sequence[ast.AsyncFor], task: Task) -> None:
        """Refuse if code around an `await` of the task handles errors that the loop would raise outside of it."""
        for each in task.awaits:
            if all(each.lineno < loop.lineno for loop in loops):
                raise UnfitError("the task is awaited before the loop")
            around = [node for node in self._source.ancestors(each) if isinstance(node, _CATCHING)]
            if any(node not in self._source.ancestors(loop) for node in around for loop in loops):
                raise UnfitError("a `try` or `with` around the `await` alone would miss the errors: the loop raises them")

    def _check_catching(self, catching: ast.AST, task: Task) -> None:
        """Refuse if code around the loop would handle errors that an `await` raised outside of it."""
        tried = bool(task.awaits) and all(self._is_tried(each, catching) for each in task.awaits)
        if tried or task.swallows:
            return
        if not isinstance(catching, ast.With | ast.AsyncWith) and getattr(catching, "handlers", None):
            self._caught.append(_EXCEPT)
        if isinstance(catching, ast.With | ast.AsyncWith) and task.awaits:
            raise UnfitError("a `with` around the loop would see the errors of the call, which so far `await` raises")

    def _is_tried(self, node: ast.AST, catching: ast.AST) -> bool:
        """Return whether a node is in the body of a `try` or `with`, which sees its errors there."""
        return any(each in getattr(catching, "body", ()) for each in self._source.ancestors(node))

    def _around(self, loop: ast.AsyncFor, task: Task) -> list[ast.AST]:
        """Return the statements that may catch errors of the loop, but not those of the statement that makes the task."""
        block = self._source.block(task.statement)
        found: list[ast.AST] = []
        for each in self._source.ancestors(loop):
            if isinstance(each, _CATCHING):
                found.append(each)
            if each in block:
                break
        return found

    def _rewrite_loops(self, loops: Sequence[ast.AsyncFor], task: Task) -> tuple[str, str]:
        """Rewrite the loops. Return the message of the change, and its assumption."""
        source = self._source
        results = [each for each in task.awaits if not is_statement_of(source, each)]
        assumed = events_loop.direct(source, task.run) if self._level == 2 and not results else None
        if assumed == "" or (assumed and self._unsafe):
            found = [events_loop.operations(source, loop, task.run) for loop in loops]
            if all(found):
                self._operations += [operation for operations in found for operation in operations]
                return "read the events of the run instead of the handler's tokens", assumed
        template, operations = passed(source, task.run, "astream_call", self._operations)
        self._operations += operations
        for loop in loops:
            stream = source.fresh(loop, "stream", "text_stream", "event_stream")
            wrapped = f"async with {template} as {stream}:\n    LOOP\n"
            holes = {"RUN": source.span(task.run), "LOOP": source.span(loop)}
            self._operations += [
                ReplaceExpression(source.span(loop.iter), f"{stream}.text()"),
                ReplaceStatement(source.span(loop), wrapped, holes),
                *(ReplaceExpression(source.span(each), f"{stream}.result") for each in results),
            ]
        return "read the text of the wrapped call instead of the handler's tokens", ""

    def _remove(self, statement: ast.stmt) -> None:
        self._removed.append(statement)
        self._operations.append(RemoveStatement(self._source.span(statement)))

    def _is_in(self, node: ast.AST, statement: ast.stmt) -> bool:
        return statement in self._source.ancestors(node)


def _is_aiter(node: ast.AST, name: str) -> bool:
    """Return whether this is `name.aiter` or `name.aiter()`."""
    if isinstance(node, ast.Call):
        node = node.func
    return isinstance(node, ast.Attribute) and node.attr == "aiter" and ast.unparse(node.value) == name
