"""CB101 to CB104: moves imports from `langchain.callbacks*`, which LangChain 1.x lacks, to where the names live now."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.legacy_imports import legacy_aliases, obstacle
from callbridge.migrate.analysis.moved_names import home_of, is_legacy_callback_module, provides, rule_of
from callbridge.migrate.edits.import_places import has_import, place_import
from callbridge.migrate.edits.operations import AddImport, Change, MoveImport, Refusal
from callbridge.migrate.edits.source import Source

__all__ = ["import_of", "plan"]

_WHOLE = "the import binds the module: import the names that you use"


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return the changes and refusals for the imports of a file."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom):
            yield from _plan_statement(source, node, legacy_aliases(node))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if is_legacy_callback_module(alias.name):
                    yield Refusal("CB101", source.span(alias), _WHOLE)


def _plan_statement(source: Source, node: ast.ImportFrom, aliases: Sequence[ast.alias]) -> Iterator[Change | Refusal]:
    problem = obstacle(node, source.parents, source.lines) if aliases else ""
    for alias in aliases:
        place, rule, home = source.span(alias), rule_of(alias.name), home_of(alias.name, node.module or "")
        if problem:
            yield Refusal(rule, place, problem)
        elif home is None:
            yield Refusal(rule, place, _unmoved(node, alias.name, rule))
        elif provides(home.module, alias.name) == "no":
            package = home.module.partition(".")[0]
            yield Refusal(rule, place, f"the installed {package} has no {alias.name} in {home.module}")
        else:
            operation = MoveImport(source.span(node), {alias.name: home.module})
            reason = "" if rule == "CB101" else f"add {home.distribution} to the dependencies of your project"
            yield Change(rule, place, f"import {alias.name} from {home.module}", (operation,), reason)


def _unmoved(node: ast.ImportFrom, name: str, rule: str) -> str:
    """Return why a name without a new home stays."""
    if rule == "CB104":
        return f"{name} has no successor"
    return _WHOLE if node.module == "langchain" else f"callbridge does not know where {name} lives now"


def import_of(source: Source, module: str, name: str, near: ast.AST) -> tuple[AddImport, ...] | None:
    """Return the operations that import a name for a node, or None if it means something else there.

    Args:
        source: The file.
        module: The module.
        name: The name to import; empty for the module itself.
        near: The node that uses it.
    """
    bound = name or module
    if bound in source.bound_here:
        return None
    origins = {source.origin(use) for use in source.uses(bound)}
    if origins - {f"{module}.{name}" if name else module}:
        return None
    return () if has_import(source, module, name, near) else (place_import(source, module, name, near),)
