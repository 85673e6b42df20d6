"""CB101 to CB104: imports from `langchain.callbacks*`, which langchain 1.x does not have, to where the names live now."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.analysis.homes import home_of, is_legacy_callback_module, provides, rule_of
from callbridge.migrate.analysis.imports import legacy_aliases, obstacle
from callbridge.migrate.edits.operations import AddImport, Change, MoveImport, Refusal
from callbridge.migrate.edits.source import Source

__all__ = ["import_of", "plan"]

_WHOLE = "the module is imported, not names: import the names that are used"


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return what can be done about the imports of a file."""
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
            yield Refusal(rule, place, f"the {package} installed here has no {alias.name} in {home.module}")
        else:
            operation = MoveImport(source.span(node), {alias.name: home.module})
            reason = "" if rule == "CB101" else f"{home.distribution} has to become a dependency of the project"
            yield Change(rule, place, f"import {alias.name} from {home.module}", (operation,), reason)


def _unmoved(node: ast.ImportFrom, name: str, rule: str) -> str:
    """Return why a name that has no home stays."""
    if rule == "CB104":
        return f"{name} has no successor"
    return _WHOLE if node.module == "langchain" else f"where {name} lives now is not known"


def import_of(source: Source, module: str, name: str) -> AddImport | None:
    """Return the operation that imports a name of ours at module level, or None if the name means something else here."""
    if name in source.bound_here:
        return None
    origins = {source.origin(use) for use in source.uses(name)}
    if origins - {f"{module}.{name}"}:
        return None
    body = [node for node in source.tree.body if not _is_future(node)]
    leading: list[ast.stmt] = []
    for node in body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        leading.append(node)
    ordered = [node for node in leading if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "") > module]
    ordered = [node for node in ordered if (node.module or "").startswith("lang")]
    if ordered:
        return AddImport(source.span(ordered[0]), True, module, name)
    if leading:
        return AddImport(source.span(leading[-1]), False, module, name)
    before = [node for node in source.tree.body if _is_future(node)]
    return AddImport(source.span(before[-1]) if before else None, False, module, name)


def _is_future(node: ast.stmt) -> bool:
    """Return whether a statement comes before all imports: a docstring, or one from `__future__`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return True
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
