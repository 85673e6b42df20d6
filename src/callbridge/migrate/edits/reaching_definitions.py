"""Reaching definitions: which of several assignments a read of a variable gets its value from.

```
chain = prompt | llm          1
print(chain.invoke(x))        reads 1
chain = other | llm           2
print(chain.invoke(x))        reads 2
```

It works only for statements that follow one another in one block outside of loops. A function, a loop or another branch may
read the value of any assignment. `if chain := …:` is an assignment, too: what comes after it reads none of those before.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from callbridge.migrate.edits.assignments import Assignment, binds, is_assignment, targets_of

__all__ = ["Reached", "plain_stores", "reached"]

Reached: TypeAlias = Mapping[ast.Name, Assignment]

_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def plain_stores(uses: Sequence[ast.Name], parents: Mapping[ast.AST, ast.AST]) -> list[Assignment] | None:
    """Return the assignments `name = …` if nothing else binds the name, else None.

    Args:
        uses: Where the name is written or read.
        parents: Each node's parent.
    """
    found: list[Assignment] = []
    for use in uses:
        if not binds(use, parents):
            continue
        statement = parents[use]
        if not is_assignment(statement) or targets_of(statement) != [use]:
            return None
        found.append(statement)
    return found


def reached(uses: Sequence[ast.Name], block: Sequence[ast.stmt], parents: Mapping[ast.AST, ast.AST]) -> Reached | None:
    """Return the assignment for each read of a variable, or None if that depends on the run.

    Reads of what an `if` has bound in its test are left out.

    Args:
        uses: Where the variable is written or read, in its scope and below.
        block: The statements of its scope, in order.
        parents: Each node's parent.
    """
    tests = [use for use in uses if _is_tested(use, block, parents)]
    stores = plain_stores([use for use in uses if use not in tests], parents)
    if not stores or any(each not in block for each in stores):
        return None
    found: dict[ast.Name, Assignment] = {}
    places = {statement: number for number, statement in enumerate(block)}
    for use in uses:
        if not isinstance(use.ctx, ast.Load):
            continue
        place = _place(use, places, parents)
        before = [each for each in stores if places[each] < place]
        if not before:
            return None
        last = max(before, key=places.__getitem__)
        if all(_comes_after(each, use) or _comes_after(last, each) for each in tests):
            found[use] = last
    return found


def _place(use: ast.Name, places: Mapping[ast.stmt, int], parents: Mapping[ast.AST, ast.AST]) -> int:
    """Return the number of the statement with a read; -1 if it may run at another time."""
    node: ast.AST = use
    while node not in places:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp):
            return -1
        node = parents[node]
        if isinstance(node, ast.Module):
            return -1
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return -1
    return places[node] if isinstance(node, ast.stmt) else -1


def _is_tested(use: ast.Name, block: Sequence[ast.stmt], parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether this is the name in `if name := …:`, which a statement of the block always binds."""
    test = parents[use]
    if not isinstance(test, ast.NamedExpr) or test.target is not use:
        return False
    statement = parents[test]
    return isinstance(statement, ast.If) and statement.test is test and statement in block


def _comes_after(one: ast.expr | ast.stmt, other: ast.expr | ast.stmt) -> bool:
    return (one.lineno, one.col_offset) > (other.lineno, other.col_offset)
