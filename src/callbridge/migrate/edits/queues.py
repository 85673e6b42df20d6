"""Handlers that put tokens into a queue, and loops that take them out again."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from callbridge.migrate.analysis.handlers import own_attribute
from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.assignments import is_assignment, targets_of, value_of, variable_of
from callbridge.migrate.edits.operations import Operation, RemoveFinally, RemoveStatement
from callbridge.migrate.edits.source import Function, Source

__all__ = ["Drain", "find_async_drain", "find_drain", "own_queue", "queue_handlers", "without_ends"]


@dataclass(frozen=True)
class Drain:
    """A loop that takes tokens out of a queue until the end mark.

    Attributes:
        loop: The loop.
        variable: The variable with the token.
        sentinel: The end mark, as source.
        body: The code for a token.
        names: Names that the new loop no longer needs.
    """

    loop: ast.While | ast.For
    variable: str
    sentinel: str
    body: tuple[ast.stmt, ...]
    names: frozenset[str]


def queue_handlers(source: Source) -> Mapping[str, frozenset[str]]:
    """Return the classes that only put tokens into a queue, with the end marks that they put.

    They may be of the file, or imported from another one of the project.
    """
    own = [node for node in source.tree.body if isinstance(node, ast.ClassDef)]
    found = {node.name: ends for node in own if (ends := _ends(source.origin, node)) is not None}
    for call in source.calls():
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        handler = source.handler_class(call) if source.is_imported(name) and name not in found else None
        ends = _ends(handler.module.resolve, handler.node) if handler is not None else None
        if ends is not None:
            found[name] = ends
    return found


def _ends(resolve: Callable[[ast.expr], str | None], node: ast.ClassDef) -> frozenset[str] | None:
    bases = [resolve(base) for base in node.bases]
    if not any(is_langchain(base) and base.endswith("CallbackHandler") for base in bases):
        return None
    hooks = {each.name: each for each in node.body if isinstance(each, Function)}
    token = hooks.pop("on_llm_new_token", None)
    hooks.pop("__init__", None)
    if token is None or len(token.args.args) < 2:
        return None
    put = _only(token)
    attribute = _put_to_attribute(put)
    if attribute is None or attribute[1] != token.args.args[1].arg:
        return None
    ends: set[str] = set()
    for hook in hooks.values():
        statement = _only(hook)
        found = _put_to_attribute(statement)
        if found is not None:
            ends.add(found[1])
        elif statement is not None and not isinstance(statement, ast.Return | ast.Pass):
            return None
    return frozenset(ends)


def _only(function: Function) -> ast.stmt | None:
    """Return the one statement of a function, or a `pass` if it has none."""
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return body[0] if len(body) == 1 else ast.Pass() if not body else None


def _put_to_attribute(node: ast.stmt | None) -> tuple[str, str] | None:
    """Return `queue` and `x` for `self.queue.put(x)`, awaited or not."""
    call = node.value if isinstance(node, ast.Expr) else None
    call = call.value if isinstance(call, ast.Await) else call
    if not isinstance(call, ast.Call) or len(call.args) != 1 or not isinstance(call.func, ast.Attribute):
        return None
    name = own_attribute(call.func.value)
    return (name, ast.unparse(call.args[0])) if name and call.func.attr in ("put", "put_nowait") else None


def own_queue(source: Source, made: ast.Call) -> str:
    """Return the attribute with an `asyncio.Queue` that a handler's class makes itself; empty if there is none."""
    handler = source.handler_class(made)
    for init in handler.node.body if handler is not None else ():
        if isinstance(init, ast.FunctionDef) and init.name == "__init__" and len(init.args.args) == 1:
            for each in init.body:
                value = each.value if is_assignment(each) else None
                if handler and isinstance(value, ast.Call) and handler.module.resolve(value.func) == "asyncio.Queue":
                    target = targets_of(each)[0]
                    return target.attr if isinstance(target, ast.Attribute) else ""
    return ""


def find_async_drain(source: Source, function: Function, queue: str) -> Drain | str:
    """Return the one loop of a coroutine function that drains an asyncio queue, or why there is none of a known form.

    Args:
        source: The file.
        function: The function with the loop.
        queue: The source of the queue's expression.
    """
    loops = [node for node in ast.walk(function) if isinstance(node, ast.While) and _takes(node, queue)]
    loops = [node for node in loops if not any(other in source.ancestors(node) for other in loops)]
    if len(loops) != 1:
        return f"{len(loops)} `while` loops read {queue}, not one"
    found = _of_walrus(loops[0], queue) or _of_async_while(loops[0], queue)
    if found is None:
        return (
            f"the loop over {queue} does more than take a token, use it, and leave at the end: "
            "read `stream.text()` of `astream_call` instead"
        )
    used = [each for statement in found.body for each in ast.walk(statement) if isinstance(each, ast.expr)]
    if any(ast.unparse(each) == queue for each in used):
        return f"the loop uses {queue} for more than the next token"
    return found


def _takes(loop: ast.While, queue: str) -> bool:
    return any(ast.unparse(node) == f"{queue}.get()" for node in ast.walk(loop) if isinstance(node, ast.Call))


def _of_walrus(loop: ast.While, queue: str) -> Drain | None:
    """Read `while (token := await queue.get()) is not DONE:`."""
    test = loop.test
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.IsNot | ast.NotEq) or loop.orelse:
        return None
    taken = test.left
    if not isinstance(taken, ast.NamedExpr) or ast.unparse(taken.value) != f"await {queue}.get()":
        return None
    return Drain(loop, taken.target.id, ast.unparse(test.comparators[0]), tuple(_used(loop.body, queue)), frozenset())


def _of_async_while(loop: ast.While, queue: str) -> Drain | None:
    """Read `while True:`, take, break at the end, use."""
    body = _used(loop.body, queue)
    if ast.unparse(loop.test) not in ("True", "1") or loop.orelse or len(body) < 3:
        return None
    taken, end = body[0], body[1]
    name = variable_of(taken)
    if not is_assignment(taken) or not name or not isinstance(end, ast.If):
        return None
    test = end.test
    if ast.unparse(value_of(taken)) != f"await {queue}.get()" or len(end.body) != 1 or not isinstance(end.body[0], ast.Break):
        return None
    if not isinstance(test, ast.Compare) or ast.unparse(test.left) != name or not isinstance(test.ops[0], ast.Is | ast.Eq):
        return None
    return None if end.orelse else Drain(loop, name, ast.unparse(test.comparators[0]), tuple(body[2:]), frozenset())


def _used(body: list[ast.stmt], queue: str) -> list[ast.stmt]:
    """Return the statements of a loop without `task_done()`."""
    return [each for each in body if ast.unparse(each) != f"{queue}.task_done()"]


def find_drain(source: Source, function: Function, name: str) -> Drain | str:
    """Return the one loop of a function that drains a queue, or why there is none of a known form."""
    loops = [node for node in ast.walk(function) if isinstance(node, ast.While | ast.For) and source.uses(name, node)]
    loops = [node for node in loops if not any(other in source.ancestors(node) for other in loops)]
    if len(loops) != 1:
        return f"{len(loops)} `for` or `while` loops read {name}, not one"
    found = _of_while(source, loops[0], name) if isinstance(loops[0], ast.While) else _of_for(loops[0], name)
    return found or f"the loop over {name} has a form that `fix` does not know: read `stream.text()` instead"


def _of_for(loop: ast.For, name: str) -> Drain | None:
    """Read `for token in iter(queue.get, DONE):`."""
    call = loop.iter
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "iter" or len(call.args) != 2 or loop.orelse:
        return None
    if ast.unparse(call.args[0]) != f"{name}.get" or not isinstance(loop.target, ast.Name):
        return None
    return Drain(loop, loop.target.id, ast.unparse(call.args[1]), tuple(loop.body), frozenset())


def _of_while(source: Source, loop: ast.While, name: str) -> Drain | None:
    """Read `while True:`, take, break at the end, use; with or without `try … except Empty: continue` around."""
    if ast.unparse(loop.test) not in ("True", "1") or loop.orelse:
        return None
    body, names = loop.body, set[str]()
    if len(body) == 1 and isinstance(body[0], ast.Try):
        attempt = body[0]
        if len(attempt.handlers) != 1 or attempt.orelse or attempt.finalbody or attempt.handlers[0].type is None:
            return None
        if (source.origin(attempt.handlers[0].type) or "") != "queue.Empty":
            return None
        if not all(isinstance(each, ast.Continue | ast.Pass) for each in attempt.handlers[0].body):
            return None
        names |= {each.id for each in ast.walk(attempt.handlers[0].type) if isinstance(each, ast.Name)}
        body = attempt.body
    if len(body) < 3 or not is_assignment(body[0]) or not isinstance(body[1], ast.If):
        return None
    taken, end = body[0], body[1]
    variable, call = variable_of(taken), taken.value
    if not variable or not isinstance(call, ast.Call) or ast.unparse(call.func) != f"{name}.get":
        return None
    test = end.test
    if not isinstance(test, ast.Compare) or ast.unparse(test.left) != variable or not isinstance(test.ops[0], ast.Is | ast.Eq):
        return None
    if len(end.body) != 1 or not isinstance(end.body[0], ast.Break) or end.orelse:
        return None
    return Drain(loop, variable, ast.unparse(test.comparators[0]), tuple(body[2:]), frozenset(names))


def without_ends(source: Source, ends: Sequence[ast.stmt]) -> list[Operation]:
    """Return the operations that remove the statements with the end mark, and a `finally` that holds nothing else."""
    operations: list[Operation] = []
    for statement in ends:
        attempt = source.parents[statement]
        if isinstance(attempt, ast.Try) and attempt.finalbody == [statement]:
            operations.append(RemoveFinally(source.span(attempt)))
        else:
            operations.append(RemoveStatement(source.span(statement)))
    return operations
