"""Handler classes: which classes are handlers, which of their hooks do something, and where they send tokens."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from callbridge.migrate.analysis.langchain_names import (
    BASES,
    HOOKS,
    Role,
    builtin_role,
    is_langchain,
    is_other_callbacks,
)
from callbridge.migrate.analysis.module import Function, Module, called_name, dotted_text, walk
from callbridge.migrate.analysis.project import Project
from callbridge.migrate.words import words

__all__ = ["HandlerClass", "Sink", "find_handler", "handler_class", "has_hook", "is_effective", "own_attribute"]

Sink: TypeAlias = Literal["thread-queue", "async-queue", "process-queue", "socket", "print", "streamlit", "other"]
"""Where a handler sends tokens."""

_DEPTH = 8
_TOKEN = "on_llm_new_token"  # the name of a method
_LIFE_CYCLE = frozenset({"on_llm_start", "on_chat_model_start", "on_llm_end", "on_llm_error", _TOKEN})
_STEPS = words("on_agent_action on_agent_finish on_tool_start on_tool_end on_tool_error")
_SHOWING: frozenset[Sink] = frozenset({"socket", "async-queue", "thread-queue", "streamlit", "other"})
_EXTERNAL_HANDLER = re.compile(r"\w*CallbackHandler$|Base\w*Callback\w*$")

_SOCKET_METHODS = words("send_text send_json send_bytes send_str emit group_send send_event asend_json")
_OF_EVENTS = words("emit send_event")
"""Loggers and trackers have these, too: they count only if they send text."""
_SOCKET_NAMES = re.compile(
    r"(^|_|\b)(ws|websockets?|sockets?|sock|sio|socketio|consumer|channel_layer|conn|connection)(_|\b|$)|socket"
)
_SERVING = words(
    "asgiref channels fastapi flask_socketio litestar quart sanic socketio starlette tornado uvicorn websockets aiohttp"
)
_QUEUE_NAMES = re.compile(r"(^|_|\b)(q|queue|que|job_done|gen|generator|buffer|stream)(_|\b|$)|queue|generator")
_STREAMLIT_METHODS = words("markdown write text info success code caption warning latex write_stream empty")
_STREAMLIT_NAMES = re.compile(
    r"(^|[._])(container|placeholder|box|st|empty|area|chat|message|text_area|element|output|widget)\w*$|container|placeholder"
)
_FILE_NAMES = re.compile(r"(^|[._])(file|fp|fh|log)s?$")
_PRINTING = frozenset(
    {"print", "sys.stdout.write", "click.echo", "typer.echo", "rich.print", "stdout.write", "sys.stderr.write"}
)
_OTHER_METHODS = words(
    "publish rpush lpush xadd chat_update chat_postMessage edit_text edit_message edit_message_text send_message speak say "
    "stream_token insert setText appendPlainText update_text call_from_thread set_text insertPlainText reply_text "
    "stream_output append_text feed"
)
_ASKING = re.compile(r"(^|_)(approve|approval|confirm)", re.I)
_LOGGING = re.compile(r"(^|\.)(log|logger|logging|_logger|_log)$")


@dataclass(frozen=True, eq=False)
class HandlerClass:
    """What a scan knows of one handler class.

    Attributes:
        module: Where it stands.
        node: Its definition.
        dotted: Its full name.
        base: The role of the built-in handler that it extends, if it extends one.
        is_async: Whether it extends `AsyncCallbackHandler`.
        hooks: The callbacks that it or a base of the project defines.
        sinks: Where tokens go, in the order of the source.
        step_sinks: Where the steps of an agent go, in the order of the source.
    """

    module: Module
    node: ast.ClassDef
    dotted: str
    base: Role | None = None
    is_async: bool = False
    hooks: dict[str, Function] = field(default_factory=dict)
    sinks: tuple[Sink, ...] = ()
    step_sinks: tuple[Sink, ...] = ()

    @property
    def effective(self) -> list[str]:
        """The hooks that do something."""
        return [name for name, hook in self.hooks.items() if is_effective(hook)]

    @property
    def own(self) -> dict[str, Function]:
        """The hooks that the class itself defines, not those that it inherits."""
        return {name: hook for name, hook in self.hooks.items() if self.module.parents.get(hook) is self.node}

    @property
    def token_hook(self) -> Function | None:
        """The hook that receives tokens, if it uses them: a hook that only counts is an observer's."""
        hook = self.hooks.get(_TOKEN)
        return hook if hook is not None and is_effective(hook) and _reads_arguments(hook) else None

    @property
    def role(self) -> Role:
        """Its role: `token` if it handles tokens, `approval` if it asks for one, else the role of its base, or `steps`."""
        if self.base in ("aiter", "final", "approval", "streamlit-agent"):
            return self.base
        if self.token_hook is not None:
            return "token"
        if self.asks:
            return "approval"
        return self.base or ("steps" if self.step_sinks else "observer")

    @property
    def step_hook(self) -> Function | None:
        """The first hook that shows a user a step of an agent, if the class shows no tokens."""
        if self.role != "steps":
            return None
        return next((hook for name, hook in self.own.items() if name in _STEPS and is_effective(hook)), None)

    @property
    def asks(self) -> bool:
        """Whether the hook for a tool's start asks whether the tool may run, and raises if it may not."""
        hook = self.hooks.get("on_tool_start")
        nodes = list(walk(hook)) if hook is not None else []
        asks = any(
            isinstance(node, ast.Call) and (called_name(node) in ("input", "confirm") or _ASKING.search(called_name(node)))
            for node in nodes
        )
        return asks and any(isinstance(node, ast.Raise) for node in nodes)

    @property
    def others(self) -> list[str]:
        """The effective hooks beyond those of the model's own life cycle."""
        return [
            name for name in self.effective if name not in _LIFE_CYCLE and name in HOOKS and not name.startswith("on_chain")
        ]


def is_effective(function: Function) -> bool:
    """Return whether a method does more than a docstring, `pass`, `...`, an empty return or a call of `super()`."""
    return any(not _is_idle(statement) for statement in function.body)


def _reads_arguments(hook: Function) -> bool:
    """Return whether a method, or a function in it, reads an argument other than the first, or passes all of them on."""
    given = [*hook.args.posonlyargs, *hook.args.args, *hook.args.kwonlyargs, hook.args.vararg, hook.args.kwarg]
    names = {each.arg for each in given[1:] if each is not None}
    return any(isinstance(node, ast.Name) and node.id in names for statement in hook.body for node in walk(statement))


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in dotted_text(statement.exc) if statement.exc else False
    value = statement.value if isinstance(statement, ast.Expr | ast.Return) else statement
    if isinstance(value, ast.Await):
        value = value.value
    if value is None or isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and dotted_text(value.func).startswith("super()")


def own_attribute(node: ast.AST) -> str:
    """Return `x` for `self.x`; else an empty string."""
    own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if isinstance(node, ast.Attribute) and own else ""


def find_handler(dotted: str, origin: Module, project: Project) -> HandlerClass | None:
    """Return the handler class of the project that a dotted name means; None if it means something else."""
    found = project.find(dotted, origin)
    if found is None or not isinstance(found[1], ast.ClassDef):
        return None
    return handler_class(found[1], found[0], project)


def handler_class(
    node: ast.ClassDef, module: Module, project: Project, depth: int = 0, *, hooked: frozenset[str] = frozenset()
) -> HandlerClass | None:
    """Describe a class if it is a handler: its bases say so, or it has a handler's hooks.

    Args:
        node: The class.
        module: Where it stands.
        project: Where imports lead.
        depth: How many subclasses led here.
        hooked: The hooks of those subclasses.
    """
    own = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    hooks = {name: each for name, each in own.items() if name in HOOKS}
    hooked = hooked | {name for name, each in hooks.items() if len(_arguments(each)) > 1}
    base, is_async, is_handler, inherited = _bases(node, module, project, depth, hooked=hooked)
    bare = not node.bases and _TOKEN in hooks and "self" in _arguments(hooks[_TOKEN])
    if (not is_handler and not bare) or _is_manager(node):
        return None
    sinks = _sinks(hooks[_TOKEN], node, module, is_async) if _TOKEN in hooks else ()
    steps = _step_sinks(hooks, node, module, is_async)
    if inherited is not None:
        sinks = sinks or inherited.sinks
        steps = steps or inherited.step_sinks
        hooks = {**inherited.hooks, **hooks}
    return HandlerClass(module, node, f"{module.name}.{module.qualname(node)}", base, is_async, hooks, sinks, steps)


def _bases(
    node: ast.ClassDef, module: Module, project: Project, depth: int, *, hooked: frozenset[str]
) -> tuple[Role | None, bool, bool, HandlerClass | None]:
    role: Role | None = None
    is_async = is_handler = False
    inherited: HandlerClass | None = None
    for expression in node.bases:
        dotted = module.resolve(expression, module.scopes[node]) or dotted_text(expression)
        name = dotted.rpartition(".")[2]
        if is_other_callbacks(dotted):
            continue
        if is_langchain(dotted) and name in BASES:
            is_handler, is_async = True, is_async or name.startswith("Async")
        elif builtin_role(dotted) is not None:
            is_handler, role = True, builtin_role(dotted)
            is_async = is_async or name.startswith("Async")
        elif depth < _DEPTH and (parent := _parent(dotted, node, module, project, depth, hooked=hooked)) is not None:
            is_handler, inherited, role, is_async = True, parent, role or parent.base, is_async or parent.is_async
        elif _is_external(name, hooked) and project.find(dotted, module) is None:
            is_handler, is_async = True, is_async or name.startswith("Async")
    return role, is_async, is_handler, inherited


def _is_external(name: str, hooked: frozenset[str]) -> bool:
    """Return whether a base outside the project is a handler: by its name, or because a subclass has the token hook."""
    return bool(hooked) and (_EXTERNAL_HANDLER.match(name) is not None or _TOKEN in hooked)


def _parent(
    dotted: str, node: ast.ClassDef, module: Module, project: Project, depth: int, *, hooked: frozenset[str]
) -> HandlerClass | None:
    found = project.find(dotted, module)
    if found is None or not isinstance(found[1], ast.ClassDef) or found[1] is node:
        return None
    return handler_class(found[1], found[0], project, depth + 1, hooked=hooked)


def _is_manager(node: ast.ClassDef) -> bool:
    """Return whether a class passes callbacks on instead of handling them, or stands in for such a class."""
    names = [dotted_text(base) for base in node.bases] or [node.name]
    return any(re.search(r"(Callback|Run)Manager(Mixin|For\w+)?$", name) for name in names)


def has_hook(node: ast.ClassDef) -> bool:
    """Return whether a class has a method with the name of a callback."""
    return any(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name in HOOKS for each in node.body)


def _arguments(function: Function) -> list[str]:
    return [each.arg for each in [*function.args.posonlyargs, *function.args.args]]


# -- sinks ----------------------------------------------------------------------------------------------------------------


def _sinks(hook: Function, holder: ast.ClassDef, module: Module, is_async: bool, *, steps: bool = False) -> tuple[Sink, ...]:
    methods = {each.name: each for each in holder.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    found: dict[Sink, None] = {}
    seen, pending = {hook.name}, [hook]
    while pending:
        function = pending.pop()
        for call in walk(function):
            if not isinstance(call, ast.Call):
                continue
            helper = _own_method(call, methods)
            if helper is not None:
                if helper.name not in seen:
                    seen.add(helper.name)
                    pending.append(helper)
                continue
            sink = _sink(call, holder, module, is_async, steps=steps)
            if sink is not None:
                found[sink] = None
    return tuple(found)


def _step_sinks(hooks: dict[str, Function], holder: ast.ClassDef, module: Module, is_async: bool) -> tuple[Sink, ...]:
    """Return where the hooks for an agent's steps send their arguments, if a user sees them there."""
    found: dict[Sink, None] = {}
    for name, hook in hooks.items():
        if name in _STEPS and _reads_arguments(hook):
            found.update((each, None) for each in _sinks(hook, holder, module, is_async, steps=True) if each in _SHOWING)
    return tuple(found)


def _own_method(call: ast.Call, methods: dict[str, Function]) -> Function | None:
    return methods.get(own_attribute(call.func))


def _sink(call: ast.Call, holder: ast.ClassDef, module: Module, is_async: bool, *, steps: bool) -> Sink | None:
    text, name = dotted_text(call.func), called_name(call)
    receiver = text.rpartition(".")[0].removesuffix("()").removesuffix("[]")
    last = receiver.rpartition(".")[2]
    if text in _PRINTING or (module.resolve(call.func) or "") in _PRINTING or (name == "print" and "console" in last):
        return "print"
    for argument in call.args:  # loop.call_soon_threadsafe(queue.put_nowait, token)
        if isinstance(argument, ast.Attribute) and argument.attr in ("put", "put_nowait", "send_nowait"):
            return "async-queue"
    if name in ("put", "put_nowait", "send_nowait"):
        return _queue_kind(call, receiver, holder, module, is_async)
    if (name in _SOCKET_METHODS and not (steps and name in _OF_EVENTS)) or (
        name in ("send", "asend") and _SOCKET_NAMES.search(last)
    ):
        return "socket"
    if text == "self.send" and _is_of_socket(call, holder, module):
        return "socket"
    if name.startswith(("send", "push", "emit")) and _SOCKET_NAMES.search(name):
        return "socket"
    if name in ("send", "asend", "push") and _QUEUE_NAMES.search(last):
        return "async-queue" if isinstance(module.parents.get(call), ast.Await) else "thread-queue"
    if name == "update_state":
        return "process-queue"
    is_file = name == "write" and _FILE_NAMES.search(receiver) is not None
    if name in _STREAMLIT_METHODS and _STREAMLIT_NAMES.search(receiver) and "." in text and not is_file:
        return "streamlit" if _uses_streamlit(module, receiver) else "other" if module.packages & {"gradio", "panel"} else None
    if name in _OTHER_METHODS and receiver and not _LOGGING.search(receiver):
        return "other"
    return "other" if not steps and _is_user_function(call, holder, module) else None


def _is_of_socket(call: ast.Call, holder: ast.ClassDef, module: Module) -> bool:
    """Return whether `self.send` is probably a socket's: it sends an ASGI or Channels message, or the file is a server's."""
    sent = call.args[0] if call.args else None
    if isinstance(sent, ast.Dict) and any(isinstance(key, ast.Constant) and key.value == "type" for key in sent.keys):
        return True
    if any(keyword.arg in ("text_data", "bytes_data") for keyword in call.keywords):
        return True
    bases = (dotted_text(base).rpartition(".")[2].lower() for base in holder.bases)
    return bool(module.packages & _SERVING) or any("socket" in base or "consumer" in base for base in bases)


def _queue_kind(call: ast.Call, receiver: str, holder: ast.ClassDef, module: Module, is_async: bool) -> Sink:
    attribute = receiver.removeprefix("self.")
    for value in module.attributes.get((holder, attribute), []):
        made = module.resolve(value.func) if isinstance(value, ast.Call) else _annotation(value, module)
        if made and made.startswith("asyncio"):
            return "async-queue"
        if made and made.startswith(("multiprocessing", "torch.multiprocessing")):
            return "process-queue"
        if made and made.startswith(("queue.", "janus")):
            return "thread-queue"
    awaited = isinstance(module.parents.get(call), ast.Await)
    asyncio_only = is_async and "asyncio" in module.packages and "queue" not in module.packages
    return "async-queue" if awaited or asyncio_only else "thread-queue"


def _annotation(value: ast.expr, module: Module) -> str | None:
    """Return the resolved annotation of a value that is a parameter."""
    function = module.function_of(value)
    if function is None or not isinstance(value, ast.Name):
        return None
    for each in [*function.args.args, *function.args.kwonlyargs]:
        if each.arg == value.id and each.annotation is not None:
            note = each.annotation.value if isinstance(each.annotation, ast.Subscript) else each.annotation
            return module.resolve(note)
    return None


def _uses_streamlit(module: Module, receiver: str) -> bool:
    return "streamlit" in module.packages or not (module.packages & {"gradio", "panel", "chainlit", "nicegui", "flet"})


def _is_user_function(call: ast.Call, holder: ast.ClassDef, module: Module) -> bool:
    """Return whether a call passes the token to a function that the handler was given."""
    values = module.attributes.get((holder, own_attribute(call.func)), [])
    given = any(isinstance(value, ast.Name) and module.is_parameter(value.id, module.scope_of(value)) for value in values)
    return given and bool(call.args or call.keywords)
