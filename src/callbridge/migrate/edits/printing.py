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
from callbridge.migrate.edits.assumed import disorder, silence
from callbridge.migrate.edits.attachments import Attachment, attachment_of
from callbridge.migrate.edits.events_loop import direct
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.models import hearing, is_model
from callbridge.migrate.edits.operations import Change, Operation, Refusal, RemoveStatement
from callbridge.migrate.edits.source import Function, Source
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import check_run, runs_of, wrap

__all__ = ["plan"]

_PRINTERS = ("print", "sys.stdout.write", "sys.stdout.flush")
_PRINT = 'print({token}, end="", flush=True)'
_WRITE = "sys.stdout.write({token})\nsys.stdout.flush()"
_UNPRINTED = "nothing was printed so far, and all of the text will be"
_OTHER_PRINT = "`print` is not the builtin one: an error that it raises was logged so far, and is raised in the loop"
_BASES = ("BaseCallbackHandler", "StreamingStdOutCallbackHandler", "AsyncCallbackHandler")


class _Sink(NamedTuple):
    """What a handler does with a token: the name it gives it, and the statements, which stand in `hook` now."""

    rule: str
    variable: str
    body: str
    hook: Function | None = None


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return what can be done about the printing handlers of a file; level 2 only where it is the same, or `unsafe`."""
    for call in source.calls():
        sink = _sink(source, call)
        if sink is None:
            continue
        try:
            yield _change(source, call, sink, level, unsafe=unsafe)
        except UnfitError as unfit:
            yield Refusal(sink.rule, source.span(call), str(unfit))


def _change(source: Source, made: ast.Call, sink: _Sink, level: int, *, unsafe: bool) -> Change:
    attachment, removal = _attachment(source, made)
    seen = ""
    if is_model(source, attachment.call):
        runs = runs_of(source, attachment.call)
    else:
        seen = check_run(source, attachment.call)
        runs = [attachment.call]
    operations: list[Operation] = [*removal, *attachment.operations]
    reasons = [seen]
    for run in runs:
        possible, reason = hearing(source, attachment.call, run)
        if not possible:
            raise UnfitError(reason)
        reasons += [reason, silence(source, attachment.call, run, _UNPRINTED), disorder(source, run)]
        variable = source.fresh(run, sink.variable, "piece")
        body, added, other = _printing(source, run, sink, variable)
        reasons.append(other)
        operations += added
        assumed = direct(source, run) if level == 2 else None
        is_direct = assumed == "" or (bool(assumed) and unsafe)
        done, read = wrap(source, run, variable, body, direct=is_direct, operations=attachment.operations)
        operations += done
        reasons.append(assumed or "" if read else "")
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


def _printing(source: Source, run: ast.Call, sink: _Sink, variable: str) -> tuple[str, list[Operation], str]:
    """Return what prints a token where the call is, what has to be imported for it, and what that assumes."""
    if sink.hook is not None:
        _check_names(source, run, sink, variable)
        other = any(use.id == "print" and not source.is_builtin("print", use) for use in _names(sink.hook))
        return sink.body, [], _OTHER_PRINT if other else ""
    if source.is_builtin("print", run):
        return _PRINT.format(token=variable), [], ""
    added = import_of(source, "sys", "", run)
    if added is None:
        raise UnfitError("the names print and sys mean something else here")
    return _WRITE.format(token=variable), list(added), ""


def _check_names(source: Source, run: ast.Call, sink: _Sink, variable: str) -> None:
    """Refuse if a name in the handler's own statements would stand for something else where the call is."""
    if variable != sink.variable:
        raise UnfitError(f"the name {sink.variable} of its token means something else where the model is run")
    for use in _names(sink.hook) if sink.hook is not None else ():
        home = source.scopes.home(use)
        if home is source.tree and source.scopes.home_of(use.id, run) is not source.tree:
            raise UnfitError(f"the name {use.id} means something else where the model is run")


def _names(hook: Function) -> list[ast.Name]:
    return [node for statement in hook.body for node in ast.walk(statement) if isinstance(node, ast.Name)]


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
    return _Sink("CB306", parameters[1], textwrap.dedent("".join(lines)).strip(), hook)


def _prints(source: Source, node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    name = ast.unparse(node.value.func)
    return name in _PRINTERS and (name == "print" or source.origin(node.value.func) == name)


def _does_nothing(function: Function) -> bool:
    return all(_is_nothing(node) for node in function.body)


def _is_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
