"""CB305, CB306: handlers that print tokens, to a loop that prints the text of the wrapped call.

```
llm = ChatOpenAI(callbacks=[StreamingStdOutCallbackHandler()])      llm = ChatOpenAI()
answer = LLMChain(llm=llm, prompt=prompt).run(topic)          →     with stream_call(….run, topic) as stream:
                                                                        for token in stream.text():
                                                                            print(token, end="", flush=True)
                                                                    answer = stream.result
```
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from callbridge.migrate.analysis.known import is_langchain
from callbridge.migrate.analysis.streaming import may_stream
from callbridge.migrate.edits.attachments import Attachment, attachment_of
from callbridge.migrate.edits.models import hearing, is_model, run_models
from callbridge.migrate.edits.operations import Change, Operation, Refusal, RemoveStatement
from callbridge.migrate.edits.source import Function, Source
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import runs_of, wrap

__all__ = ["plan"]

_PRINTERS = ("print", "sys.stdout.write", "sys.stdout.flush")
_PRINT = 'print({token}, end="", flush=True)'
_BASES = ("BaseCallbackHandler", "StreamingStdOutCallbackHandler", "AsyncCallbackHandler")


class _Sink(NamedTuple):
    """What a handler does with a token: the name it gives it, and the statements."""

    rule: str
    variable: str
    body: str


def plan(source: Source, level: int) -> Iterator[Change | Refusal]:
    """Return what can be done about the printing handlers of a file."""
    for call in source.calls():
        sink = _sink(source, call)
        if sink is None:
            continue
        try:
            yield _change(source, call, sink, level)
        except UnfitError as unfit:
            yield Refusal(sink.rule, source.span(call), str(unfit))


def _change(source: Source, made: ast.Call, sink: _Sink, level: int) -> Change:
    attachment, removal = _attachment(source, made)
    if is_model(source, attachment.call):
        runs = runs_of(source, attachment.call)
    elif isinstance(attachment.call.func, ast.Attribute) or not is_langchain(source.origin(attachment.call.func)):
        runs = [attachment.call]
    else:
        raise UnfitError("the handler is attached to a chain, an agent or a tool, whose models may not be the only ones")
    operations: list[Operation] = [*removal, *attachment.operations]
    reasons: list[str] = []
    for run in runs:
        possible, reason = hearing(source, attachment.call, run)
        if not possible:
            raise UnfitError(reason)
        reasons += [reason, _silence(source, run)]
        variable = source.fresh(run, sink.variable, "piece")
        body = sink.body if variable == sink.variable else _PRINT.format(token=variable)
        if variable != sink.variable and sink.rule == "CB306":
            raise UnfitError(f"the name {sink.variable} of its token means something else where the model is run")
        operations += wrap(source, run, variable, body, level=level, operations=attachment.operations)
    if len({source.statement(run) for run in runs}) < len(runs):
        raise UnfitError("one statement runs the model twice")
    orphans = tuple(node.id for node in ast.walk(made.func) if isinstance(node, ast.Name))
    message = "print the text of the wrapped call in place of the handler"
    return Change(
        sink.rule,
        source.span(made),
        message,
        tuple(operations),
        "; ".join(sorted({*reasons} - {""})),
        orphans,
        attachment.places,
    )


def _silence(source: Source, run: ast.Call) -> str:
    """Return which model of a call has not streamed, so that nothing was printed; empty if each may have."""
    for each in sorted(run_models(source, run).found, key=source.span):
        name = (source.origin(each.func) or "").rpartition(".")[2]
        if not may_stream(name, each):
            return f"{name} has no `streaming=True`: nothing was printed so far, and all of the text will be"
    return ""


def _attachment(source: Source, made: ast.Call) -> tuple[Attachment, tuple[Operation, ...]]:
    """Return the one place where a handler is attached, and what removes the variable that it is kept in."""
    statement = source.parents[made]
    if not isinstance(statement, ast.Assign):
        return attachment_of(source, made), ()
    target, scope = statement.targets[0], source.scope(statement)
    if not isinstance(target, ast.Name) or source.assignment(target.id, scope) is not statement:
        raise UnfitError("the handler is not kept in a variable of its own")
    if isinstance(scope, ast.Module) and source.is_exported(target.id):
        raise UnfitError(f"{target.id} is used in other files as well")
    uses = [use for use in source.uses(target.id, scope) if isinstance(use.ctx, ast.Load)]
    if len(uses) != 1:
        raise UnfitError(f"{target.id} is used {len(uses)} times, and once, in `callbacks`, is expected")
    return attachment_of(source, uses[0]), (RemoveStatement(source.span(statement)),)


def _sink(source: Source, call: ast.Call) -> _Sink | None:
    """Return what the handler that a call makes prints, or None if it makes none that only prints."""
    origin = source.origin(call.func)
    if is_langchain(origin) and origin.endswith(".StreamingStdOutCallbackHandler"):
        return None if call.args or call.keywords else _Sink("CB305", "token", _PRINT.format(token="token"))
    if isinstance(call.func, ast.Name) and not call.args and not call.keywords:
        classes = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name == call.func.id]
        if len(classes) == 1:
            return _printer(source, classes[0])
    return None


def _printer(source: Source, node: ast.ClassDef) -> _Sink | None:
    """Return what a class prints for each token, if that is all it does."""
    origins = [origin for base in node.bases if is_langchain(origin := source.origin(base))]
    if not any(origin.rpartition(".")[2] in _BASES for origin in origins):
        return None
    hooks = {each.name: each for each in node.body if isinstance(each, Function)}
    others = [each for each in node.body if not isinstance(each, Function) and not _is_nothing(each)]
    hook = hooks.pop("on_llm_new_token", None)
    if hook is None or others or node.decorator_list or not all(map(_does_nothing, hooks.values())):
        return None
    parameters = [argument.arg for argument in hook.args.args]
    body = [each for each in hook.body if not _is_nothing(each)]
    if len(parameters) < 2 or not body or body[0].lineno == hook.lineno or not all(_prints(source, each) for each in body):
        return None
    unwanted = {*parameters, *(each.arg for each in hook.args.kwonlyargs)} - {parameters[1]}
    unwanted |= {each.arg for each in (hook.args.vararg, hook.args.kwarg) if each}
    if any(isinstance(each, ast.Name) and each.id in unwanted for statement in body for each in ast.walk(statement)):
        return None
    lines = [source.line(number) for number in range(body[0].lineno, (body[-1].end_lineno or 0) + 1)]
    return _Sink("CB306", parameters[1], textwrap.dedent("".join(lines)).strip())


def _prints(source: Source, node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    name = ast.unparse(node.value.func)
    return name in _PRINTERS and (name == "print" or source.origin(node.value.func) == name)


def _does_nothing(function: Function) -> bool:
    return all(_is_nothing(node) for node in function.body)


def _is_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
