"""CB900: a file that cannot be read or parsed. The scan itself makes these findings."""

from __future__ import annotations

from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(
    code="CB900",
    name="unparsable-file",
    severity="error",
    fix="manual",
    summary="a file, or a cell of a notebook, that cannot be read or parsed",
    why="What cannot be read has not been scanned: a clean result would be a claim about files that nobody looked at.",
    before='print "Python 2"',
    after='print("Python 3")',
    when_not="For files that are meant to be broken: list them under `exclude`.",
)
