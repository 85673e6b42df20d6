"""What prints besides the text of a call, while it runs: then its lines and the text may change places.

The text is printed by the loop, everything else by the thread or task of the call.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.langchain_names import MANAGERS, is_langchain
from callbridge.migrate.analysis.streaming_models import told
from callbridge.migrate.edits.assignments import is_assignment, value_of
from callbridge.migrate.edits.attachments import Attachment
from callbridge.migrate.edits.models import is_configuring, is_model, parts_of, receiver, values_of
from callbridge.migrate.edits.source import Function, Source, keyword_of

__all__ = ["called", "disorder"]

_SWITCHES = ("set_debug", "set_verbose")
_LOUD = ("debug", "verbose")
_LISTENING = ("with_alisteners", "with_listeners")
_RUNS = ("abatch", "ainvoke", "batch", "invoke")
_PRINTERS = re.compile(r"StdOut|Console|HumanApproval")
"""Handlers of LangChain that print."""

_PRINTING = re.compile(r"(^|\.)(p?print|echo|input)$|\bstd(out|err)\.write$")
"""Functions that print."""


def disorder(source: Source, run: ast.Call, attachment: Attachment) -> str:
    """Return what else may print during a call, as an assumption; empty if nothing does.

    Args:
        source: The file.
        run: The call.
        attachment: Where the handler is attached that is to go; it does not count.
    """
    parts = parts_of(source, receiver(run))
    found = [*_switches(source), *_verbose(source, parts), *_steps(parts), *_others(source, run, parts, attachment)]
    return f"what {found[0]} prints may swap places with the text, which another thread or task prints" if found else ""


def called(node: ast.AST) -> str:
    """Return the name of a called function or method; empty for another node."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


def _switches(source: Source) -> Iterator[str]:
    """Yield what makes LangChain's objects print after they were made: `set_debug(True)`, `chain.verbose = True`."""
    for node in source.nodes:
        if called(node) in _SWITCHES:
            yield f"`{called(node)}`"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in _LOUD:
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            statement = source.parents[node]
            off = is_assignment(statement) and told(value_of(statement), source.value) == "off"
            if not own and not off and (node.attr == "verbose" or is_langchain(source.origin(node.value))):
                yield f"`{source.code(node)}`"


def _verbose(source: Source, parts: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the arguments of chains that make them print."""
    for part in parts:
        if isinstance(part, ast.Dict):  # arguments of an inner chain
            pairs = zip(part.keys, part.values, strict=True)
            given = [(key.value, value) for key, value in pairs if isinstance(key, ast.Constant) and key.value in _LOUD]
        elif isinstance(part, ast.Call) and is_langchain(source.origin(part.func)) and not is_model(source, part):
            given = [(each.arg, each.value) for each in part.keywords if each.arg in _LOUD]
            unseen = [each.value for each in part.keywords if each.arg is None and not _is_shown(source, each.value)]
            yield from (f"`**{source.code(each)}`, if it has `verbose` or handlers," for each in unseen)
        else:
            continue
        yield from (f"`{name}=`" for name, each in given if told(each, source.value) != "off")


def _is_shown(source: Source, node: ast.expr) -> bool:
    """Return whether the file shows all entries of a dict of arguments, and they make nothing print."""
    shown = values_of(source, node) if isinstance(node, ast.Name) else [node]
    if not shown or not all(isinstance(each, ast.Dict) for each in shown):
        return False
    keys = [key for each in shown if isinstance(each, ast.Dict) for key in each.keys]
    return all(isinstance(key, ast.Constant) and key.value not in ("callbacks", *_LOUD) for key in keys)


def _steps(parts: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the functions and parsers of the file that print and that the call runs."""
    for part in parts:
        if isinstance(part, Function | ast.ClassDef | ast.Lambda) and _prints(part):
            yield f"`{getattr(part, 'name', 'lambda')}`"


def _prints(node: ast.AST) -> bool:
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return any(_PRINTING.search(ast.unparse(each)) for each in calls)


def _others(source: Source, run: ast.Call, parts: Sequence[ast.AST], attachment: Attachment) -> Iterator[str]:
    """Yield the other handlers that may print: beside the handler, of the call, and of what it runs."""
    lists: list[ast.expr] = []
    for part in [run, *parts]:
        if called(part) in _LISTENING:
            yield "a listener"
        if isinstance(part, ast.Call) and part not in attachment.calls and (part is run or not _is_own(source, part)):
            lists += [each.value for each in part.keywords if each.arg in ("callbacks", "callback_manager")]
        config = _config_of(part, run)
        lists += _callbacks_in(source, config) if config is not None and part not in attachment.calls else []
    for handler in [*attachment.others, *(each for given in lists for each in _handlers_in(source, given))]:
        if _may_print(source, handler):
            yield f"`{ast.unparse(handler)}`, which is also attached,"


def _is_own(source: Source, call: ast.Call) -> bool:
    """Return whether a call makes something with a function of the file: what that does with handlers is seen there."""
    return isinstance(call.func, ast.Name) and source.origin(call.func) is None


def _config_of(part: ast.AST, run: ast.Call) -> ast.expr | None:
    """Return the config that a call gives to a run, or to a runnable for good."""
    if not isinstance(part, ast.Call):
        return None
    given = keyword_of(part, "config")
    if given is not None:
        return given.value
    place = 1 if part is run and called(run) in _RUNS else 0 if is_configuring(part) else len(part.args)
    return part.args[place] if place < len(part.args) else None


def _callbacks_in(source: Source, config: ast.expr) -> list[ast.expr]:
    """Return the lists of handlers in a config; the config itself if the file does not show it."""
    shown = values_of(source, config) if isinstance(config, ast.Name) else [config]
    found: list[ast.expr] = []
    for each in shown or [config]:
        if isinstance(each, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in each.keys]
            found += [value for key, value in zip(keys, each.values, strict=True) if key in ("callbacks", None)]
        elif isinstance(each, ast.Call) and called(each) in ("RunnableConfig", "dict") and not each.args:
            found += [entry.value for entry in each.keywords if entry.arg in ("callbacks", None)]
        elif not isinstance(each, ast.Constant):
            found.append(each)
    return found


def _handlers_in(source: Source, given: ast.expr) -> list[ast.expr]:
    """Return the handlers of `callbacks=`; the expression itself if the file does not show them."""
    values = values_of(source, given) if isinstance(given, ast.Name) else [given]
    found: list[ast.expr] = []
    for value in values or [given]:
        if isinstance(value, ast.Call) and called(value) in MANAGERS and len(value.args) == 1 and not value.keywords:
            found += _handlers_in(source, value.args[0])
        elif isinstance(value, ast.List):
            found += value.elts
        elif not isinstance(value, ast.Constant):
            found.append(given)
    return found


def _may_print(source: Source, handler: ast.expr) -> bool:
    made = source.value(handler) if isinstance(handler, ast.Name) else handler
    if not isinstance(made, ast.Call):
        return True
    origin = source.origin(made.func)
    if origin is not None:
        return not is_langchain(origin) or _PRINTERS.search(origin) is not None
    own = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name == called(made)]
    return not own or any(_prints(each) or _inherits_printing(source, each) for each in own)


def _inherits_printing(source: Source, holder: ast.ClassDef) -> bool:
    origins = [source.origin(base) or "" for base in holder.bases]
    return any(not is_langchain(each) or _PRINTERS.search(each) for each in origins)
