"""Attach sites: every place that passes handlers to LangChain, with the handlers resolved."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from callbridge.migrate.analysis.handlers import HandlerClass, find_handler, has_hook
from callbridge.migrate.analysis.langchain_names import (
    BASES,
    CALL_METHODS,
    MANAGERS,
    Role,
    builtin_role,
    is_langchain,
    is_other_callbacks,
    is_producer_name,
    owner_of,
)
from callbridge.migrate.analysis.module import Module, called_name, dotted_text, walk
from callbridge.migrate.analysis.project import Project
from callbridge.migrate.words import words

__all__ = ["Attachment", "Origin", "Style", "Use", "attachments", "uses", "walk_values"]

Style: TypeAlias = Literal["constructor", "factory", "call", "config", "attribute", "manager"]
"""How handlers are attached: in a constructor, through a function of the project, for one call, in a config, by assigning an
attribute, by changing a manager."""

Origin: TypeAlias = Literal["here", "scope", "module", "attribute", "elsewhere", "parameter"]
"""Where the handler object comes from, as seen from the attach site."""

_DEPTH = 8
_KEYWORDS = frozenset({"callbacks", "callback_manager"})
_CONFIG_CALLS = frozenset({"with_config", "RunnableConfig", "ensure_config", "merge_configs", "patch_config"})
_FOREIGN_METHODS = words("fit fit_generator train optimize evaluate learn partial_fit minimize tune search objective")
_UNCLEAR_METHODS = words("run apply batch generate stream iter transform plan")
_OBSERVING_NAME = re.compile(
    r"langfuse|langsmith|trac(e|ing)|cost|usage|logg?(er|ing)?(_|$)|monitor|audit|metric|telemetry|wandb|mlflow", re.I
)
_HANDLER_NAME = re.compile(r"handler|callback|_cb|cb_|^cb$|stream|tracer", re.I)


@dataclass(frozen=True, eq=False)
class Use:
    """One handler at an attach site.

    Attributes:
        node: The expression at the site.
        made: The expression that makes the handler, if the scan found it.
        dotted: The class, resolved, or `?`.
        role: What the handler is for.
        origin: Where it comes from.
        known: The class, if the project defines it.
    """

    node: ast.expr
    made: ast.expr | None
    dotted: str
    role: Role
    origin: Origin
    known: HandlerClass | None = None

    @property
    def streams(self) -> bool:
        """Whether it shows tokens or steps to a user."""
        return self.role not in ("observer", "unknown")


@dataclass(frozen=True, eq=False)
class Attachment:
    """One place where handlers are attached.

    Attributes:
        place: The node to point at: the keyword, the dict entry's value, the statement.
        value: The expression that holds the handlers.
        style: How they are attached.
        keyword: `callbacks` or `callback_manager`.
        callee: The called name, resolved or as written; for an attribute, the target.
        owner: For a constructor, the kind of object that it makes.
        handlers: The handlers that the scan found.
        call: The call, if it is one.
        passed: Whether the code only passes on a parameter or an attribute.
    """

    place: ast.AST
    value: ast.expr
    style: Style
    keyword: str
    callee: str
    owner: str
    handlers: tuple[Use, ...]
    call: ast.Call | None = None
    passed: bool = False

    @property
    def streaming(self) -> list[Use]:
        """The handlers that show tokens or steps."""
        return [use for use in self.handlers if use.streams]

    @property
    def unresolved(self) -> list[Use]:
        """The handlers whose class the scan did not find."""
        return [use for use in self.handlers if use.role == "unknown"]


def attachments(module: Module, project: Project) -> Iterator[Attachment]:
    """Yield all attach sites of a file, except those of other libraries."""
    for call in module.of(ast.Call):
        yield from _of_call(call, module, project)
    for assign in module.of(ast.Assign):
        yield from _of_assignment(assign, module, project)
    for display in module.of(ast.Dict):
        yield from _of_dict(display, module, project)


def _of_call(call: ast.Call, module: Module, project: Project) -> Iterator[Attachment]:
    name = called_name(call)
    if name in ("add_handler", "set_handler", "set_handlers") and isinstance(call.func, ast.Attribute) and call.args:
        handlers = uses(call.args[0], module, project)
        receiver = dotted_text(call.func.value)
        on_manager = (
            "callback" in receiver.lower() and _imports_langchain(module) and not _is_inner_manager(call.func.value, module)
        )
        if receiver != "self" and (
            on_manager or (any(use.streams or use.known for use in handlers) and "callbacks" not in receiver)
        ):
            yield Attachment(call, call.args[0], "manager", "callbacks", dotted_text(call.func), "unknown", handlers, call)
        return
    for keyword in call.keywords:
        if keyword.arg in _KEYWORDS and not _is_nothing(keyword.value):
            found = _of_keyword(call, keyword, module, project)
            if found is not None:
                yield found


def _of_keyword(call: ast.Call, keyword: ast.keyword, module: Module, project: Project) -> Attachment | None:
    callee = module.resolve(call.func)
    handlers = uses(keyword.value, module, project)
    if not _is_ours(call, callee, keyword.value, handlers, module, project):
        return None
    name = called_name(call)
    style: Style = "config" if name in _CONFIG_CALLS or name == "dict" else _style(call, callee, module, project)
    return Attachment(
        keyword,
        keyword.value,
        style,
        keyword.arg or "",
        callee or dotted_text(call.func),
        _owner(callee, module),
        handlers,
        call,
        _is_passed(keyword.value, module, project),
    )


def _of_assignment(assign: ast.Assign, module: Module, project: Project) -> Iterator[Attachment]:
    for target in assign.targets:
        if isinstance(target, ast.Attribute) and target.attr in _KEYWORDS and dotted_text(target).count(".") >= 1:
            if (isinstance(target.value, ast.Name) and target.value.id in ("self", "cls")) or _is_nothing(assign.value):
                continue  # the object's own field
            handlers = uses(assign.value, module, project)
            foreign = any(is_other_callbacks(use.dotted) for use in handlers) or _is_other_manager(assign.value, module)
            ours = any(use.role != "unknown" for use in handlers)
            listed = isinstance(assign.value, ast.List) and _imports_langchain(module) and not _is_other_root(target, module)
            if not foreign and (ours or (listed and bool(handlers))):
                yield Attachment(assign, assign.value, "attribute", target.attr, dotted_text(target), "unknown", handlers)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) and target.slice.value == "callbacks":
            handlers = uses(assign.value, module, project)
            if any(use.role != "unknown" for use in handlers):
                yield Attachment(assign, assign.value, "config", "callbacks", dotted_text(target.value), "unknown", handlers)


def _of_dict(display: ast.Dict, module: Module, project: Project) -> Iterator[Attachment]:
    for key, value in zip(display.keys, display.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "callbacks" and not _is_nothing(value):
            handlers = uses(value, module, project)
            if any(use.role != "unknown" for use in handlers):
                call = module.parents.get(display)
                call = module.parents.get(call) if isinstance(call, ast.keyword) else call
                inside = call if isinstance(call, ast.Call) else None
                callee = dotted_text(inside.func) if inside else ""
                yield Attachment(value, value, "config", "callbacks", callee, "unknown", handlers, inside)
        elif isinstance(key, ast.Constant) and key.value == "callback_manager" and not _is_nothing(value):
            maker = _maker_of(display, module)
            if (maker and is_langchain(maker)) or _holds_manager(value, module):
                handlers = uses(value, module, project)
                owner = _owner(maker, module)
                yield Attachment(value, value, "config", "callback_manager", maker or "a function", owner, handlers)


def _maker_of(display: ast.Dict, module: Module) -> str | None:
    """Return the function that takes the entries of a dict as keywords: `f(**{…})`, or `f(**name)` for a dict in a variable."""
    parent = module.parents.get(display)
    if isinstance(parent, ast.keyword):
        call = module.parents.get(parent)
        return module.resolve(call.func) if isinstance(call, ast.Call) and parent.arg is None else None
    names = {each.id for each in parent.targets if isinstance(each, ast.Name)} if isinstance(parent, ast.Assign) else set()
    for call in module.of(ast.Call):
        if any(each.arg is None and isinstance(each.value, ast.Name) and each.value.id in names for each in call.keywords):
            return module.resolve(call.func)
    return None


def _is_inner_manager(receiver: ast.expr, module: Module) -> bool:
    """Return whether a manager belongs to the producer side: it is passed in, or configured for one run."""
    if isinstance(receiver, ast.Name) and receiver.id == "self":
        return True
    if isinstance(receiver, ast.Name) and module.is_parameter(receiver.id, module.scope_of(receiver)):
        return True
    found = module.binding(receiver.id, module.scope_of(receiver)) if isinstance(receiver, ast.Name) else None
    made = [value for value in found[1] if isinstance(value, ast.Call)] if found else []
    return _is_run_manager(receiver) or any(_is_run_manager(value) or called_name(value) not in MANAGERS for value in made)


def _imports_langchain(module: Module) -> bool:
    return any(is_langchain(dotted) for dotted in module.imports.values())


def _is_other_root(target: ast.expr, module: Module) -> bool:
    value: ast.expr = target
    while isinstance(value, ast.Attribute):
        value = value.value
    made = _made_by(value, module)
    return made is not None and is_other_callbacks(made)


# -- whose callbacks ------------------------------------------------------------------------------------------------------


def _is_ours(
    call: ast.Call, callee: str | None, value: ast.expr, handlers: tuple[Use, ...], module: Module, project: Project
) -> bool:
    """Return whether a `callbacks=` is LangChain's: its handlers decide, then the called name, then the file's imports."""
    if (callee and is_other_callbacks(callee)) or any(is_other_callbacks(use.dotted) for use in handlers):
        return False
    if _is_other_manager(value, module) or (not handlers and _is_producer_value(value, module, project)):
        return False
    if any(use.role != "unknown" for use in handlers) or _holds_manager(value, module):
        return True
    if callee and is_langchain(callee):
        return owner_of(callee) == "model" or not _is_producer_value(value, module, project)
    name = called_name(call)
    if name in _FOREIGN_METHODS or not _imports_langchain(module) or _is_producer_value(value, module, project):
        return False
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    made = _made_by(receiver, module)
    if made is not None and (is_langchain(made) or is_other_callbacks(made)):
        return is_langchain(made)
    if not (isinstance(value, ast.List | ast.Tuple) and handlers):
        return False
    return name in CALL_METHODS or any(_HANDLER_NAME.search(dotted_text(use.node)) for use in handlers)


def _holds_manager(value: ast.expr, module: Module) -> bool:
    """Return whether a value is, or may be, a LangChain manager made here: only LangChain accepts one."""
    found = module.binding(value.id, module.scope_of(value)) if isinstance(value, ast.Name) else None
    values = [each for each in found[1] if each is not None] if found else [value]
    choices = [side for each in values for side in ((each.body, each.orelse) if isinstance(each, ast.IfExp) else (each,))]
    made = [module.resolve(each.func) or "" for each in choices if isinstance(each, ast.Call)]
    return any(is_langchain(dotted) and dotted.rpartition(".")[2] in MANAGERS for dotted in made)


def _is_other_manager(value: ast.expr, module: Module) -> bool:
    if isinstance(value, ast.Name | ast.Attribute):
        made = _made_by(value, module)
        return made is not None and is_other_callbacks(made)
    dotted = module.resolve(value.func) if isinstance(value, ast.Call) else None
    return dotted is not None and is_other_callbacks(dotted)


def _is_producer_value(value: ast.expr, module: Module, project: Project) -> bool:
    """Return whether a value belongs to the producer side: a run manager, its children, a parameter or attribute passed on."""
    if _is_run_manager(value) or _is_passed(value, module, project):
        return True
    elements = list(walk_values(value, module))
    return bool(elements) and all(_is_run_manager(element) for element, _ in elements)


def _is_run_manager(value: ast.expr) -> bool:
    text = dotted_text(value)
    named = any(is_producer_name(part.removesuffix("()")) for part in text.split("."))
    return any(mark in text for mark in ("get_child", "run_manager", "configure", "as_chain_group")) or named


def _is_passed(value: ast.expr, module: Module, project: Project, depth: int = 0) -> bool:
    """Return whether the code only passes a value on: a parameter, an attribute, or what a function makes of only those."""
    if depth > _DEPTH:
        return False
    if isinstance(value, ast.Name):
        return _is_handed_on(value, module, project, depth)
    sides = _sides(value)
    if sides:
        return all(_is_nothing(each) or _is_passed(each, module, project, depth + 1) for each in sides)
    if isinstance(value, ast.Call):
        name = called_name(value)
        if name == "cast" and len(value.args) == 2:
            return _is_passed(value.args[1], module, project, depth + 1)
        return name in ("get", "pop") or _merges(value, module, project, depth)
    return isinstance(value, ast.Attribute | ast.Subscript)


def _sides(value: ast.expr) -> list[ast.expr]:
    """Return the values that an expression chooses from or joins: `a or b`, `a if c else b`, `a + b`."""
    if isinstance(value, ast.BoolOp):
        return value.values
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    return [value.left, value.right] if isinstance(value, ast.BinOp) else []


def _is_handed_on(name: ast.Name, module: Module, project: Project, depth: int) -> bool:
    scope = module.scope_of(name)
    if module.is_parameter(name.id, scope):
        return True
    found = module.binding(name.id, scope)
    values = [value for value in found[1] if value is not None] if found is not None else []
    if not values or (found is not None and None in found[1][1:]):
        return False
    given = found is not None and found[1][0] is None  # a parameter that is assigned again
    if not given and not all(_sides(value) or isinstance(value, ast.Call) for value in values):
        return False
    return all(_is_nothing(value) or _is_passed(value, module, project, depth + 1) for value in values)


def _merges(call: ast.Call, module: Module, project: Project, depth: int) -> bool:
    """Return whether a function of the project only passes its arguments on and makes no handler."""
    dotted = module.resolve(call.func)
    found = project.find(dotted, module) if dotted is not None else None
    if found is None or not isinstance(found[1], ast.FunctionDef):
        return False
    returned = _returned(found[1], found[0])
    given = [*call.args, *(each.value for each in call.keywords)]
    return (
        bool(returned)
        and all(_is_nothing(each) or _is_passed(each, found[0], project, depth + 1) for each in returned)
        and all(
            _is_nothing(each) or isinstance(each, ast.Name) or _is_passed(each, module, project, depth + 1) for each in given
        )
    )


def _is_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.List | ast.Tuple) and not value.elts)


def _style(call: ast.Call, callee: str | None, module: Module, project: Project) -> Style:
    name = called_name(call)
    if name == "partial" and call.args:  # a call that happens later
        return "constructor" if dotted_text(call.args[0]).rpartition(".")[2][:1].isupper() else "call"
    if isinstance(call.func, ast.Attribute):
        if name in CALL_METHODS and not (callee and is_langchain(callee)):
            return "call"
        if callee and is_langchain(callee) and not name[:1].isupper() and name in CALL_METHODS:
            return "call"
        if name[:1].isupper() or name.startswith("from_") or (callee and is_langchain(callee)):
            return "constructor"
        return "factory" if name.startswith(("get", "create", "make", "build", "load", "init", "setup")) else "call"
    if callee is None:
        bound = isinstance(call.func, ast.Name) and module.binding(call.func.id, module.scope_of(call)) is not None
        return (
            "call" if bound or not isinstance(call.func, ast.Name) else "factory"
        )  # a variable that holds a chain, or a star import
    found = project.find(callee, module)
    if is_langchain(callee) or (found is not None and isinstance(found[1], ast.ClassDef)) or name[:1].isupper():
        return "constructor"
    return "factory"


def _owner(callee: str | None, module: Module) -> str:
    return owner_of(callee) if callee and is_langchain(callee) else "unknown"


def _made_by(value: ast.expr, module: Module) -> str | None:
    """Return the dotted name of the call that made the value of a variable or `self.x`, if the file shows it."""
    for _ in range(_DEPTH):
        values: list[ast.expr | None] = []
        if isinstance(value, ast.Call):
            dotted = module.resolve(value.func)
            if dotted is not None or not isinstance(value.func, ast.Attribute):
                return dotted
            value = value.func.value
            continue
        if isinstance(value, ast.Name):
            found = module.binding(value.id, module.scope_of(value))
            values = found[1] if found else []
            if found is None:
                return module.imports.get(value.id)
        elif isinstance(value, ast.Attribute):
            values = list(_attribute_values(value, module))
        known = [each for each in values if each is not None]
        if not known or known[-1] is value:
            return None
        value = known[-1]
        if isinstance(value, ast.Await):
            value = value.value
    return None


def _attribute_values(node: ast.Attribute, module: Module) -> list[ast.expr]:
    if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
        holder = module.enclosing(node, ast.ClassDef)
        if holder is not None:
            found = module.attributes.get((holder, node.attr))
            if found:
                return found
            bound = module.binding(node.attr, holder)
            return [each for each in bound[1] if each is not None] if bound and bound[0] is holder else []
    return []


# -- handlers -------------------------------------------------------------------------------------------------------------


def walk_values(value: ast.expr, module: Module, origin: Origin = "here", depth: int = 0) -> Iterator[tuple[ast.expr, Origin]]:
    """Yield the single handlers in an expression: look into lists, managers, sums, choices and variables."""
    if depth > _DEPTH:
        return
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        for element in value.elts:
            yield from walk_values(element, module, origin, depth + 1)
    elif isinstance(value, ast.BinOp):
        yield from walk_values(value.left, module, origin, depth + 1)
        yield from walk_values(value.right, module, origin, depth + 1)
    elif isinstance(value, ast.IfExp):
        yield from walk_values(value.body, module, origin, depth + 1)
        yield from walk_values(value.orelse, module, origin, depth + 1)
    elif isinstance(value, ast.BoolOp):
        for each in value.values:
            yield from walk_values(each, module, origin, depth + 1)
    elif isinstance(value, ast.Starred | ast.Await | ast.NamedExpr):
        yield from walk_values(value.value, module, origin, depth + 1)
    elif isinstance(value, ast.Call) and called_name(value) in MANAGERS:
        for argument in [*value.args, *(each.value for each in value.keywords if each.arg in ("handlers", "callbacks"))]:
            yield from walk_values(argument, module, origin, depth + 1)
    elif isinstance(value, ast.Name) and (held := _held(value, module)) is not None:
        for each, where in held:
            yield from walk_values(each, module, where, depth + 1)
    elif isinstance(value, ast.Attribute) and (values := _attribute_values(value, module)):
        for each in values:
            yield from walk_values(each, module, "attribute", depth + 1)
    elif not _is_nothing(value):
        yield value, origin


def _held(value: ast.Name, module: Module) -> list[tuple[ast.expr, Origin]] | None:
    """Return the values of a variable, and where each is bound; None if the file does not show it."""
    scope = module.scope_of(value)
    found = module.binding(value.id, scope)
    if found is None:
        return None
    values = [each for each in found[1] if each is not None and each is not value]
    if not values or any(isinstance(each, ast.Name) and each.id == value.id for each in values):
        return None
    origin: Origin = "scope" if found[0] is scope else "module" if isinstance(found[0], ast.Module) else "attribute"
    return [(each, origin) for each in values]


def uses(value: ast.expr, module: Module, project: Project) -> tuple[Use, ...]:
    """Return the handlers in an expression, each with its class and role."""
    found = []
    for element, origin in walk_values(value, module):
        use = _use(element, origin, module, project) if not _is_run_manager(element) else None
        if use is not None:
            found.append(use)
    return tuple(found)


def _use(element: ast.expr, origin: Origin, module: Module, project: Project) -> Use | None:
    if isinstance(element, ast.Call):
        return _made_use(element, origin, module, project, module.resolve(element.func))
    if isinstance(element, ast.Name | ast.Attribute):
        dotted = module.resolve(element)
        if dotted is not None and builtin_role(dotted) is not None:  # the class instead of an object still attaches
            return Use(element, element, dotted, builtin_role(dotted) or "unknown", origin)
        if dotted is not None:
            shared = _shared_object(dotted, module, project)
            if shared is not None:
                return shared
        text = dotted_text(element)
        role: Role = "observer" if _OBSERVING_NAME.search(text) else "unknown"
        parameter = isinstance(element, ast.Name) and module.is_parameter(element.id, module.scope_of(element))
        return Use(element, None, dotted or f"?{text}", role, "parameter" if parameter else "elsewhere")
    return None


def _shared_object(dotted: str, module: Module, project: Project) -> Use | None:
    """Return the handler behind an imported module-level object: `from app.state import handler`."""
    home, _, name = dotted.rpartition(".")
    if not home or home == module.name or is_langchain(dotted):
        return None
    found = project.find_value(home, name, module)
    if found is None:
        return None
    other, value = found
    use = next((each for each in uses(value, other, project) if each.made is not None), None)
    return Use(value, use.made, use.dotted, use.role, "elsewhere", use.known) if use else None


def _made_use(
    call: ast.Call, origin: Origin, module: Module, project: Project, dotted: str | None, depth: int = 0
) -> Use | None:
    if dotted is None:
        text = dotted_text(call.func)
        role: Role = "observer" if _OBSERVING_NAME.search(text) else "unknown"
        return Use(call, call, f"?{text}", role, origin)
    role_of = builtin_role(dotted)
    if role_of is not None:
        return Use(call, call, dotted, role_of, origin)
    if is_langchain(dotted) and dotted.rpartition(".")[2] in BASES:  # a handler that does nothing
        return Use(call, call, dotted, "observer", origin)
    known = find_handler(dotted, module, project)
    if known is not None:
        return Use(call, call, known.dotted, known.role, origin, known)
    found = project.find(dotted, module)
    if found is not None and isinstance(found[1], ast.ClassDef) and has_hook(found[1]):  # without LangChain's base
        return Use(call, call, dotted, "observer", origin)
    if found is not None and isinstance(found[1], ast.FunctionDef | ast.AsyncFunctionDef) and depth < _DEPTH:
        for returned in _returned(found[1], found[0]):
            for element, _ in walk_values(returned, found[0]):
                if isinstance(element, ast.Call):
                    inner = _made_use(element, origin, found[0], project, found[0].resolve(element.func), depth + 1)
                    if inner is not None and inner.role != "unknown":
                        return Use(call, call, inner.dotted, inner.role, origin, inner.known)
    owner, name = ["", *dotted.split(".")][-2:]
    text = name if name[:1].isupper() else f"{owner}.{name}"  # show a class by its name, a method with its object
    role = "observer" if _OBSERVING_NAME.search(text) else "unknown"
    return Use(call, call, dotted, role, origin)


def _returned(function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module) -> list[ast.expr]:
    return [
        node.value
        for node in walk(function)
        if isinstance(node, ast.Return) and node.value is not None and module.function_of(node) is function
    ]
