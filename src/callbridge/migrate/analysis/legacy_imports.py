"""Imports from `langchain.callbacks`: each name, where it lives now, and what prevents an edit. Ignores producer code."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from callbridge.migrate.analysis.context import Context
from callbridge.migrate.analysis.langchain_names import MANAGERS, is_producer_name
from callbridge.migrate.analysis.module import Module
from callbridge.migrate.analysis.moved_names import REMOVED_NAMES, Home, home_of, is_legacy_callback_module

__all__ = ["LegacyName", "facts", "legacy_aliases", "legacy_names", "obstacle"]

_OWN = ("langchain.callbacks", "langchain.llms", "langchain.chains", "langchain.agents")
"""A project that contains one of these is LangChain, or a copy of it."""

_TYPES_OF_PRODUCERS = MANAGERS | {"BaseCallbackHandler"}


@dataclass(frozen=True)
class LegacyName:
    """One imported name.

    Attributes:
        node: The `ast.alias`; for `import langchain.callbacks.x` the alias of the module.
        statement: The import statement.
        module: The module named in the import.
        name: The imported name, `*` for all.
        home: Where it lives now; None if it has no known successor.
        removed: Whether it is known to have no successor.
        obstacle: Why an edit cannot change the import; empty if it can.
    """

    node: ast.alias
    statement: ast.Import | ast.ImportFrom
    module: str
    name: str
    home: Home | None = None
    removed: bool = False
    obstacle: str = ""


def legacy_aliases(statement: ast.ImportFrom) -> list[ast.alias]:
    """Return the names that a statement imports from `langchain.callbacks*`, or from `langchain` if they led there."""
    source = statement.module or ""
    if statement.level:
        return []
    if source == "langchain":
        return [alias for alias in statement.names if alias.name in ("callbacks", "set_handler")]
    return statement.names if is_legacy_callback_module(source) else []


def legacy_names(context: Context) -> Iterator[LegacyName]:
    """Yield the names that a file imports from `langchain.callbacks`.

    It leaves out names that only producer code uses, imports with an alternative (`except ImportError`), and projects that
    have their own `langchain.callbacks`.
    """
    module = context.module
    if any(context.project.provides(name, module) for name in _OWN):
        return
    for statement in module.of(ast.ImportFrom):
        aliases = legacy_aliases(statement)
        if not aliases or _has_alternative(statement, module.parents):
            continue
        problem = obstacle(statement, module.parents, module.lines)
        for alias in aliases:
            if is_producer_name(alias.name) or _is_for_producers(alias, module):
                continue
            name, place = alias.name, statement.module or ""
            yield LegacyName(alias, statement, place, name, home_of(name, place), name in REMOVED_NAMES, problem)
    for plain in module.of(ast.Import):
        for alias in plain.names:
            if is_legacy_callback_module(alias.name) and not _has_alternative(plain, module.parents):
                yield LegacyName(alias, plain, alias.name, "")


def facts(found: LegacyName) -> dict[str, str]:
    """Return the facts of a finding: `module`, `name`, `asname`, `home` and `extra`, the distribution that has it."""
    home = found.home
    return {
        "module": found.module,
        "name": found.name,
        "asname": found.node.asname or "",
        "home": home.module if home else "",
        "extra": home.distribution if home else "",
    }


def obstacle(statement: ast.ImportFrom, parents: Mapping[ast.AST, ast.AST], lines: Sequence[str]) -> str:
    """Return why an edit cannot change where an import gets its names from; empty if it can.

    Args:
        statement: The import.
        parents: Each node of the file to its parent.
        lines: The lines of the file.
    """
    if statement.names[0].name == "*":
        return "`import *` does not say which names you use: import them by name"
    if _has_alternative(statement, parents):
        return "the import has a fallback, and one of the two is already right"
    homes = {home_of(alias.name, statement.module or "") for alias in statement.names}
    # A `#` in a string counts, too, which is on the safe side.
    if len(homes) > 1 and any("#" in line for line in lines[statement.lineno - 1 : statement.end_lineno]):
        return "the statement has a comment inside, and its names move to different modules: split it first"
    blocks = [value for _, value in ast.iter_fields(parents[statement]) if isinstance(value, list) and statement in value]
    if any(each.lineno == statement.lineno and each is not statement for each in blocks[0]):
        return "the statement shares its line with another one: put it on a line of its own"
    return ""


def _has_alternative(statement: ast.stmt, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether an import is in a `try` or `except ImportError` whose other branch imports something else."""
    block = parents.get(statement)
    while block is not None and not isinstance(block, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef):
        block = parents.get(block)
    if not isinstance(block, ast.Try):
        return False
    caught = " ".join(ast.unparse(handler.type) if handler.type else "Exception" for handler in block.handlers)
    if "ImportError" not in caught and "ModuleNotFoundError" not in caught and "Exception" not in caught:
        return False
    branches = [block.body, *(handler.body for handler in block.handlers)]
    return sum(any(isinstance(each, ast.ImportFrom | ast.Import) for each in branch) for branch in branches) > 1


def _is_for_producers(alias: ast.alias, module: Module) -> bool:
    """Return whether only annotations and producer code of a custom model, tool or chain name a manager or base."""
    name = alias.asname or alias.name
    if alias.name not in _TYPES_OF_PRODUCERS or not _is_producer(module):
        return False
    used = [node for node in module.of(ast.Name) if node.id == name]
    return all(_is_plumbing(node, module) for node in used)


def _is_producer(module: Module) -> bool:
    imported = any(is_producer_name(dotted.rpartition(".")[2]) for dotted in module.imports.values())
    return imported or any(
        argument.arg == "run_manager"
        for function in module.functions
        for argument in [*function.args.args, *function.args.kwonlyargs]
    )


def _is_plumbing(node: ast.AST, module: Module) -> bool:
    child = node
    parent = module.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Attribute) and parent.attr in ("configure", "get_noop_manager"):
            return True
        if isinstance(parent, ast.arg) or (isinstance(parent, ast.AnnAssign) and child is parent.annotation):
            return True
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and child is parent.returns:
            return True
        if isinstance(parent, ast.Call):
            return isinstance(parent.func, ast.Name) and parent.func.id in ("isinstance", "issubclass", "cast")
        if isinstance(parent, ast.Assign | ast.AnnAssign):
            return _is_configured(parent, module)
        if isinstance(parent, ast.stmt):
            return False
        child, parent = parent, module.parents.get(parent)
    return False


def _is_configured(assign: ast.Assign | ast.AnnAssign, module: Module) -> bool:
    """Return whether an assignment binds a manager's class, and the code configures one: `manager.configure(...)`."""
    targets = assign.targets if isinstance(assign, ast.Assign) else [assign.target]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    used = [module.parents.get(node) for node in module.of(ast.Name) if node.id in names and isinstance(node.ctx, ast.Load)]
    return bool(used) and all(isinstance(each, ast.Attribute) and each.attr == "configure" for each in used)
