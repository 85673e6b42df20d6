"""CB304, CB306, CB307, CB310, CB401: moves the code of a project's handler into a loop over the call's text.

The handler's statements go into the loop, its attributes become variables, and the handler goes. One thing changes: the loop
raises an error of these statements, while LangChain only logged it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from callbridge.migrate.edits.answers import Answer
from callbridge.migrate.edits.assignments import Assignment, is_assignment, value_of
from callbridge.migrate.edits.attachments import Attachment
from callbridge.migrate.edits.heard_calls import Run, guarded, heard_runs, kept, with_twins
from callbridge.migrate.edits.imports import import_of
from callbridge.migrate.edits.loop_bodies import Consumer, Field, begun_by, is_guard, read_consumer
from callbridge.migrate.edits.models import ends_with, is_chat_model, is_model, receiver, run_models, runs_one, steps_of
from callbridge.migrate.edits.operations import (
    Change,
    Operation,
    Refusal,
    RemoveStatement,
    ReplaceExpression,
    ReplaceStatement,
)
from callbridge.migrate.edits.queues import queue_handlers
from callbridge.migrate.edits.source import Source, Span
from callbridge.migrate.edits.unfit import UnfitError
from callbridge.migrate.edits.wrapping import wrap

__all__ = ["plan"]

_OF_TEXT = ("capitalize", "lower", "lstrip", "replace", "rstrip", "strip", "swapcase", "title", "upper")
_REPEATING = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_QUEUES = frozenset({"process-queue", "thread-queue"})
_UNPRINTED = "nothing was printed before, and all of the text will be now"
_UNSHOWN = "nothing was shown before, and all of the text will be now"
_RAISED = "an error in handling a token was only logged before, and ends the call now"
_OTHER_PRINT = "`print` is not the builtin: its errors were only logged before, and the loop raises them now"
_ONCE = "it acted whenever a model started or ended, and acts once for the call now"
_ANEW = "what it keeps between tokens lasted from one call to the next, and starts afresh with each call now"
_MADE = "what making the handler does was done for each model, and is done once now, right before the call"
_EMPTY = "it also got tokens without text before, which the loop leaves out"
_LOOP = "its hook ran in a thread before, and runs in the event loop now"
_CONTEXT = "the call runs in a thread without Streamlit's script context, in case something in it needs that"


def plan(source: Source, level: int, *, unsafe: bool = False) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the project's token handlers. Both levels wrap the call."""
    queues = queue_handlers(source)
    for call in source.calls():
        handler = source.handler_class(call)
        if handler is None or handler.role != "token" or handler.base not in (None, "stdout"):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in queues:
            continue  # CB302 reports it
        sinks = set(handler.sinks)
        rule = "CB303" if "async-queue" in sinks else "CB302" if sinks & _QUEUES else "CB401"
        try:
            consumer = read_consumer(handler)
            rule = consumer.rule
            yield _Inlining(source, call, consumer).change()
        except UnfitError as unfit:
            yield Refusal(rule, source.span(call), str(unfit))


class _Setup(NamedTuple):
    """A variable that replaces an attribute: its name, and its first value as a template with holes."""

    name: str
    template: str
    holes: Mapping[str, Span]


class _Inlining:
    """One handler object, its class as statements, and the calls that it hears."""

    def __init__(self, source: Source, made: ast.Call, consumer: Consumer) -> None:
        self._source = source
        self._made = made
        self._consumer = consumer
        self._renames: dict[str, str] = {}
        self._setup: list[_Setup] = []
        self._operations: list[Operation] = []
        self._reasons: list[str] = []
        self._in_front = ""
        self._holes: Mapping[str, Span] = {}
        self._anew = False

    def change(self) -> Change:
        source, consumer = self._source, self._consumer
        single, statement, reads = kept(source, self._made)
        attachment = with_twins(source, self._made, single)
        twins = attachment is not single
        runs, reasons = heard_runs(source, attachment, _UNPRINTED if consumer.sink == "print" else _UNSHOWN)
        calls = [each.call for each in runs]
        apart = self._stateful and (twins or self._is_apart(statement, calls))
        self._anew = apart or twins
        if twins and self._stateful and not all(runs_one(source, run) for run in calls):
            raise UnfitError("several models of one call have such a handler, and each handler keeps a text of its own")
        if self._anew and reads:
            raise UnfitError("it keeps something between tokens that other code reads than the code around the call")
        self._reasons = [*reasons, *(each for run in runs for each in self._assumed(run))]
        self._reasons.append(_ANEW if apart and not self._is_made_once(calls) else "")
        self._reasons.append(_MADE if twins and any(each.acts for each in consumer.fields.values()) else "")
        self._name_fields(calls)
        self._replace_uses(reads)
        self._place_setup(statement, calls)
        for call in calls:
            self._wrap(attachment, call)
        self._operations += attachment.operations
        if attachment.condition is not None and (consumer.before or consumer.after):
            raise UnfitError("a condition decides whether it is attached, and it does something when a model starts or ends")
        orphans = tuple(sorted({*attachment.names, *(node.id for node in ast.walk(self._made) if isinstance(node, ast.Name))}))
        message = "do what the handler did in a loop over the text of the wrapped call"
        reason = "; ".join(sorted({*self._reasons} - {""}))
        place, operations = source.span(self._made), tuple(self._operations)
        return Change(consumer.rule, place, message, operations, reason, orphans, attachment.places)

    @property
    def _stateful(self) -> bool:
        return any(each.changes for each in self._consumer.fields.values())

    def _is_apart(self, statement: Assignment | None, runs: Sequence[ast.Call]) -> bool:
        """Return whether another function than that of its calls makes the handler, or one handler may serve several calls."""
        source, made = self._source, self._made
        if any(source.scope(run) is not source.scope(made) for run in runs):
            return True
        if statement is not None or any(source.statement(run) is source.statement(made) for run in runs):
            return False
        block = source.block(source.statement(made))
        return any(source.block(source.statement(run)) is not block for run in runs)

    def _is_made_once(self, runs: Sequence[ast.Call]) -> bool:
        """Return whether there is one call, which runs at most once for each handler."""
        source, made = self._source, self._made
        if len(runs) != 1 or source.scope(runs[0]) is not source.scope(made):
            return False
        around = set(source.ancestors(made))
        return not any(isinstance(each, _REPEATING) and each not in around for each in source.ancestors(runs[0]))

    def _assumed(self, heard: Run) -> Iterator[str]:
        """Return what changes when the statements move into a loop."""
        run = heard.call
        consumer, is_async = self._consumer, isinstance(self._source.parents[run], ast.Await)
        if consumer.awaits and not isinstance(self._source.scope(run), ast.AsyncFunctionDef):
            raise UnfitError("its hook awaits, but the call is not in an `async def`")
        if (consumer.before or consumer.after) and not self._is_exact(heard):
            yield _ONCE
        if "print" in consumer.names and not self._source.is_builtin("print", run):
            yield _OTHER_PRINT
        if consumer.sink in ("socket", "other") or consumer.raises:
            yield _RAISED
        if consumer.sink == "streamlit" and not run_models(self._source, run).complete:
            yield _CONTEXT
        idle = _is_idle_without_text(consumer)
        if is_async and not consumer.is_async and (not idle or consumer.sink not in ("print", None)):
            yield _LOOP
        if not idle:
            yield _EMPTY

    def _is_exact(self, heard: Run) -> bool:
        """Return whether code around the call has the same effect as code at the start and end of its model."""
        hooks, model = self._consumer.handler.hooks, heard.attached
        if not is_model(self._source, model) or not ends_with(self._source, heard.call, model):
            return False
        if "on_chat_model_start" in hooks and not is_chat_model(self._source, model):
            return False
        starts = [hook for hook in self._consumer.hooks if hook.name.endswith("_start")]
        return steps_of(self._source, receiver(heard.call)) == [model] or all(
            _is_quiet(each) for hook in starts for each in hook.body
        )

    # -- attributes

    def _name_fields(self, runs: Sequence[ast.Call]) -> None:
        """Choose a replacement for each attribute: its argument, or a new variable."""
        arguments = self._arguments()
        assigned = begun_by(self._consumer.hooks)
        for name, each in self._consumer.fields.items():
            if each.acts and (not each.used or name in assigned):
                self._setup.append(self._initial("", each, arguments, runs))
            if not each.used:
                continue
            given = arguments.get(each.parameter) if each.parameter else None
            replaces = isinstance(given, ast.expr) and not each.changes and self._are_stable(given, runs)
            if isinstance(given, ast.expr) and replaces and not (_is_text(given) and self._is_formatted(name)):
                self._renames[f"self.{name}"] = self._source.code(given)
                continue
            variable = self._free(name.lstrip("_") or "value", runs)
            self._renames[f"self.{name}"] = variable
            if name not in assigned:
                self._setup.append(self._initial(variable, each, arguments, runs))
        for name in sorted(self._consumer.locals):
            self._renames[name] = self._free(name, runs)
        self._check_dropped(arguments)

    def _is_formatted(self, name: str) -> bool:
        """Return whether an f-string reads an attribute: before CPython 3.12 it cannot hold a string with its own quotes."""
        texts = [node for each in (self._source.tree, *self._consumer.hooks) for node in ast.walk(each)]
        inside = [part for node in texts if isinstance(node, ast.JoinedStr) for part in ast.walk(node)]
        return any(isinstance(each, ast.Attribute) and each.attr == name for each in inside)

    def _check_dropped(self, arguments: Mapping[str, ast.expr | str]) -> None:
        """Refuse if computing an argument of the handler has an effect, and no code would compute it any more."""
        read = {
            node.id for each in self._consumer.fields.values() for node in ast.walk(each.value) if isinstance(node, ast.Name)
        }
        for name, given in arguments.items():
            if isinstance(given, ast.expr) and name not in read and any(isinstance(node, ast.Call) for node in ast.walk(given)):
                raise UnfitError(
                    f"its hook does not use {name}, so the edit would drop `{self._source.code(given)}`: call that before"
                )

    def _free(self, wanted: str, runs: Sequence[ast.Call]) -> str:
        taken = {*self._renames.values(), *(f"self.{each}" for each in self._renames)}
        names = [wanted, f"streamed_{wanted}", *(f"{wanted}_{number}" for number in range(2, 100))]
        free = (name for name in names if all(self._source.fresh(run, name) == name for run in runs))
        return next(name for name in free if name not in taken)

    def _arguments(self) -> dict[str, ast.expr | str]:
        """Return the arguments of the handler's constructor; for a missing one, the source of its default."""
        parameters, call = list(self._consumer.parameters), self._made
        if any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords):
            raise UnfitError("the handler is made with `*` or `**` arguments")
        if len(call.args) > len(parameters) or any(each.arg not in parameters for each in call.keywords):
            raise UnfitError("the handler is made with arguments that its class does not take")
        found: dict[str, ast.expr | str] = dict(zip(parameters, call.args, strict=False))
        found.update({each.arg: each.value for each in call.keywords if each.arg is not None})
        for name, default in self._consumer.parameters.items():
            if name not in found:
                if not isinstance(default, ast.Constant):
                    raise UnfitError(f"this file does not show the handler's {name}")
                found[name] = ast.unparse(default)
        return found

    def _are_stable(self, node: ast.expr, runs: Sequence[ast.Call]) -> bool:
        return all(self._is_stable(node, run) for run in runs)

    def _is_stable(self, node: ast.expr, run: ast.Call) -> bool:
        """Return whether an expression means the same at the call: a name that is assigned once, or a constant."""
        if isinstance(node, ast.Constant):
            return not isinstance(node.value, str) or len(node.value) < 20
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name):
            return False
        return self._source.is_same(node, run)

    def _initial(self, variable: str, each: Field, arguments: Mapping[str, ast.expr | str], runs: Sequence[ast.Call]) -> _Setup:
        """Return the first value of a variable: the attribute's value in a new handler."""
        holes: dict[str, Span] = {}
        value = ast.parse(ast.unparse(each.value), mode="eval").body
        for node in ast.walk(value):
            if isinstance(node, ast.Name) and node.id in self._consumer.parameters:
                given = arguments[node.id]
                if isinstance(given, str):
                    node.id = given
                elif self._anew:
                    if not self._are_stable(given, runs):
                        raise UnfitError("the handler is made elsewhere, and its arguments may be different at the call")
                    node.id = self._source.code(given)
                else:
                    hole = f"ARGUMENT_{list(self._consumer.parameters).index(node.id)}"
                    holes[hole] = self._source.span(given)
                    node.id = hole
            elif isinstance(node, ast.Name):
                for place in runs if self._anew else [self._made]:
                    self._need(node.id, place)
        if len(set(holes.values())) < len(holes):
            raise UnfitError("the handler gets the same argument twice")
        made = _quoted(ast.unparse(value))
        return _Setup(variable, f"{variable} = {made}" if variable else made, holes)

    def _replace_uses(self, uses: Sequence[ast.Attribute]) -> None:
        """Replace reads of the handler's attributes by the variables, and calls of its methods by what these return."""
        for use in uses:
            if use.attr in self._consumer.answers:
                self._replace_answer(use, self._consumer.answers[use.attr])
                continue
            known = self._renames.get(f"self.{use.attr}")
            if known is None or not isinstance(use.ctx, ast.Load):
                raise UnfitError(f"code outside the handler uses its {use.attr}")
            self._operations.append(ReplaceExpression(self._source.span(use), known))

    def _replace_answer(self, use: ast.Attribute, answer: Answer) -> None:
        """Replace a method of the handler, or its call, by the expression that it returns."""
        call = self._source.parents[use]
        whole: ast.expr | None = use if answer.is_property else None
        if whole is None and isinstance(call, ast.Call) and call.func is use and not (call.args or call.keywords):
            whole = call
        if whole is None or not isinstance(use.ctx, ast.Load):
            raise UnfitError(f"code outside the handler uses its {use.attr}")
        if unknown := [each for each in answer.reads if f"self.{each}" not in self._renames]:
            raise UnfitError(f"code outside the handler uses its {use.attr}, which reads self.{unknown[0]}: its hook does not")
        for name in answer.names:
            self._need(name, use)
        around = self._source.parents[whole]
        alone = isinstance(around, ast.Return | ast.Assign | ast.Expr | ast.keyword | ast.Call)
        alone = alone and not (isinstance(around, ast.Call) and around.func is whole)
        self._operations.append(ReplaceExpression(self._source.span(whole), answer.code(self._renames, alone=alone)))

    def _place_setup(self, kept_in: Assignment | None, runs: Sequence[ast.Call]) -> None:
        """Define the variables where the code made the handler, or before the one call that the handler was for."""
        source = self._source
        statement = source.statement(self._made)
        template = "".join(f"{each.template}\n" for each in self._setup)
        holes = {name: span for each in self._setup for name, span in each.holes.items()}
        if self._anew:
            self._in_front = template
            self._operations += [RemoveStatement(source.span(kept_in))] if kept_in is not None else []
        elif kept_in is not None:
            span = source.span(statement)
            self._operations.append(ReplaceStatement(span, template, holes) if template else RemoveStatement(span))
        elif template and any(source.statement(run) is statement for run in runs):
            if holes and any(_acts(each, self._made) for run in runs for each in [*run.args, *run.keywords]):
                raise UnfitError("the handler is made inside the call, between its arguments: assign it to a variable first")
            self._in_front, self._holes = template, holes
        elif template:
            whole = {**holes, "STATEMENT": source.span(statement)}
            self._operations.append(ReplaceStatement(source.span(statement), f"{template}STATEMENT\n", whole))

    # -- the call

    def _wrap(self, attachment: Attachment, run: ast.Call) -> None:
        source, consumer = self._source, self._consumer
        variable = source.fresh(run, consumer.token, "piece", "token_text")
        renames = {**self._renames, **({consumer.token: variable} if variable != consumer.token else {})}
        for name in consumer.names:
            self._need(name, run)
        done, _ = wrap(
            source,
            run,
            variable,
            guarded(source, attachment, run, consumer.body, {consumer.token, *consumer.locals}),
            operations=attachment.operations,
            around=(self._in_front + _lines(consumer.before), _lines(consumer.after)),
            more=self._holes,
            renames=renames,
        )
        self._operations += done

    def _need(self, name: str, place: ast.AST) -> None:
        """Make sure that a name of the handler's file means the same at a place in this file."""
        source, module = self._source, self._consumer.handler.module
        origin = module.imports.get(name)
        local = module.definition(name, module.tree) is not None or module.binding(name, module.tree) is not None
        if module.text == source.text:
            if source.scopes.home_of(name, place) is not source.tree:
                raise UnfitError(f"the name {name} means something else where the call is")
            return
        if origin is None and not local:  # a builtin
            if not source.is_builtin(name, place):
                raise UnfitError(f"the name {name} means something else where the call is")
            return
        known = source.origin(ast.Name(name, ast.Load())) if name not in source.bound_here else None
        if origin is not None and known == origin:
            return
        owner, _, attribute = (origin or f"{module.name}.{name}").rpartition(".")
        if local or not owner or attribute != name or owner.startswith("."):
            raise UnfitError(f"the handler uses {name} of its own file: import it here first")
        added = import_of(source, owner, name, place)
        if added is None:
            raise UnfitError(f"the name {name} means something else where the call is")
        self._operations += added


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_quiet(node: ast.stmt) -> bool:
    """Return whether the time of a statement has no effect: it stores a constant, or an empty place in the page."""
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return True
    if not is_assignment(node):
        return False
    value = value_of(node)
    return isinstance(value, ast.Constant) or ast.unparse(value) in ("[]", "{}", "st.empty()", "streamlit.empty()")


def _acts(argument: ast.AST, made: ast.Call) -> bool:
    """Return whether the value of an argument may depend on the time of its evaluation. The handler itself does not count."""
    if any(node is made for node in ast.walk(argument)):
        return False
    return any(isinstance(node, ast.Call | ast.Await | ast.NamedExpr) for node in ast.walk(argument))


def _lines(code: str) -> str:
    return f"{code}\n" if code else ""


def _quoted(code: str) -> str:
    """Return source with its one empty or simple string in double quotes, the usual style."""
    return code.replace("'", '"') if code.count("'") == 2 and '"' not in code else code


def _is_idle_without_text(consumer: Consumer) -> bool:
    """Return whether an empty token changes nothing: the code adds it, prints it without a line end, or tests it first."""
    hook = consumer.handler.token_hook
    for each in hook.body if hook is not None else ():
        if isinstance(each, ast.Return) or is_guard(each, consumer.token):
            return True
        if not (isinstance(each, ast.Pass) or _is_idle(each, consumer)):
            return False
    return True


def _is_idle(node: ast.stmt, consumer: Consumer) -> bool:
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ast.Add) and isinstance(node.value, ast.Name) and node.value.id == consumer.token
    if isinstance(node, ast.If) and not node.orelse:
        return isinstance(node.test, ast.Name) and node.test.id == consumer.token
    if isinstance(node, ast.Assign):
        return ast.unparse(node.value) == f"{ast.unparse(node.targets[0])} + {consumer.token}"
    if not isinstance(node, ast.Expr):
        return False
    call = node.value
    if isinstance(call, ast.Constant):
        return True
    if not isinstance(call, ast.Call):
        return False
    texts = [_is_empty_without_text(each, consumer.token) for each in call.args]
    if ast.unparse(call.func) == "print":
        ends = [each.value for each in call.keywords if each.arg == "end"]
        return texts == [True] and len(ends) == 1 and isinstance(ends[0], ast.Constant) and ends[0].value == ""
    if ast.unparse(call.func) in ("sys.stdout.write", "sys.stdout.flush"):
        return all(texts)
    read = {each.id for each in ast.walk(call) if isinstance(each, ast.Name)}
    return consumer.sink == "streamlit" and consumer.token not in read


def _is_empty_without_text(node: ast.expr, token: str) -> bool:
    """Return whether an expression is an empty text if the token is empty."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _OF_TEXT and _is_empty_without_text(node.func.value, token)
    if isinstance(node, ast.JoinedStr):
        return all(isinstance(each, ast.FormattedValue) and _is_empty_without_text(each.value, token) for each in node.values)
    return isinstance(node, ast.Name) and node.id == token
