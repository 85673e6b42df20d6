"""The code of a handler class, as statements for a loop at the place of the call.

```
class Show(BaseCallbackHandler):                          box = st.empty()
    def __init__(self, box):                              text = ""
        self.box = box                                    with stream_call(chain.invoke, x) as stream:
        self.text = ""                             →          for token in stream.text():
    def on_llm_new_token(self, token, **kwargs):                  text += token
        self.text += token                                        box.markdown(text)
        self.box.markdown(self.text)
```
"""

from __future__ import annotations

import ast
import builtins
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from callbridge.migrate.analysis.handlers import HandlerClass, Sink, is_effective, own_attribute
from callbridge.migrate.analysis.langchain_names import BASES, is_langchain
from callbridge.migrate.analysis.module import Function
from callbridge.migrate.analysis.token_sinks import main_sink
from callbridge.migrate.edits.answers import Answer, answers_of, reads_only_attributes
from callbridge.migrate.edits.unfit import UnfitError

__all__ = ["Consumer", "Field", "begun_by", "is_guard", "read_consumer"]

_TOKEN = "on_llm_new_token"  # the name of a method
_LONGEST = 12
"""The most lines to put into a loop at the call; more would bury it."""

_BEFORE = ("on_llm_start", "on_chat_model_start")
_AFTER = "on_llm_end"
_RULES: Mapping[Sink | None, str] = MappingProxyType(
    {"print": "CB306", "streamlit": "CB307", "socket": "CB304", "other": "CB310", None: "CB401"}
)


@dataclass(frozen=True)
class Field:
    """An attribute of a handler that its hooks read.

    Attributes:
        value: Its first value.
        parameter: The parameter of `__init__` that it holds; empty if it has another value.
        changes: Whether a hook assigns it again.
        used: Whether a hook uses it; if not, it is there for what its value does when it is made.
        acts: Whether something may be seen of it when its value is made: a bubble in a page.
    """

    value: ast.expr
    parameter: str
    changes: bool
    used: bool
    acts: bool


@dataclass(frozen=True)
class Consumer:
    """A handler class as statements.

    Attributes:
        handler: The class.
        rule: The rule for its sink.
        sink: Where its tokens go; None if it only keeps them.
        token: The name of its token parameter.
        body: The code for a token, as source.
        before: The code for the start of a model.
        after: The code for the end of a model.
        fields: Its attributes, by name.
        parameters: The parameters of its `__init__` in order, each with its default.
        names: The names that its statements read, except their own variables.
        locals: The names that its statements bind.
        is_async: Whether its hook is a coroutine function.
        awaits: Whether its hook awaits something.
        answers: The methods with which code outside the class asks for what it keeps, by name.
    """

    handler: HandlerClass
    rule: str
    sink: Sink | None
    token: str
    body: str
    before: str
    after: str
    fields: Mapping[str, Field]
    parameters: Mapping[str, ast.expr | None]
    names: frozenset[str]
    locals: frozenset[str]
    is_async: bool
    awaits: bool
    answers: Mapping[str, Answer]

    @property
    def raises(self) -> bool:
        """Whether a hook raises an error by itself."""
        return any(isinstance(node, ast.Raise) for hook in self.hooks for node in ast.walk(hook))

    @property
    def hooks(self) -> list[Function]:
        """The methods that the statements come from."""
        return [hook for name, hook in self.handler.hooks.items() if name in (_TOKEN, *_BEFORE, _AFTER) and is_effective(hook)]


def read_consumer(handler: HandlerClass) -> Consumer:
    """Return the code of a handler class.

    Raises:
        UnfitError: It does something that a loop over text cannot do.
    """
    sink = main_sink(handler)
    hook = handler.token_hook
    if hook is None or sink not in _RULES:
        raise UnfitError("its tokens go through a queue: where you read the queue, read the text of the call instead")
    _check_bases(handler)
    others = [name for name in handler.effective if name not in (_TOKEN, *_BEFORE, _AFTER)]
    if others:
        raise UnfitError(f"it also has {', '.join(others)}: read events with `stream_events(...)` instead")
    starts = [handler.hooks[name] for name in _BEFORE if name in handler.hooks and is_effective(handler.hooks[name])]
    if len(starts) > 1:
        raise UnfitError("it does one thing when a chat model starts, and another when another model starts")
    ends = [handler.hooks[_AFTER]] if _AFTER in handler.effective else []
    hooks = [hook, *starts, *ends]
    token = _token(hook)
    for each in hooks:
        _check_hook(each, token if each is hook else "")
    fields = _fields(handler, hooks)
    bound = frozenset(name for each in hooks for name in _bound(each))
    read = frozenset(name for each in hooks for name in _read(each)) - bound - {token, "self"}
    return Consumer(
        handler,
        _RULES[sink],
        sink,
        token,
        _source(handler, hook),
        "\n".join(_source(handler, each) for each in starts),
        "\n".join(_source(handler, each) for each in ends),
        fields,
        _parameters(handler),
        read,
        bound,
        isinstance(hook, ast.AsyncFunctionDef),
        any(isinstance(node, ast.Await) for each in hooks for node in ast.walk(each)),
        answers_of(handler),
    )


def _check_bases(handler: HandlerClass) -> None:
    """Refuse bases that may act when a handler is made, or when it is called."""
    for base in handler.node.bases:
        dotted = handler.module.resolve(base) or ast.unparse(base)
        name = dotted.rpartition(".")[2]
        if not (is_langchain(dotted) and name in (*BASES, "StreamingStdOutCallbackHandler")) and dotted not in (
            "abc.ABC",
            "object",
        ):
            raise UnfitError(f"callbridge does not know what its base {name} does")
    if not handler.node.bases or handler.node.decorator_list or handler.node.keywords:
        raise UnfitError("its class has no base, or has decorators or keywords")


def _token(hook: Function) -> str:
    names = [each.arg for each in [*hook.args.posonlyargs, *hook.args.args]]
    if len(names) < 2 or names[0] != "self":
        raise UnfitError("its hook has no parameter for the token")
    return names[1]


def _statements(function: Function) -> list[ast.stmt]:
    """Return the statements of a function without those that do nothing: at its beginning, and a `return` at its end."""
    body = list(function.body)
    while len(body) > 1 and (isinstance(body[0], ast.Pass) or _is_text(body[0])):
        body.pop(0)
    while len(body) > 1 and isinstance(last := body[-1], ast.Return) and _is_idle_value(last):
        body.pop()
    return body


def _is_idle_value(node: ast.Return) -> bool:
    """Return whether a `return` only ends a hook: nobody reads the value, and computing it does nothing."""
    return node.value is None or isinstance(node.value, ast.Constant | ast.Name)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _source(handler: HandlerClass, hook: Function) -> str:
    """Return the source of a hook's statements, including comments."""
    body = _statements(hook)
    if len(body) > 1 and hook.name == _TOKEN and is_guard(body[0], _token(hook)):
        body.pop(0)  # the loop gets no empty text
    if body[0].lineno == hook.lineno:
        raise UnfitError("its hook is on one line with its header: put the body on a line of its own")
    first = body[0].lineno
    lines = handler.module.lines
    while first - 1 > hook.lineno and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    if (body[-1].end_lineno or first) - first >= _LONGEST:
        raise UnfitError(f"its {hook.name} is long: make it a function of the text, and call that in a loop over `stream_call`")
    text = "\n".join(_skipping(lines, hook)[first - 1 : body[-1].end_lineno])
    texts = [node for each in body for node in ast.walk(each) if isinstance(node, ast.Constant | ast.JoinedStr)]
    if any(node.end_lineno != node.lineno and _is_one_token(handler, node) for node in texts):
        raise UnfitError("its hook has a string over several lines, whose indentation would change")
    return textwrap.dedent(text).strip("\n")


def is_guard(node: ast.stmt, token: str) -> bool:
    """Return whether this is `if not token: return`."""
    if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1 or not isinstance(node.body[0], ast.Return):
        return False
    return ast.unparse(node.test) in (f"not {token}", f"{token} == ''")


def _skipping(lines: Sequence[str], hook: Function) -> list[str]:
    """Return the lines of a file, in which each `return` of a hook ends one turn of a loop."""
    found = list(lines)
    for node in (each for each in ast.walk(hook) if isinstance(each, ast.Return)):
        line = found[node.lineno - 1].encode()
        found[node.lineno - 1] = (line[: node.col_offset] + b"continue" + line[node.end_col_offset :]).decode()
    return found


def _is_one_token(handler: HandlerClass, node: ast.expr) -> bool:
    """Return whether a text over several lines is one in triple quotes, or with a backslash; not several side by side."""
    lines = handler.module.lines[node.lineno - 1 : node.end_lineno]
    return any(mark in "\n".join(lines) for mark in ('"""', "'''", "\\\n"))


def _check_hook(hook: Function, token: str) -> None:
    """Refuse code that only works in a method, or that reads other arguments than the token."""
    given = [*hook.args.posonlyargs, *hook.args.args, *hook.args.kwonlyargs, hook.args.vararg, hook.args.kwarg]
    unwanted = {each.arg for each in given if each is not None} - {token, "self"}
    nodes = [node for each in _statements(hook) for node in ast.walk(each)]
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in unwanted:
            raise UnfitError(f"its {hook.name} reads {node.id}, which a loop over text does not have: read events instead")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            raise UnfitError(f"its {hook.name} defines functions")
        is_skip = isinstance(node, ast.Return) and hook.name == _TOKEN and _is_skip(hook, node)
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Yield | ast.YieldFrom | ast.Return) and not is_skip:
            raise UnfitError(f"its {hook.name} has a `{type(node).__name__.lower()}`, which means something else in a loop")
        if isinstance(node, ast.Name) and node.id == "super":
            raise UnfitError(f"its {hook.name} calls the method of its base")
    if not reads_only_attributes(nodes):
        raise UnfitError(f"its {hook.name} passes the handler itself on")


def _is_skip(hook: Function, node: ast.Return) -> bool:
    """Return whether a `return` leaves out the rest of a token hook, as `continue` leaves out the rest of a loop's body."""
    loops = [each for each in ast.walk(hook) if isinstance(each, ast.For | ast.AsyncFor | ast.While)]
    return _is_idle_value(node) and node.lineno == node.end_lineno and not any(node in ast.walk(loop) for loop in loops)


def _bound(hook: Function) -> Iterator[str]:
    for each in _statements(hook):
        for node in ast.walk(each):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id
            elif isinstance(node, ast.ExceptHandler) and node.name:
                yield node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)


def _read(hook: Function) -> Iterator[str]:
    for each in _statements(hook):
        yield from (node.id for node in ast.walk(each) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


# -- attributes -----------------------------------------------------------------------------------------------------------


def _init(handler: HandlerClass) -> Function | None:
    own = [each for each in handler.node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return own[0] if own else None


def _parameters(handler: HandlerClass) -> dict[str, ast.expr | None]:
    init = _init(handler)
    if init is None:
        return {}
    if init.args.vararg or init.args.kwarg or init.args.posonlyargs:
        loose = {each.arg for each in (init.args.vararg, init.args.kwarg) if each is not None}
        body = [node for each in init.body if not _is_super(each) for node in ast.walk(each)]
        if init.args.posonlyargs or any(isinstance(node, ast.Name) and node.id in loose for node in body):
            raise UnfitError("its __init__ has positional-only parameters, or reads its `*` or `**` ones")
    names = [each.arg for each in init.args.args][1:]
    defaults: list[ast.expr | None] = [*([None] * (len(names) - len(init.args.defaults))), *init.args.defaults]
    found = dict(zip(names, defaults[len(defaults) - len(names) :], strict=True))
    found.update(zip((each.arg for each in init.args.kwonlyargs), init.args.kw_defaults, strict=True))
    return found


def _fields(handler: HandlerClass, hooks: Sequence[Function]) -> dict[str, Field]:
    """Return the attributes that the hooks use, each with its first value."""
    used = {
        name: None for hook in hooks for each in _statements(hook) for node in ast.walk(each) if (name := own_attribute(node))
    }
    changed = {
        name
        for hook in hooks
        for node in ast.walk(hook)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and (name := own_attribute(node))
    }
    stored = _stored(handler)
    methods = {each.name for each in handler.node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    parameters, begun = _parameters(handler), begun_by(hooks)
    found: dict[str, Field] = {}
    acting = [name for name, value in stored.items() if _acts(handler, value)]
    for name in [*(each for each in stored if each in used or each in acting), *(each for each in used if each not in stored)]:
        if name in methods:
            raise UnfitError(f"its hook calls another method, self.{name}()")
        if name not in stored and name not in begun:
            raise UnfitError(f"its class does not show where self.{name} comes from")
        value = stored.get(name, ast.Constant(None))
        parameter = value.id if isinstance(value, ast.Name) and value.id in parameters else ""
        found[name] = Field(value, parameter, name in changed, name in used, name in acting)
    return found


def _acts(handler: HandlerClass, value: ast.expr) -> bool:
    """Return whether computing a value may have a visible effect: it calls more than Python and its library."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            root = (handler.module.resolve(node.func) or ast.unparse(node.func)).partition(".")[0]
            if root not in sys.stdlib_module_names and not hasattr(builtins, root):
                return True
    return False


def begun_by(hooks: Sequence[Function]) -> frozenset[str]:
    """Return the attributes that the hooks assign when a model starts, before anything reads them."""
    found: set[str] = set()
    for statement in (each for hook in hooks if hook.name in _BEFORE for each in hook.body):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if target is not None and own_attribute(target):
            found.add(own_attribute(target))
    return frozenset(found)


def _stored(handler: HandlerClass) -> dict[str, ast.expr]:
    """Return the values that a class and its `__init__` store in attributes."""
    found: dict[str, ast.expr] = {}
    for each in handler.node.body:
        target = each.targets[0] if isinstance(each, ast.Assign) else each.target if isinstance(each, ast.AnnAssign) else None
        value = each.value if isinstance(each, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):  # all handlers share values of other kinds
            found[target.id] = value
    init = _init(handler)
    for statement in _statements(init) if init is not None else ():
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        target = statement.target if isinstance(statement, ast.AnnAssign) else target
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if target is not None and value is not None and own_attribute(target):
            found[own_attribute(target)] = value
        elif not (_is_text(statement) or isinstance(statement, ast.Pass) or _is_super(statement)):
            raise UnfitError("its __init__ does more than store its arguments")
    return found


def _is_super(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node.value).startswith("super(")
