"""Runs the planners of all rules on a file. Both `scan` and `fix` use it."""

from __future__ import annotations

from callbridge.migrate.edits import (
    call_config,
    callback_managers,
    endpoints,
    imports,
    inlining,
    iterators,
    legacy_calls,
    printing,
    threads,
    version,
    version3,
)
from callbridge.migrate.edits.change_checks import tidy
from callbridge.migrate.edits.operations import Change, Refusal
from callbridge.migrate.edits.source import Source

__all__ = ["plan_all"]


def plan_all(source: Source, level: int = 1, *, unsafe: bool = False) -> list[Change | Refusal]:
    """Return all changes and refusals for a file.

    Args:
        source: The file.
        level: 1 wraps legacy calls, 2 writes events loops where it can, and wraps the rest.
        unsafe: Whether level 2 may make assumptions that the file does not prove.
    """
    plan = [each for planner in (imports, callback_managers, call_config, version, version3) for each in planner.plan(source)]
    for wrapper in (iterators, printing, inlining, threads, endpoints):
        plan += wrapper.plan(source, level, unsafe=unsafe)
    wrapped = [each for each in plan if isinstance(each, Change)]
    for legacy in legacy_calls.plan(source):  # code that reads the text of a call needs no other call
        if isinstance(legacy, Refusal) or not any(legacy.overlaps(each) for each in wrapped):
            plan.append(legacy)
    return [tidy(source, each) if isinstance(each, Change) else each for each in plan]
