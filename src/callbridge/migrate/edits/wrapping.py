"""Wraps legacy calls, so that a loop reads their text: finds the calls that run a model, and writes the statements."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias, TypeGuard

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.assignments import Assignment, is_assignment, targets_of, value_of, variable_of
from callbridge.migrate.edits.hoisting import statement_of
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.models import SAME_MODELS, is_idle_memory, makes_model, receiver
from callbridge.migrate.edits.operations import Operation, PassCall, RemoveArgument, ReplaceExpression, ReplaceStatement
from callbridge.migrate.edits.parameters import function_named, parameter_of
from callbridge.migrate.edits.source import Function, Source, Span
from callbridge.migrate.edits.stored_objects import attribute_values, family_of, holder_of, returned_by, session_reads
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.words import words

__all__ = ["blocking", "check_run", "check_streams", "keepers_of", "passed", "runs_of", "wrap"]

_SYNC = ("invoke", "run", "predict", "predict_messages", "generate", "generate_prompt", "call_as_llm")
_ASYNC = ("acall", "ainvoke", "arun", "apredict", "apredict_messages", "agenerate", "agenerate_prompt")
_STREAMS = ("astream", "astream_events", "astream_log", "stream", "stream_events", "stream_log", "transform", "atransform")
"""Methods that return a stream: calling them runs nothing yet."""

_PARTS = ("combine_documents_chain", "llm", "llm_chain", "first", "last", "question_generator")
"""Attributes of chains that hold the model, or an object that runs it."""

_FIELDS = words(
    "config_specs input_key input_keys input_schema max_tokens memory model model_kwargs model_name output_key output_keys "
    "output_parser output_schema prompt temperature tools verbose"
)
_ASKING = words("get_graph get_input_schema get_name get_num_tokens get_num_tokens_from_messages get_output_schema get_prompts")
"""Attributes and methods that run nothing."""

_Seen: TypeAlias = set[ast.expr]
"""The variables followed so far, so that `chain = chain | parser` does not lead in circles."""

_BLOCKED = "the call blocked the event loop before, and runs in a thread now, while the loop runs other tasks"

_READERS = ("callbridge.astream_call", "callbridge.stream_call", "functools.partial")
"""The functions that wrap a call."""


def runs_of(source: Source, made: ast.Call) -> list[ast.Call]:
    """Return all calls that run a model. Follow it through variables, chains and pipes.

    Args:
        source: The file.
        made: The constructor of the model.

    Raises:
        UnfitError: The code passes the model to a place that the file does not show.
    """
    runs = list(dict.fromkeys(_follow(source, made, set())))
    if not runs:
        raise UnfitError(f"this file has no call that runs the {ast.unparse(made.func)} of line {made.lineno}")
    return runs


def keepers_of(source: Source, made: ast.Call) -> list[ast.ClassDef]:
    """Return the classes whose objects keep or make a model on its way to its runs.

    Args:
        source: The file.
        made: The constructor of the model.
    """
    seen: _Seen = set()
    for _ in _follow(source, made, seen):
        pass
    found = {holder for node in seen if (holder := _keeper(source, node)) is not None}
    return sorted(found, key=lambda each: each.lineno)


def _keeper(source: Source, node: ast.expr) -> ast.ClassDef | None:
    """Return the class that keeps a value in an attribute, or whose method returns it."""
    parent = source.parents[node]
    scope = source.scope(parent) if isinstance(parent, ast.Return) else parent
    around = source.parents.get(scope)
    if is_assignment(parent) and isinstance(targets_of(parent)[0], ast.Attribute):
        return holder_of(source, parent)
    kept = isinstance(parent, ast.Return) or is_assignment(parent)
    return around if kept and isinstance(around, ast.ClassDef) else None


def _follow(source: Source, node: ast.expr, seen: _Seen) -> Iterator[ast.Call]:
    if node in seen:
        return
    seen.add(node)
    parent = source.parents[node]
    if isinstance(parent, ast.keyword):
        parent = source.parents[parent]
    if isinstance(parent, ast.Call) and parent.func is node:
        yield parent
    elif is_idle_memory(source, parent) or _is_tested(parent, node):
        return
    elif (
        isinstance(parent, ast.BinOp | ast.Dict | ast.IfExp | ast.List | ast.Tuple)
        or _is_made_of(parent, source)
        or _is_entry(parent, node)
    ):
        yield from _follow(source, parent, seen)
    elif isinstance(parent, ast.Attribute):
        yield from _follow_method(source, parent, seen)
    elif (reads := session_reads(source, node)) is not None:
        for read in reads:
            yield from _follow(source, read, seen)
    elif is_assignment(parent) and isinstance(source.parents[parent], ast.ClassDef):
        yield from _follow_attribute(source, parent, variable_of(parent), seen)
    elif is_assignment(parent) and variable_of(parent):
        yield from _follow_variable(source, parent, variable_of(parent), seen)
    elif is_assignment(parent) and isinstance(target := targets_of(parent)[0], ast.Attribute):
        name = target.attr if ast.unparse(target.value) == "self" and len(targets_of(parent)) == 1 else ""
        yield from _follow_attribute(source, parent, name, seen)
    elif isinstance(parent, ast.Return):
        yield from _follow_factory(source, parent, seen)
    elif (parameter := parameter_of(source, node)) is not None:
        for read in parameter.reads:
            yield from _follow(source, read, seen)
    elif isinstance(parent, ast.Call):
        raise UnfitError(f"the model is passed to {ast.unparse(parent.func)}(), and `fix` cannot follow it there to its runs")
    else:
        raise UnfitError(
            f"{_place(parent)}, and `fix` cannot follow it from there: wrap the call that runs it with `stream_call`"
        )


def _is_tested(parent: ast.AST, node: ast.expr) -> bool:
    """Return whether code only asks whether there is a model: `if llm is None`, `if not llm`."""
    if isinstance(parent, ast.Compare):
        return all(isinstance(each, ast.Constant) for each in (parent.left, *parent.comparators) if each is not node)
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    return isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and parent.test is node


def _place(parent: ast.AST) -> str:
    """Return where a model is, as a clause."""
    if is_assignment(parent):
        return f"the model is stored in {', '.join(map(ast.unparse, targets_of(parent)))}"
    line = ast.unparse(parent).partition("\n")[0]
    return f"the model is a part of `{line}`" if len(line) < 50 else f"the model is a part of `{line[:40]} …`"


def _follow_attribute(source: Source, statement: Assignment, name: str, seen: _Seen) -> Iterator[ast.Call]:
    """Follow the value of an attribute of `self`, or of a class, through the methods of its class."""
    holder = holder_of(source, statement)
    if holder is None or not name:
        target = ast.unparse(targets_of(statement)[0])
        raise UnfitError(f"the model is stored in {target}, and `fix` cannot follow that to its runs")
    if any(isinstance(use.ctx, ast.Load) for use in source.uses(name, holder) if source.scope(use) is holder):
        raise UnfitError(f"{name} is an attribute of a class, and the body of the class reads it")
    family = family_of(source, holder)
    named = [node for node in source.nodes if isinstance(node, ast.Attribute) and node.attr == name]
    selves = [node for node in named if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")]
    own = [node for node in selves if holder_of(source, node) in family]
    others = {holder_of(source, node) for node in selves if not isinstance(node.ctx, ast.Load)}
    if any(node not in own and (node not in selves or holder_of(source, node) not in others) for node in named):
        raise UnfitError(f"code outside of {holder.name} uses `.{name}` of an object, which may be the same model")
    for node in own:
        if value_of(statement) not in attribute_values(source, node):
            raise UnfitError(f"`fix` cannot tell what else self.{name} may hold")
        if isinstance(node.ctx, ast.Load):
            yield from _follow(source, node, seen)


def _follow_factory(source: Source, statement: ast.Return, seen: _Seen) -> Iterator[ast.Call]:
    """Follow the return value of a function or method through its calls."""
    function = source.scope(statement)
    if isinstance(function, ast.FunctionDef) and isinstance(source.parents[function], ast.ClassDef):
        reads = returned_by(source, function)
        if reads is None:
            raise UnfitError(
                f"{function.name}() returns the model, and `fix` cannot tell all its calls: other code may have some"
            )
        for read in reads:
            yield from _follow(source, read, seen)
        return
    if function_named(source, getattr(function, "name", "")) is not function or not isinstance(function, ast.FunctionDef):
        name = getattr(function, "name", "a lambda")
        raise UnfitError(f"{name}() returns the model, and `fix` follows that only out of plain functions at module level")
    if source.is_exported(function.name):
        raise UnfitError(f"{function.name}() returns the model, and other files may use it: attach the handler to their calls")
    for use in source.uses(function.name):
        call = source.parents[use]
        if not isinstance(call, ast.Call) or call.func is not use:
            raise UnfitError(f"{function.name} returns the model, and the file does more with it than call it")
        yield from _follow(source, call, seen)


def _is_entry(parent: ast.AST, node: ast.expr) -> TypeGuard[ast.Subscript]:
    """Return whether an expression takes one of several models out of a dict: `models[name]`."""
    return isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.ctx, ast.Load)


def _is_made_of(node: ast.AST, source: Source) -> TypeGuard[ast.Call]:
    """Return whether this makes a LangChain object from its arguments: `LLMChain(llm=…)`, `RetrievalQA.from_llm(…)`."""
    return isinstance(node, ast.Call) and is_langchain(source.origin(node.func))


def _follow_method(source: Source, attribute: ast.Attribute, seen: _Seen) -> Iterator[ast.Call]:
    call = source.parents[attribute]
    if isinstance(call, ast.Call) and call.func is attribute and attribute.attr in _SYNC + _ASYNC:
        yield call
    elif isinstance(call, ast.Call) and call.func is attribute and attribute.attr in SAME_MODELS:
        yield from _follow(source, call, seen)
    elif attribute.attr in _PARTS:
        yield from _follow(source, attribute, seen)
    elif _only_describes(attribute, call):
        return
    elif isinstance(call, ast.Call) and attribute in call.args and source.origin(call.func) in _READERS:
        raise UnfitError("the code already streams this run: use its text in that loop")
    elif attribute.attr in _STREAMS:
        raise UnfitError(f"{attribute.attr}() returns a stream: use its text where you read that")
    elif attribute.attr == "save_context":
        raise UnfitError(
            f"{ast.unparse(attribute)}() runs the model, and the handler hears its summary: give the memory its own"
        )
    elif attribute.attr in _SYNC + _ASYNC:
        raise UnfitError(
            f"{ast.unparse(attribute)} is passed on, and other code calls it: call it in your own function, and pass that on"
        )
    else:
        raise UnfitError(f"callbridge does not know what .{attribute.attr} does with the model")


def _only_describes(attribute: ast.Attribute, parent: ast.AST) -> bool:
    """Return whether code reads or sets something of a model or chain without running it."""
    if isinstance(parent, ast.Call) and parent.func is attribute:
        return attribute.attr in _ASKING
    if isinstance(attribute.ctx, ast.Store):
        return "callback" not in attribute.attr and attribute.attr not in ("stream", "streaming", "llm")
    return isinstance(attribute.ctx, ast.Load) and attribute.attr in _FIELDS


def _follow_variable(source: Source, statement: Assignment, name: str, seen: _Seen) -> Iterator[ast.Call]:
    """Follow a variable to its reads; if there are several assignments, to all reads that may get this value."""
    scope, uses = source.scope(statement), source.readers(statement)
    if uses is None:
        uses = [use for use in source.uses(name, scope) if isinstance(use.ctx, ast.Load)]
        if not uses or any(value_of(statement) not in source.values(use) for use in uses):
            raise UnfitError(source.why_unclear(name, scope))
    if isinstance(scope, ast.Module) and source.is_exported(name):
        raise UnfitError(f"other files may use {name}, too")
    for use in uses:
        yield from _follow(source, use, seen)


def check_run(source: Source, call: ast.Call) -> str:
    """Return the assumption that a call runs a model before it returns; empty if the file shows it.

    Args:
        source: The file.
        call: A call that gets a handler; not the constructor of a model.

    Raises:
        UnfitError: It makes an object, returns a stream that nothing has read yet, or may do either.
    """
    function = call.func
    check_streams(call)
    if is_langchain(source.origin(function)):
        name = ast.unparse(function)
        raise UnfitError(
            f"{name}() gets the handler: chains, agents and tools hand theirs no tokens; attach it to the model or the call"
        )
    if (isinstance(function, ast.Attribute) and function.attr in _SYNC + _ASYNC) or _is_chain(source, function):
        return ""
    unseen = f"`fix` cannot tell whether {ast.unparse(function)}() runs a model, or makes something that runs later"
    if isinstance(function, ast.Name) and call.args and not _is_defined(source, function.id):
        return unseen
    raise UnfitError(unseen)


def check_streams(call: ast.Call) -> None:
    """Refuse a call that returns a stream: the wrapped call would end before anything reads the text."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in _STREAMS:
        raise UnfitError(f"{function.attr}() returns a stream: use its text where you read that")


def _is_defined(source: Source, name: str) -> bool:
    """Return whether a name means a function or class of the file, which may do anything with a handler."""
    defined = any(isinstance(each, Function | ast.ClassDef) and each.name == name for each in source.nodes)
    return defined or source.is_imported(name)


def _is_chain(source: Source, node: ast.expr) -> bool:
    """Return whether the callee is a LangChain chain: a variable or attribute that gets one in this file."""
    if isinstance(node, ast.Name):
        value = source.value(node)
        return value is not None and _is_made_of(value, source)
    if not isinstance(node, ast.Attribute):
        return False
    assigned = [each for each in source.nodes if is_assignment(each)]
    stored = [each for each in assigned if ast.unparse(targets_of(each)[0]) == ast.unparse(node)]
    return bool(stored) and all(_is_made_of(value_of(each), source) for each in stored)


def passed(source: Source, run: ast.Call, function: str, operations: Sequence[Operation]) -> tuple[str, list[Operation]]:
    """Return the template that passes a call, in its hole `RUN`, to a callbridge function, and the operations for that.

    The arguments are still evaluated in their place: in the same thread, and before anything runs.

    Args:
        source: The file.
        run: The call.
        function: The function's name, which is imported, too.
        operations: The other operations on the call.

    Raises:
        UnfitError: A name to import means something else in this file.
    """
    span = source.span(run)
    removed = {each.name for each in operations if isinstance(each, RemoveArgument) and each.span == span}
    template, taker, names = "RUN", function, [("callbridge", function)]
    if any(keyword.arg not in removed for keyword in run.keywords):  # our function would take them for options of the stream
        template, taker, names = f"{function}(RUN)", "partial", [*names, ("functools", "partial")]
    done = [*(each for name in names for each in _import(source, *name, run)), PassCall(span, taker)]
    if not _is_method(run) and makes_model(source, run.func) and all(each in ("stop", *removed) for each in _keywords(run)):
        function_span = source.span(run.func)  # calling a model is gone from LangChain 1.0, and does the same
        done.append(ReplaceExpression(function_span, "MODEL.invoke", {"MODEL": function_span}))
    return template, done


def _is_method(run: ast.Call) -> bool:
    """Return whether a call is of a method that runs something, not of a callable attribute."""
    return isinstance(run.func, ast.Attribute) and run.func.attr in _SYNC + _ASYNC


def _keywords(run: ast.Call) -> list[str | None]:
    return [each.arg for each in run.keywords]


def _import(source: Source, module: str, name: str, near: ast.AST) -> Sequence[Operation]:
    added = import_of(source, module, name, near)
    if added is None:
        raise UnfitError(f"this file uses the name {name} for something else")
    return added


def wrap(
    source: Source,
    run: ast.Call,
    variable: str,
    body: str,
    *,
    direct: bool = False,
    operations: Sequence[Operation] = (),
    around: tuple[str, str] = ("", ""),
    more: Mapping[str, Span] = MappingProxyType({}),
    renames: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Operation], bool]:
    """Return the operations that read the text of a call in a loop before the statement that uses its result.

    Also return whether the loop reads the runnable's events instead of making the call.

    Args:
        source: The file.
        run: The call.
        variable: The loop's variable.
        body: The loop's body.
        direct: Read the runnable's events if nothing uses the result of the call.
        operations: The other operations on the call.
        around: Statements before and after the loop, as source.
        more: Names in them, and the nodes of the file for these.
        renames: Replacements for names and attributes in the loop's body and around it.

    Raises:
        UnfitError: Wrapping would change the order of evaluation.
    """
    value: ast.expr = run
    if _is_coroutine(run):
        awaited = source.parents[run]
        if not isinstance(awaited, ast.Await):
            raise UnfitError("the code does not await the call where it makes it")
        value = awaited
    is_async = isinstance(source.scope(run), ast.AsyncFunctionDef)
    statement = statement_of(source, value)
    unused = isinstance(statement, ast.Expr) and statement.value is value
    direct = direct and unused and is_async == _is_coroutine(run) and _is_direct(run)
    prefix = "a" if is_async else ""
    if direct:
        context, done = (
            f"{prefix}stream_events(RUNNABLE, INPUT)",
            [*_import(source, "callbridge", f"{prefix}stream_events", run)],
        )
    else:
        context, done = passed(source, run, f"{prefix}stream_call", operations)
    stream = source.fresh(run, "stream", "text_stream", "event_stream")
    start = "async " if is_async else ""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    template = f"{start}with {context} as {stream}:\n    {start}for {variable} in {stream}.text():\n{lines}\n"
    template = around[0] + template + around[1]
    holes = {"RUNNABLE": source.span(receiver(run)), "INPUT": source.span(run.args[0])} if direct else {"RUN": source.span(run)}
    holes.update(more)
    if not unused:
        template += "STATEMENT\n"
        holes["STATEMENT"] = source.span(statement)
        done.append(ReplaceExpression(source.span(value), f"{stream}.result"))
    return [*done, ReplaceStatement(source.span(statement), template, holes, renames)], direct


def blocking(source: Source, run: ast.Call) -> str:
    """Return what changes if a coroutine makes a call without awaiting it; empty otherwise."""
    blocks = isinstance(source.scope(run), ast.AsyncFunctionDef) and not _is_coroutine(run)
    return _BLOCKED if blocks else ""


def _is_coroutine(run: ast.Call) -> bool:
    return isinstance(run.func, ast.Attribute) and run.func.attr in _ASYNC


def _is_direct(run: ast.Call) -> bool:
    """Return whether a call is `runnable.invoke(x)` and nothing more."""
    if not isinstance(run.func, ast.Attribute) or run.func.attr not in ("invoke", "ainvoke"):
        return False
    names = [keyword.arg for keyword in run.keywords]
    return len(run.args) == 1 and not isinstance(run.args[0], ast.Starred) and not names
