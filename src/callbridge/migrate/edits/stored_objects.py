"""Where programs keep objects: attributes of `self`, methods that return them, sessions of Streamlit and Chainlit.

```
self.llm = ChatOpenAI()                       self.llm.invoke(x)
def llm(self): return ChatOpenAI()            self.llm().invoke(x)
st.session_state.chain = prompt | llm         st.session_state["chain"].invoke(x)
cl.user_session.set("chain", prompt | llm)    chain = cl.user_session.get("chain")
```
"""

from __future__ import annotations

import ast
import sys

from callbridge.migrate.edits.assignments import is_assignment, targets_of, value_of, variable_of
from callbridge.migrate.edits.source import Function, Source

__all__ = [
    "attribute_values",
    "family_of",
    "holder_of",
    "is_closed",
    "method_called",
    "returned_by",
    "session_reads",
    "session_values",
]

_PROPERTIES = ("property", "functools.cached_property", "staticmethod", "classmethod")
_SESSIONS = ("streamlit.session_state", "chainlit.user_session")


def holder_of(source: Source, node: ast.AST) -> ast.ClassDef | None:
    """Return the class around a node."""
    return next((each for each in source.ancestors(node) if isinstance(each, ast.ClassDef)), None)


def family_of(source: Source, holder: ast.ClassDef) -> list[ast.ClassDef]:
    """Return the class, and those of the file above and below it: `self` may be an object of any of these."""
    above, below = [holder], [holder]
    for each in above:
        above += [other for other in _bases_of(source, each) if other not in above]
    for each in below:
        below += [other for other in source.classes if each in _bases_of(source, other) and other not in below]
    return [*above, *below[1:]]


def is_closed(source: Source, holder: ast.ClassDef) -> bool:
    """Return whether the file shows all that a class does: it has no decorator, and no base of another file."""
    for each in family_of(source, holder):
        foreign = [base for base in each.bases if not _is_harmless(source, base)]
        if each.decorator_list or len(foreign) > len(_bases_of(source, each)):
            return False
    return True


def _bases_of(source: Source, holder: ast.ClassDef) -> list[ast.ClassDef]:
    names = {base.id for base in holder.bases if isinstance(base, ast.Name)}
    return [each for each in source.classes if each.name in names] if names else []


def _is_harmless(source: Source, base: ast.expr) -> bool:
    """Return whether a base is of the standard library, which does not know the attributes of its subclasses."""
    node = base.value if isinstance(base, ast.Subscript) else base
    origin = source.origin(node)
    if origin is not None:
        return origin.partition(".")[0] in sys.stdlib_module_names and not origin.startswith("typing.NamedTuple")
    return isinstance(node, ast.Name) and node.id == "object"


def attribute_values(source: Source, node: ast.Attribute) -> list[ast.expr]:
    """Return the values of an attribute of `self`, except None; empty if the file does not show all its assignments."""
    holder = holder_of(source, node)
    if holder is None or not _is_own(node):
        return []
    family = family_of(source, holder)
    bodies = [each for member in family for each in member.body]
    found = [value_of(each) for each in bodies if is_assignment(each) and variable_of(each) == node.attr]
    for each in source.nodes:
        if isinstance(each, ast.Attribute) and each.attr == node.attr and not isinstance(each.ctx, ast.Load):
            statement = source.parents[each]
            if not is_assignment(statement):
                if isinstance(statement, ast.AnnAssign):
                    continue
                return []
            owner = holder_of(source, each)
            if not _is_own(each) or owner is None:
                return []
            if owner not in family:
                continue  # an attribute of another class
            if len(targets_of(statement)) != 1:
                return []
            found.append(value_of(statement))
    return [each for each in found if not _is_none(each)]


def method_called(source: Source, node: ast.expr) -> ast.FunctionDef | None:
    """Return the only method with the name in `self.name`: a plain one, a property or a class method."""
    holder = holder_of(source, node)
    if not isinstance(node, ast.Attribute) or holder is None or not _is_own(node):
        return None
    found = [each for each in source.nodes if isinstance(each, Function) and each.name == node.attr]
    method = found[0] if len(found) == 1 else None
    if not isinstance(method, ast.FunctionDef) or method not in holder.body or not _is_plain(source, method):
        return None
    parent = source.parents[node]
    is_call = isinstance(parent, ast.Call) and parent.func is node
    return method if is_call is not _is_property(source, method) else None


def returned_by(source: Source, method: ast.FunctionDef) -> list[ast.expr] | None:
    """Return where the code reads the result of a method, as `self.method()` in its class; None if it may have other uses.

    Args:
        source: The file.
        method: A method of a class.
    """
    named = [node for node in source.nodes if isinstance(node, ast.Attribute) and node.attr == method.name]
    if any(method_called(source, node) is not method for node in named) or not named:
        return None
    is_property = _is_property(source, method)
    calls = [node if is_property else source.parents[node] for node in named]
    return [each for each in calls if isinstance(each, ast.expr)]


def _is_plain(source: Source, method: ast.FunctionDef) -> bool:
    around = [each.func if isinstance(each, ast.Call) else each for each in method.decorator_list]
    names = [source.origin(each) or (each.id if isinstance(each, ast.Name) else "") for each in around]
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(method))
    return not yields and all(each in _PROPERTIES for each in names)


def _is_property(source: Source, method: ast.FunctionDef) -> bool:
    names = [source.origin(each) or (each.id if isinstance(each, ast.Name) else "") for each in method.decorator_list]
    return any(each in _PROPERTIES[:2] for each in names)


def _is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


# -- sessions


def _key(source: Source, node: ast.AST) -> tuple[str, str]:
    """Return the session and the key of `st.session_state.key`, `…["key"]`, `….get("key")`, `….set("key", value)`."""
    owner: ast.expr | None = None
    key: object = None
    if isinstance(node, ast.Attribute):
        owner, key = node.value, node.attr
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner, key = node.value, node.slice.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "set"):
        first = node.args[0] if node.args else None
        owner, key = node.func.value, first.value if isinstance(first, ast.Constant) else None
    origin = source.origin(owner) if owner is not None else None
    return (origin, key) if origin in _SESSIONS and isinstance(key, str) else ("", "")


def _stored(source: Source, node: ast.AST) -> ast.expr | None:
    """Return the value that a node stores in a session; None if the node reads it."""
    parent = source.parents[node]
    if isinstance(node, ast.Call):
        setting = isinstance(node.func, ast.Attribute) and node.func.attr == "set" and len(node.args) == 2
        return node.args[1] if setting else None
    return value_of(parent) if is_assignment(parent) and node in targets_of(parent) else None


def session_values(source: Source, node: ast.expr) -> list[ast.expr]:
    """Return the values that the file stores in a session for the read at a node, except None; empty if it reads no session."""
    place = _key(source, node)
    if not place[0]:
        return []
    stored = [_stored(source, each) for each in source.nodes if _key(source, each) == place]
    return [each for each in stored if each is not None and not _is_none(each)]


def session_reads(source: Source, value: ast.expr) -> list[ast.expr] | None:
    """Return where the code reads a value that it stores in a session; None if it does not store it there."""
    parent = source.parents[value]
    node = parent if isinstance(parent, ast.Call) else next(iter(targets_of(parent)), None)
    place = _key(source, node) if node is not None else ("", "")
    if not place[0] or node is None or _stored(source, node) is not value:
        return None
    named = [each for each in source.nodes if _key(source, each) == place]
    reads = [each for each in named if isinstance(each, ast.Call) or isinstance(getattr(each, "ctx", None), ast.Load)]
    return [each for each in reads if isinstance(each, ast.expr) and _stored(source, each) is None]
