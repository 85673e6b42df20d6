"""CB101, CB102, CB103: imports from `langchain.callbacks*`, which langchain 1.x does not have, to where the names live now."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from callbridge.migrate.edits.homes import CLASSIC, COMMUNITY, home_of, is_callbacks_module, provides
from callbridge.migrate.edits.operations import AddImport, Change, MoveImport, Refusal
from callbridge.migrate.edits.source import Source

__all__ = ["import_of", "plan"]


def plan(source: Source) -> Iterator[Change | Refusal]:
    """Return what can be done about the imports of a file."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and is_callbacks_module(node.module or ""):
            yield from _plan_statement(source, node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if is_callbacks_module(alias.name):
                    yield Refusal(
                        "CB101", source.span(alias), "the module is imported, not names: import the names that are used"
                    )


def _plan_statement(source: Source, node: ast.ImportFrom) -> Iterator[Change | Refusal]:
    homes = {alias.name: home_of(alias.name) for alias in node.names}
    problem = _problem(source, node, set(homes.values()))
    for alias in node.names:
        home = homes[alias.name]
        rule = _rule(home)
        if problem:
            yield Refusal(rule, source.span(alias), problem)
        elif home is None:
            yield Refusal("CB104", source.span(alias), f"{alias.name} has no successor")
        elif provides(home, alias.name) == "no":
            yield Refusal(
                rule, source.span(alias), f"the {home.partition('.')[0]} installed here has no {alias.name} in {home}"
            )
        else:
            distribution = home.partition(".")[0].replace("_", "-")
            yield Change(
                rule,
                source.span(alias),
                f"import {alias.name} from {home}",
                (MoveImport(source.span(node), {alias.name: home}),),
                reason="" if rule == "CB101" else f"{distribution} has to become a dependency of the project",
            )


def _rule(home: str | None) -> str:
    package = (home or "").partition(".")[0]
    return {CLASSIC: "CB102", COMMUNITY: "CB103", "": "CB104"}.get(package, "CB101")


def _problem(source: Source, node: ast.ImportFrom, homes: set[str | None]) -> str:
    if node.names[0].name == "*":
        return "`import *`: which names are used is not known"
    if any(isinstance(each, ast.Try) and node in _below([*each.body, *each.handlers]) for each in source.ancestors(node)):
        return "an import with a fallback: one of the two is the right one already"
    if len(homes) > 1 and source.has_comment(node):
        return "a comment inside the statement, whose names go to different modules"
    if sum(1 for each in source.block(node) if each.lineno == node.lineno) > 1:
        return "the statement shares its line with another one"
    return ""


def _below(nodes: Sequence[ast.AST]) -> set[ast.AST]:
    return {each for node in nodes for each in ast.walk(node)}


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
