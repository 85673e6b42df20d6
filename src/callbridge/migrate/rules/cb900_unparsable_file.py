"""CB900: a file that the scan cannot read or parse. The scan itself makes these findings."""

from __future__ import annotations

from callbridge.migrate.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(
    code="CB900",
    name="unparsable-file",
    severity="error",
    fix="manual",
    summary="a file, or a cell of a notebook, that cannot be read or parsed",
    why=(
        "The scan has not looked at what it cannot read: without this finding, a clean result would also cover files that "
        "nobody has seen."
    ),
    before='print "Python 2"',
    after='print("Python 3")',
    when_not="If the file is meant to be broken: list it under `exclude`.",
)
